// Where a tensor lives, and the memory there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dragoman {

/// A processor with memory of its own.
struct Device {
  enum class Kind : uint8_t { kCpu };
  Kind kind = Kind::kCpu;
  int index = 0;

  bool operator==(const Device&) const = default;
};

/// "cpu".
std::string to_string(Device device);

/// Copies `bytes` from one device's memory to another's (or its own).
void copy_bytes(Device to, void* destination, Device from, const void* source, size_t bytes);

/// The threads that the launchers use. At the start: OMP_NUM_THREADS if that is set, otherwise
/// every processor that the process may run on.
int thread_count();
/// Sets that number; 0 is that of the start. Throws Error below 0.
void set_thread_count(int threads);

}  // namespace dragoman
