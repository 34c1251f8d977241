#include "tensor/tensor.h"

#include "tensor/launch.h"

namespace dragoman {
namespace {

// What generic lambdas launch is named: CUDA takes no lambda of a device inside one.
template <class T>
struct Zero {
  T* to;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { to[i] = {}; }
};
template <class T>
Zero(T*) -> Zero<T>;

template <class From, class To>
struct Convert {
  const From* in;
  To* out;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { out[i] = static_cast<real>(in[i]); }
};
template <class From, class To>
Convert(const From*, To*) -> Convert<From, To>;

}  // namespace

Shape::Shape(std::initializer_list<int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  check(extents.size() <= extents_.size(), "a tensor has at most {} axes", extents_.size());
  size_t axis = 0;
  for (const int64_t extent : extents) {
    check(extent >= 0, "a tensor cannot have the extent {}", extent);
    extents_[axis++] = extent;
  }
}

int64_t Shape::size() const {
  int64_t size = 1;
  for (int axis = 0; axis < rank_; ++axis) size *= (*this)[axis];
  return size;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(shape[axis]);
  }
  return text + "]";
}

std::string to_string(DType dtype) {
  return dtype == DType::kInt32 ? "int32" : dtype == DType::kBf16 ? "bf16" : "fp32";
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.size_ = shape.size();
  tensor.dtype_ = dtype;
  tensor.buffer_ =
      Allocator::of(device).allocate(static_cast<size_t>(tensor.size_) * tensor.element_bytes());
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  tensor.clear();
  return tensor;
}

void* Tensor::bytes() const {
  check(defined(), "an undefined tensor was read");
  return static_cast<char*>(buffer_->data()) + static_cast<size_t>(offset_) * element_bytes();
}

Tensor Tensor::view(int64_t offset, const Shape& shape) const {
  check(offset >= 0 && offset + shape.size() <= size_, "a view {} at {} leaves a tensor {}",
        to_string(shape), offset, to_string(shape_));
  Tensor part = *this;
  part.offset_ += offset;
  part.shape_ = shape;
  part.size_ = shape.size();
  return part;
}

Tensor Tensor::reshape(const Shape& shape) const {
  check(shape.size() == size_, "a tensor {} cannot take the shape {}", to_string(shape_),
        to_string(shape));
  return view(0, shape);
}

Tensor Tensor::slice_rows(int64_t begin, int64_t end) const {
  check(begin >= 0 && begin <= end && end <= rows(), "rows {} to {} are not in a tensor {}", begin,
        end, to_string(shape_));
  return view(begin * columns(), {end - begin, columns()});
}

Tensor Tensor::clone() const {
  Tensor copy = empty_like(*this);
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& other) const {
  check(other.size_ == size_ && other.dtype_ == dtype_, "a tensor {} cannot be copied from one {}",
        to_string(shape_), to_string(other.shape_));
  copy_bytes(device(), bytes(), other.device(), other.bytes(),
             static_cast<size_t>(size_) * element_bytes());
}

void Tensor::clear() const {
  const auto zero = [&](auto* to) { launch::map(device(), size_, Zero{to}); };
  dtype_ == DType::kInt32 ? zero(data<int32_t>()) : visit(*this, zero);
}

Tensor empty_like(const Tensor& tensor) {
  return Tensor::empty(tensor.shape(), tensor.dtype(), tensor.device());
}

void convert(const Tensor& tensor, const Tensor& to) {
  check(tensor.size() == to.size(), "a tensor {} cannot be converted into one {}",
        to_string(tensor.shape()), to_string(to.shape()));
  visit(tensor, [&](const auto* in) {
    visit(to, [&](auto* out) { launch::map(to.device(), to.size(), Convert{in, out}); });
  });
}

Tensor convert(const Tensor& tensor, DType dtype) {
  if (tensor.dtype() == dtype) return tensor;
  Tensor converted = Tensor::empty(tensor.shape(), dtype, tensor.device());
  convert(tensor, converted);
  return converted;
}

}  // namespace dragoman
