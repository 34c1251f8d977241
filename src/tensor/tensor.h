// A contiguous array of numbers on a device. Copies share their memory.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/bf16.h"
#include "core/check.h"
#include "core/real.h"
#include "tensor/allocator.h"
#include "tensor/device.h"

namespace dragoman {

/// What a tensor holds.
enum class DType : uint8_t { kReal, kBf16, kInt32, kDouble };

template <class T>
constexpr DType dtype_of() {
  static_assert(std::is_same_v<T, real> || std::is_same_v<T, Bf16> || std::is_same_v<T, int32_t> ||
                std::is_same_v<T, double>);
  return std::is_same_v<T, real>      ? DType::kReal
         : std::is_same_v<T, Bf16>    ? DType::kBf16
         : std::is_same_v<T, int32_t> ? DType::kInt32
                                      : DType::kDouble;
}

/// "fp32", "bf16", "int32" or "fp64".
std::string to_string(DType dtype);

/// Bytes of one element.
constexpr size_t size_of(DType dtype) {
  return dtype == DType::kReal    ? sizeof(real)
         : dtype == DType::kBf16  ? sizeof(Bf16)
         : dtype == DType::kInt32 ? sizeof(int32_t)
                                  : sizeof(double);
}

/// The extents of a tensor: up to four, outermost first.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> extents);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return extents_[static_cast<size_t>(axis)]; }
  int64_t size() const;
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, 4> extents_{};
  int rank_ = 0;
};

/// "[2000, 512]".
std::string to_string(const Shape& shape);

}  // namespace dragoman

template <>
struct fmt::formatter<dragoman::Shape> : dragoman::ByToString {};

namespace dragoman {

/// A contiguous tensor. Most are matrices [rows, columns]: `rows()` is the product of all extents
/// but the last, `columns()` the last. A default-constructed tensor is undefined.
///
/// Handles to the same memory may be made and dropped by any threads at once, and several may read
/// its elements. A single handle that is assigned to, and elements that are written, are for one
/// thread at a time; who wrote them hands them on through something that synchronises, such as the
/// end of a thread or a mutex.
class Tensor {
 public:
  Tensor() = default;

  /// Memory that has not been written.
  static Tensor empty(const Shape& shape, DType dtype = DType::kReal, Device device = {});
  static Tensor zeros(const Shape& shape, DType dtype = DType::kReal, Device device = {});
  /// A copy of host values; their number must be the shape's size.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape, Device device = {}) {
    check(static_cast<int64_t>(values.size()) == shape.size(), "{} values do not fill a tensor {}",
          values.size(), shape);
    Tensor tensor = empty(shape, dtype_of<T>(), device);
    copy_bytes(device, tensor.bytes(), Device{}, values.data(), values.size_bytes());
    return tensor;
  }
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = {}) {
    return from(std::span<const T>(values), shape, device);
  }
  /// A vector of all the values.
  template <class T>
  static Tensor from(const std::vector<T>& values) {
    return from(values, {static_cast<int64_t>(values.size())});
  }

  bool defined() const { return buffer_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Device device() const { return buffer_->device(); }
  int64_t size() const { return size_; }
  int64_t rows() const { return columns() == 0 ? shape_[0] : size_ / columns(); }
  int64_t columns() const { return shape_.rank() == 0 ? 1 : shape_[shape_.rank() - 1]; }

  /// The first element. Constness is the handle's, not the memory's, as with a pointer.
  template <class T = real>
  T* data() const {
    check(dtype_ == dtype_of<T>(), "a tensor {} was read as another type", shape_);
    return static_cast<T*>(bytes());
  }

  /// The same whatever the type.
  void* address() const { return bytes(); }

  /// The same elements with another shape of the same size.
  Tensor reshape(const Shape& shape) const;
  /// A view of the rows [begin, end) of a matrix.
  Tensor slice_rows(int64_t begin, int64_t end) const;
  /// A view of `shape.size()` elements from element `offset` on.
  Tensor view(int64_t offset, const Shape& shape) const;
  /// Another tensor with the same elements.
  Tensor clone() const;
  /// Overwrites the elements with those of a tensor of the same size and type.
  void copy_from(const Tensor& other) const;
  /// Sets every element to zero.
  void clear() const;
  /// Sets every element of a kReal tensor to `value`.
  void fill(real value) const;
  /// Whether this handle is the only one to its memory: to be asked about what no other thread has.
  bool unique() const { return buffer_.use_count() == 1; }

  /// The elements, copied to the host.
  template <class T = real>
  std::vector<T> to_host() const {
    std::vector<T> values(static_cast<size_t>(size_));
    copy_bytes(Device{}, values.data(), device(), data<T>(), values.size() * sizeof(T));
    return values;
  }

 private:
  void* bytes() const;
  size_t element_bytes() const { return size_of(dtype_); }

  std::shared_ptr<Buffer> buffer_;
  int64_t offset_ = 0;  // elements
  int64_t size_ = 0;
  Shape shape_;
  DType dtype_ = DType::kReal;
};

/// Unwritten memory of the same shape, type and device.
Tensor empty_like(const Tensor& tensor);

/// int32 [n]: first, first + step, first + 2 step, ...
Tensor iota(int64_t n, Device device, int32_t first = 0, int32_t step = 1);
/// The rows rows[0], rows[1], ... of an int32 or double tensor [n, ...]; `rows` is int32. For real
/// numbers there is gather_rows.
Tensor take_rows(const Tensor& table, const Tensor& rows);

/// Copies `count` columns of a matrix, from `from_begin` on, into those of another from `to_begin`
/// on. Both are kReal, or both kBf16, and have the same number of rows.
void copy_columns(const Tensor& from, int64_t from_begin, const Tensor& to, int64_t to_begin,
                  int64_t count);

/// Calls f with the address of the first element, a real* or a Bf16*.
template <class F>
decltype(auto) visit(const Tensor& tensor, F f) {
  return tensor.dtype() == DType::kBf16 ? f(tensor.data<Bf16>()) : f(tensor.data());
}

/// The elements as `dtype`, kReal or kBf16: the tensor itself where they are.
Tensor convert(const Tensor& tensor, DType dtype);
/// The same into the memory of `to`, where they may be already.
void convert(const Tensor& tensor, const Tensor& to);

}  // namespace dragoman
