// A few numbers of different kinds in a device's memory.
#pragma once

#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include "core/device_value.h"
#include "tensor/gpu.h"
#include "tensor/tensor.h"

namespace dragoman {

/// A plain struct on its way to the host, or there.
template <class T>
class Fetched {
 public:
  Fetched(const T& value) : value_(value) {}
  Fetched(std::unique_ptr<gpu::Download> download) : download_(std::move(download)) {}

  /// Waits for it.
  T get() {
    if (download_) std::memcpy(&value_, download_->wait(), sizeof value_);
    download_.reset();
    return value_;
  }

 private:
  T value_{};
  std::unique_ptr<gpu::Download> download_;
};

/// A plain struct in a device's memory. Copies share it.
template <class T>
class Record {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(int32_t) == 0);

 public:
  explicit Record(Device device) : words_(Tensor::empty({kWords}, DType::kInt32, device)) {
    write(T{});
  }

  Device device() const { return words_.device(); }
  /// Where it is, for kernels.
  T* address() const { return static_cast<T*>(words_.address()); }

  void write(const T& value) const {
    copy_bytes(device(), words_.address(), Device{}, &value, sizeof value);
  }
  /// Waits until the device has done what it was given to do.
  T read() const { return fetch().get(); }
  /// What it holds when the device has done that: the host may go on meanwhile.
  Fetched<T> fetch() const {
    if (device().on_gpu()) return gpu::download(device().index, address(), sizeof(T));
    return *address();
  }
  /// For a launch: what it holds when the kernel runs.
  DeviceValue<T> device_value() const {
    return device().on_gpu() ? DeviceValue<T>::at(address()) : DeviceValue<T>(read());
  }
  /// The same of one of its members.
  template <class M>
  DeviceValue<M> device_value(M T::*member) const {
    return device().on_gpu() ? DeviceValue<M>::at(&(address()->*member))
                             : DeviceValue<M>(read().*member);
  }

 private:
  static constexpr int64_t kWords = sizeof(T) / sizeof(int32_t);
  Tensor words_;
};

}  // namespace dragoman
