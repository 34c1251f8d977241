// Softmax and its logarithm over the rows of a matrix.
#include <cmath>

#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// The lengths' data, or null where every row counts whole.
const int32_t* lengths_of(std::string_view operation, const Variable& x, const Tensor& lengths) {
  if (!lengths.defined()) return nullptr;
  check_ids(operation, "the lengths", lengths, x.rows());
  return lengths.data<int32_t>();
}

}  // namespace

Variable softmax(Tape& tape, const Variable& x, const Tensor& lengths) {
  const int64_t d = x.columns();
  const int32_t* counts = lengths_of("softmax", x, lengths);
  Tensor y = empty_like(x.value());
  {
    const auto in = x.data();
    const auto out = y.data();
    launch::rows(y.device(), x.rows(), d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const int64_t n = counts ? counts[row] : d;
      const real* v = in + row * d;
      real* w = out + row * d;
      const real row_max = lane.max(n, [=](int64_t c) { return v[c]; });
      lane.each(n, [=](int64_t c) { w[c] = exp_of(v[c] - row_max); });
      const real inverse_sum = 1 / lane.sum(n, [=](int64_t c) { return w[c]; });
      lane.each(n, [=](int64_t c) { w[c] *= inverse_sum; });
      lane.each(d - n, [=](int64_t c) { w[n + c] = 0; });
    });
  }
  return tape.record("softmax", y, {x}, [=](Tensor& dy) {
    const GradientWriter dx = x.gradient();
    const int32_t* limits = lengths.defined() ? lengths.data<int32_t>() : nullptr;
    const auto out = y.data();
    const auto g = dy.data();
    launch::rows(dy.device(), x.rows(), d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const int64_t n = limits ? limits[row] : d;
      const real* w = out + row * d;
      const real* e = g + row * d;
      const real delta = lane.sum(n, [=](int64_t c) { return w[c] * e[c]; });
      lane.each(n, [=](int64_t c) { dx(row * d + c, w[c] * (e[c] - delta)); });
      lane.each(d - n, [=](int64_t c) { dx(row * d + n + c, 0); });
    });
  });
}

Variable log_softmax(Tape& tape, const Variable& x, const Tensor& lengths) {
  const int64_t d = x.columns();
  const int32_t* counts = lengths_of("log_softmax", x, lengths);
  Tensor y = empty_like(x.value());
  {
    const auto in = x.data();
    const auto out = y.data();
    launch::rows(y.device(), x.rows(), d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const int64_t n = counts ? counts[row] : d;
      const real* v = in + row * d;
      real* w = out + row * d;
      const real row_max = lane.max(n, [=](int64_t c) { return v[c]; });
      const real log_total =
          row_max + std::log(lane.sum(n, [=](int64_t c) { return exp_of(v[c] - row_max); }));
      lane.each(n, [=](int64_t c) { w[c] = v[c] - log_total; });
      lane.each(d - n, [=](int64_t c) { w[n + c] = 0; });
    });
  }
  return tape.record("log_softmax", y, {x}, [=](Tensor& dy) {
    const GradientWriter dx = x.gradient();
    const int32_t* limits = lengths.defined() ? lengths.data<int32_t>() : nullptr;
    const auto out = y.data();
    const auto g = dy.data();
    launch::rows(dy.device(), x.rows(), d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const int64_t n = limits ? limits[row] : d;
      const real* w = out + row * d;
      const real* e = g + row * d;
      const real total = lane.sum(n, [=](int64_t c) { return e[c]; });
      lane.each(n, [=](int64_t c) { dx(row * d + c, e[c] - exp_of(w[c]) * total); });
      lane.each(d - n, [=](int64_t c) { dx(row * d + n + c, 0); });
    });
  });
}

}  // namespace dragoman
