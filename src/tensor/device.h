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

}  // namespace dragoman
