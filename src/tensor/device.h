// Where a tensor lives, and the memory there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/check.h"

namespace dragoman {

/// A processor with memory of its own.
struct Device {
  enum class Kind : uint8_t { kCpu, kCuda };
  Kind kind = Kind::kCpu;
  int index = 0;  ///< Of several GPUs.

  bool on_gpu() const { return kind != Kind::kCpu; }
  bool operator==(const Device&) const = default;
};

/// "cpu" or "cuda:0".
std::string to_string(Device device);

/// The device of a name: "cpu", "cuda" (the first GPU), "cuda:1", or "auto", which is the first GPU
/// where there is one that this program can use and the CPU elsewhere. Throws UsageError for
/// another name, and Error for a GPU that cannot be had, with the reason; messages begin with
/// `origin`, the setting or option that the name was given by, if there is one.
Device find_device(const std::string& name, const std::string& origin = "");

/// Why "auto" is the CPU here, with what to do about it; empty where there is a GPU.
std::string why_no_gpu();

/// The CPU, and every GPU that this program can use.
std::vector<Device> all_devices();

/// The device for people, a GPU with its name and memory: "cpu", "cuda:0, NVIDIA H100 (80 GB)".
std::string describe(Device device);

/// Returns when the device has done all that it was given to do.
void synchronize(Device device);

/// Copies `bytes` from one device's memory to another's (or its own), behind what the devices were
/// given to do before. The source may be changed when it returns.
void copy_bytes(Device to, void* destination, Device from, const void* source, size_t bytes);

}  // namespace dragoman

template <>
struct fmt::formatter<dragoman::Device> : dragoman::ByToString {};
