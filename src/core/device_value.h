// A value that a kernel is given, or finds in its device's memory when it runs.
#pragma once

#include "core/real.h"

namespace dragoman {

/// What a launch hands over by value on a CPU. Work that a GPU repeats as it was captured
/// (tensor/graph.h) must read anew what changes from step to step: there it is an address.
template <class T>
class DeviceValue {
 public:
  constexpr DeviceValue() = default;
  DRAGOMAN_HOST_DEVICE constexpr DeviceValue(const T& value) : value_(value) {}
  /// What stands at an address in the memory of the GPU that the kernel will run on.
  static constexpr DeviceValue at(const T* address) {
    DeviceValue there;
    there.address_ = address;
    return there;
  }

  /// Whether the host knows it.
  DRAGOMAN_HOST_DEVICE constexpr bool known() const {
#if defined(DRAGOMAN_CUDA) || defined(DRAGOMAN_EMULATED_GPU)
    return address_ == nullptr;
#else
    return true;  // a build for CPUs alone has no addresses, and no test in its loops
#endif
  }
  /// The value; on the host only if it is known there.
  DRAGOMAN_HOST_DEVICE T get() const { return known() ? value_ : *address_; }

 private:
  T value_{};
  const T* address_ = nullptr;
};

}  // namespace dragoman
