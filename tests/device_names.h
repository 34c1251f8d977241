// Devices in the names of tests.
#pragma once

#include <algorithm>
#include <string>

#include "tensor/device.h"

namespace dragoman {

/// "cpu", "cuda_0": what a test's name may hold.
inline std::string name_of(Device device) {
  std::string name = to_string(device);
  std::ranges::replace(name, ':', '_');
  return name;
}

}  // namespace dragoman
