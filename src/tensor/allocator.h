// A caching allocator: memory that a tensor gives back is kept for the next of its size, so that a
// training step, which asks for the same sizes every time, asks the system for nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "tensor/device.h"

namespace dragoman {

/// A device has no memory left for what was to be computed.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// What an allocator has done so far, in bytes and calls.
struct AllocatorStatistics {
  size_t in_use = 0;          ///< Held by tensors and as scratch memory of launches, now.
  size_t peak = 0;            ///< The most that ever was in use.
  size_t reserved = 0;        ///< Taken from the system: in use, or kept for reuse.
  size_t peak_reserved = 0;   ///< The most that was ever taken.
  uint64_t allocations = 0;   ///< Requests.
  uint64_t system_calls = 0;  ///< Requests that had to go to the system.
};

/// A piece of memory on one device, returned to its allocator when the last owner goes.
class Buffer {
 public:
  Buffer(void* data, size_t bytes, Device device, bool of_graphs)
      : data_(data), bytes_(bytes), device_(device), of_graphs_(of_graphs) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  void* data() const { return data_; }
  Device device() const { return device_; }

 private:
  void* data_;
  size_t bytes_;
  Device device_;
  bool of_graphs_;  // from the memory that graphs share
};

/// The allocator of one device. Any thread may call it, and give back what another took; only
/// between begin_graph and end_graph is a GPU's for the thread alone that makes the graph.
class Allocator {
 public:
  /// The allocator of `device`; it lives as long as the program.
  static Allocator& of(Device device);

  /// At least `bytes` bytes, aligned to 64. Throws OutOfMemory when the system has no more, with
  /// the statistics in the message.
  std::shared_ptr<Buffer> allocate(size_t bytes);

  AllocatorStatistics statistics() const;
  /// Makes the present use the peaks, so that those of a phase can be read off later.
  void reset_peak();
  /// Gives what neither a tensor nor a graph holds back to the system.
  void release_cached();

  /// Until end_graph, which a call of this follows, memory comes from blocks that none but graphs
  /// use from then on: a graph that is run again writes to addresses that no tensor holds any more.
  /// They are kept until drop_graph was called for each graph. For tensor/graph.h.
  void begin_graph();
  void end_graph();
  void drop_graph();

  /// Takes no more than `bytes` from the system from now on. For tests.
  void set_limit(size_t bytes);
  /// Fills each new buffer with bytes 0xFF, which are NaN as floats and -1 as ids: an operation
  /// that reads what it has not written then shows. For tests.
  void set_poison(bool poison);

 private:
  friend class Buffer;
  explicit Allocator(Device device) : device_(device) {}
  using Blocks = std::map<size_t, std::vector<void*>>;
  // A block of at least `size` from there, whose size it becomes; null where there is none.
  static void* take_from(Blocks& blocks, size_t& size);
  void give_back(void* data, size_t bytes, bool of_graphs);
  void release_cached_locked();
  void* take_from_system(size_t size);

  Device device_;
  mutable std::mutex mutex_;
  Blocks cached_;
  Blocks cached_of_graphs_;  // empty when there is no graph
  int graphs_ = 0;
  bool making_graph_ = false;
  AllocatorStatistics statistics_;
  size_t limit_ = std::numeric_limits<size_t>::max();
  bool poison_ = false;
};

}  // namespace dragoman
