// A caching allocator: memory that a tensor gives back is kept for the next of its size, so that a
// training step, which asks for the same sizes every time, asks the system for nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "tensor/device.h"

namespace dragoman {

/// What an allocator has done so far, in bytes and calls.
struct AllocatorStatistics {
  size_t in_use = 0;          ///< Held by tensors now.
  size_t peak = 0;            ///< The most that was ever held by tensors.
  size_t reserved = 0;        ///< Taken from the system: in use, or kept for reuse.
  uint64_t allocations = 0;   ///< Requests.
  uint64_t system_calls = 0;  ///< Requests that had to go to the system.
};

/// A piece of memory on one device, returned to its allocator when the last owner goes.
class Buffer {
 public:
  Buffer(void* data, size_t bytes, Device device) : data_(data), bytes_(bytes), device_(device) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  void* data() const { return data_; }
  Device device() const { return device_; }

 private:
  void* data_;
  size_t bytes_;
  Device device_;
};

/// The allocator of one device. Thread-safe.
class Allocator {
 public:
  /// The allocator of `device`; it lives as long as the program.
  static Allocator& of(Device device);

  /// At least `bytes` bytes, aligned to 64. Throws Error when the system has no more, with the
  /// statistics in the message.
  std::shared_ptr<Buffer> allocate(size_t bytes);

  AllocatorStatistics statistics() const;
  /// Makes the present use the peak, so that the peak of a phase can be read off later.
  void reset_peak();
  /// Gives what no tensor holds back to the system.
  void release_cached();
  /// Fills each new buffer with bytes 0xFF, which are NaN as floats and -1 as ids: an operation
  /// that reads what it has not written then shows. For tests.
  void set_poison(bool poison);

 private:
  friend class Buffer;
  explicit Allocator(Device device) : device_(device) {}
  void give_back(void* data, size_t bytes);
  void release_cached_locked();

  Device device_;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> cached_;
  AllocatorStatistics statistics_;
  bool poison_ = false;
};

}  // namespace dragoman
