#include "tensor/tensor.h"

#include "tensor/launch.h"

namespace dragoman {
namespace {

// What generic lambdas launch is named: CUDA takes no lambda of a device inside one.
template <class T>
struct Fill {
  T* to;
  T value;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { to[i] = value; }
};

template <class From, class To>
struct Convert {
  const From* in;
  To* out;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { out[i] = static_cast<real>(in[i]); }
};
template <class From, class To>
Convert(const From*, To*) -> Convert<From, To>;

template <class T>
struct CopyColumns {
  const T* from;
  int64_t from_stride;
  T* to;
  int64_t to_stride, count;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const T* in = from + row * from_stride;
    T* out = to + row * to_stride;
    lane.each(count, [=](int64_t c) { out[c] = in[c]; });
  }
};

template <class T>
struct TakeRows {
  const T* in;
  const int32_t* rows;
  T* out;
  int64_t width;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const {
    out[i] = in[rows[i / width] * width + i % width];
  }
};

template <class T>
void take_rows(const Tensor& from, const Tensor& rows, const Tensor& to) {
  launch::map(to.device(), to.size(),
              TakeRows<T>{from.data<T>(), rows.data<int32_t>(), to.data<T>(),
                          from.size() / from.shape()[0]});
}

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
  return dtype == DType::kInt32    ? "int32"
         : dtype == DType::kBf16   ? "bf16"
         : dtype == DType::kDouble ? "fp64"
                                   : "fp32";
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
  check(offset >= 0 && offset + shape.size() <= size_, "a view {} at {} leaves a tensor {}", shape,
        offset, shape_);
  Tensor part = *this;
  part.offset_ += offset;
  part.shape_ = shape;
  part.size_ = shape.size();
  return part;
}

Tensor Tensor::reshape(const Shape& shape) const {
  check(shape.size() == size_, "a tensor {} cannot take the shape {}", shape_, shape);
  return view(0, shape);
}

Tensor Tensor::slice_rows(int64_t begin, int64_t end) const {
  check(begin >= 0 && begin <= end && end <= rows(), "rows {} to {} are not in a tensor {}", begin,
        end, shape_);
  return view(begin * columns(), {end - begin, columns()});
}

Tensor Tensor::clone() const {
  Tensor copy = empty_like(*this);
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& other) const {
  check(other.size_ == size_ && other.dtype_ == dtype_, "a tensor {} cannot be copied from one {}",
        shape_, other.shape_);
  copy_bytes(device(), bytes(), other.device(), other.bytes(),
             static_cast<size_t>(size_) * element_bytes());
}

void Tensor::clear() const {
  const auto zero = [&]<class T>(T* to) { launch::map(device(), size_, Fill<T>{to, T{}}); };
  if (dtype_ == DType::kInt32) return zero(data<int32_t>());
  if (dtype_ == dtype_of<double>()) return zero(data<double>());
  visit(*this, zero);
}

void Tensor::fill(real value) const { launch::map(device(), size_, Fill<real>{data(), value}); }

Tensor empty_like(const Tensor& tensor) {
  return Tensor::empty(tensor.shape(), tensor.dtype(), tensor.device());
}

Tensor iota(int64_t n, Device device, int32_t first, int32_t step) {
  Tensor numbers = Tensor::empty({n}, DType::kInt32, device);
  const auto out = numbers.data<int32_t>();
  launch::map(device, n, [=] DRAGOMAN_HOST_DEVICE(int64_t i) {
    out[i] = first + static_cast<int32_t>(i) * step;
  });
  return numbers;
}

Tensor take_rows(const Tensor& table, const Tensor& rows) {
  check(table.shape().rank() == 1 || table.shape().rank() == 2,
        "rows are taken of a vector or a matrix, not of a tensor {}", table.shape());
  const int64_t n = rows.size();
  Tensor taken = Tensor::empty(table.shape().rank() == 1 ? Shape{n} : Shape{n, table.columns()},
                               table.dtype(), table.device());
  table.dtype() == DType::kInt32 ? take_rows<int32_t>(table, rows, taken)
                                 : take_rows<double>(table, rows, taken);
  return taken;
}

void copy_columns(const Tensor& from, int64_t from_begin, const Tensor& to, int64_t to_begin,
                  int64_t count) {
  visit(to, [&]<class T>(T* out) {
    launch::rows(to.device(), to.rows(), count,
                 CopyColumns<T>{from.data<T>() + from_begin, from.columns(), out + to_begin,
                                to.columns(), count});
  });
}

void convert(const Tensor& tensor, const Tensor& to) {
  check(tensor.size() == to.size(), "a tensor {} cannot be converted into one {}", tensor.shape(),
        to.shape());
  if (tensor.address() == to.address() && tensor.dtype() == to.dtype()) return;
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
