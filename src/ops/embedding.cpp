// Rows of a table by id.
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

struct ScaledGradient {
  const real* gradient;
  int64_t columns;
  real factor;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    return factor * gradient[row * columns + c];
  }
};

}  // namespace

Variable embedding(Tape& tape, const Variable& table, const Tensor& ids, real factor) {
  check_ids("embedding", "the ids", ids, ids.size());
  const int64_t n = ids.size(), d = table.columns();
  Tensor y = Tensor::empty({n, d}, DType::kReal, table.value().device());
  {
    const auto in = table.data();
    const auto id = ids.data<int32_t>();
    const auto out = y.data();
    launch::rows(y.device(), n, d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const real* from = in + id[row] * d;
      lane.each(d, [=](int64_t c) { out[row * d + c] = factor * from[c]; });
    });
  }
  return tape.record("embedding", y, {table}, [=](Tensor& dy) {
    launch::scatter_add_rows(dy.device(), n, d, ids.data<int32_t>(), table.rows(),
                             table.zeroed_gradient().data(), ScaledGradient{dy.data(), d, factor});
  });
}

}  // namespace dragoman
