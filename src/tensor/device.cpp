#include "tensor/device.h"

#include <cstring>

namespace dragoman {

std::string to_string(Device) { return "cpu"; }

void copy_bytes(Device, void* destination, Device, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}

}  // namespace dragoman
