// Normalisation of rows. Forward keeps one or two numbers a row; backward computes the normalised
// values again from them.
#include <cmath>

#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {

Variable layer_norm(Tape& tape, const Variable& x, const Variable& gain, const Variable& bias,
                    real epsilon) {
  check_columns("layer_norm", "the gain", gain, x.columns());
  check_columns("layer_norm", "the bias", bias, x.columns());
  const int64_t n = x.rows(), d = x.columns();
  const real share = real{1} / static_cast<real>(d);
  Tensor y = empty_like(x.value());
  Tensor statistics = Tensor::empty({n, 2}, DType::kReal, y.device());  // mean, 1 / deviation
  {
    const auto in = x.data();
    const auto g = gain.data();
    const auto b = bias.data();
    const auto out = y.data();
    const auto saved = statistics.data();
    launch::rows(y.device(), n, d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const real* v = in + row * d;
      const real mean = share * lane.sum(d, [=](int64_t c) { return v[c]; });
      const real variance =
          share * lane.sum(d, [=](int64_t c) { return (v[c] - mean) * (v[c] - mean); });
      const real inverse = 1 / std::sqrt(variance + epsilon);
      saved[2 * row] = mean;
      saved[2 * row + 1] = inverse;
      lane.each(d, [=](int64_t c) { out[row * d + c] = (v[c] - mean) * inverse * g[c] + b[c]; });
    });
  }
  return tape.record("layer_norm", y, {x, gain, bias}, [=](Tensor& dy) {
    const real* in = x.data();
    const real* saved = statistics.data();
    const real* d_out = dy.data();
    if (const GradientWriter dx = x.gradient()) {
      const auto g = gain.data();
      launch::rows(dy.device(), n, d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
        const real* v = in + row * d;
        const real* e = d_out + row * d;
        const real mean = saved[2 * row], inverse = saved[2 * row + 1];
        const real total = share * lane.sum(d, [=](int64_t c) { return e[c] * g[c]; });
        const real along =
            share * lane.sum(d, [=](int64_t c) { return e[c] * g[c] * (v[c] - mean) * inverse; });
        lane.each(d, [=](int64_t c) {
          dx(row * d + c, inverse * (e[c] * g[c] - total - (v[c] - mean) * inverse * along));
        });
      });
    }
    if (const GradientWriter dg = gain.gradient()) {
      launch::sum_rows(dy.device(), n, d, dg.data(), dg.accumulate(),
                       [=] DRAGOMAN_HOST_DEVICE(int64_t row, int64_t c) {
                         const int64_t i = row * d + c;
                         return d_out[i] * (in[i] - saved[2 * row]) * saved[2 * row + 1];
                       });
    }
    if (const GradientWriter db = bias.gradient()) {
      launch::sum_rows(
          dy.device(), n, d, db.data(), db.accumulate(),
          [=] DRAGOMAN_HOST_DEVICE(int64_t row, int64_t c) { return d_out[row * d + c]; });
    }
  });
}

Variable rms_norm(Tape& tape, const Variable& x, const Variable& gain, real epsilon) {
  check_columns("rms_norm", "the gain", gain, x.columns());
  const int64_t n = x.rows(), d = x.columns();
  const real share = real{1} / static_cast<real>(d);
  Tensor y = empty_like(x.value());
  Tensor inverses = Tensor::empty({n}, DType::kReal, y.device());
  {
    const auto in = x.data();
    const auto g = gain.data();
    const auto out = y.data();
    const auto saved = inverses.data();
    launch::rows(y.device(), n, d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const real* v = in + row * d;
      const real square = share * lane.sum(d, [=](int64_t c) { return v[c] * v[c]; });
      const real inverse = 1 / std::sqrt(square + epsilon);
      saved[row] = inverse;
      lane.each(d, [=](int64_t c) { out[row * d + c] = v[c] * inverse * g[c]; });
    });
  }
  return tape.record("rms_norm", y, {x, gain}, [=](Tensor& dy) {
    const real* in = x.data();
    const real* saved = inverses.data();
    const real* d_out = dy.data();
    if (const GradientWriter dx = x.gradient()) {
      const auto g = gain.data();
      launch::rows(dy.device(), n, d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
        const real* v = in + row * d;
        const real* e = d_out + row * d;
        const real inverse = saved[row];
        const real along =
            share * lane.sum(d, [=](int64_t c) { return e[c] * g[c] * v[c] * inverse; });
        lane.each(d, [=](int64_t c) {
          dx(row * d + c, inverse * (e[c] * g[c] - v[c] * inverse * along));
        });
      });
    }
    if (const GradientWriter dg = gain.gradient()) {
      launch::sum_rows(dy.device(), n, d, dg.data(), dg.accumulate(),
                       [=] DRAGOMAN_HOST_DEVICE(int64_t row, int64_t c) {
                         return d_out[row * d + c] * in[row * d + c] * saved[row];
                       });
    }
  });
}

}  // namespace dragoman
