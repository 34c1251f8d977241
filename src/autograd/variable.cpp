// What the tape does with the numbers of gradients; it stands apart since it launches.
#include <algorithm>
#include <utility>

#include "autograd/tape.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

template <class T>
struct WriteEach {
  GradientWriter to;
  const T* from;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { to(i, from[i]); }
};
template <class T>
WriteEach(GradientWriter, const T*) -> WriteEach<T>;

// How many of a piece of an array's elements are not finite.
template <class T>
struct CountNotFinite {
  const T* values;
  real* counts;
  int64_t size, piece;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const int64_t begin = row * piece;
    const int64_t count = size - begin < piece ? size - begin : piece;
    const real total = lane.sum(count, [=, *this](int64_t i) {
      const real x = values[begin + i];
      return x - x == 0 ? real{0} : real{1};
    });
    lane.once([=, *this] { counts[row] = total; });
  }
};

}  // namespace

Tensor Variable::new_gradient(DType type, const Shape& shape, Device device) const {
  const bool first = sink_ && !sink_->written && !sink_->gradient.defined();
  return first && sink_->place && sink_->preferred == type ? sink_->place()
                                                           : Tensor::empty(shape, type, device);
}

GradientWriter Variable::gradient() const {
  if (!sink_) return {};
  sink_->settled();
  Tensor& gradient = sink_->gradient;
  if (!gradient.defined()) gradient = Tensor::empty(sink_->shape, DType::kReal, sink_->device);
  gradient = convert(gradient, DType::kReal);
  if (std::exchange(sink_->shared, false) && !gradient.unique()) gradient = gradient.clone();
  return {gradient.data(), std::exchange(sink_->written, true)};
}

GradientWriter Variable::zeroed_gradient() const {
  GradientWriter writer = gradient();
  if (writer && !writer.accumulate()) sink_->gradient.clear();
  return writer ? GradientWriter(writer.data(), true) : writer;
}

void Variable::add(Tensor gradient, bool shared) const {
  if (!sink_) return;
  check(gradient.size() == sink_->shape.size(), "a gradient {} for a value {}", gradient.shape(),
        sink_->shape);
  const bool readable = gradient.dtype() == DType::kReal || gradient.dtype() == sink_->preferred;
  if (!sink_->written && !sink_->gradient.defined() && readable) {
    sink_->gradient = gradient.reshape(sink_->shape);
    sink_->written = true;
    sink_->shared = shared;
    return;
  }
  const GradientWriter to = this->gradient();
  visit(gradient, [&](const auto* from) {
    launch::map(gradient.device(), gradient.size(), WriteEach{to, from});
  });
}

void Variable::add_gradient(Tensor gradient) const {
  const bool shared = !gradient.unique();
  add(std::move(gradient), shared);
}

void Variable::add_own_part(Tensor gradient) const { add(std::move(gradient), false); }

bool all_finite(const Tensor& tensor) {
  constexpr int64_t kPiece = 4096;
  const int64_t pieces = (tensor.size() + kPiece - 1) / kPiece;
  const Tensor counts = Tensor::empty({pieces}, DType::kReal, tensor.device());
  visit(tensor, [&]<class T>(const T* values) {
    launch::rows(tensor.device(), pieces, kPiece,
                 CountNotFinite<T>{values, counts.data(), tensor.size(), kPiece});
  });
  return std::ranges::all_of(counts.to_host(), [](real count) { return count == 0; });
}

}  // namespace dragoman
