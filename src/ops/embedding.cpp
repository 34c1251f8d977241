// Rows of a table by id.
#include <utility>

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

struct AddRowOfTable {
  Mask mask;
  const real *x, *table;
  const int32_t* index;
  real* out;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const real *a = x + row * columns, *b = table + index[row] * columns;
    real* to = out + row * columns;
    mask.row(lane, row, columns, [=](int64_t c, real factor) { to[c] = factor * (a[c] + b[c]); });
  }
};

struct MaskRow {
  Mask mask;
  const real* from;
  real* to;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const real* in = from + row * columns;
    real* out = to + row * columns;
    mask.row(lane, row, columns, [=](int64_t c, real factor) { out[c] = factor * in[c]; });
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

Variable add_rows(Tape& tape, const Variable& x, const Variable& table, const Tensor& index,
                  real dropout) {
  check_columns("add_rows", "the table", table, x.columns());
  check_ids("add_rows", "the index", index, x.rows());
  const Mask mask(tape, "add_rows", dropout);
  const int64_t n = x.rows(), d = x.columns();
  const Tensor y = empty_like(x.value());
  launch::rows(y.device(), n, d,
               AddRowOfTable{mask, x.data(), table.data(), index.data<int32_t>(), y.data(), d});
  return tape.record(
      "add_rows", y, {x, table},
      [=, x = x.gradient_only(), rows = table.rows(), table = table.gradient_only()](Tensor& dy) {
        Tensor dx = dy;
        if (mask.drops()) {
          dx = empty_like(dy);
          launch::rows(dy.device(), n, d, MaskRow{mask, dy.data(), dx.data(), d});
        }
        if (table.needs_gradient()) {
          launch::scatter_add_rows(dy.device(), n, d, index.data<int32_t>(), rows,
                                   table.zeroed_gradient().data(), ScaledGradient{dx.data(), d, 1});
        }
        dy = Tensor();
        x.add_gradient(std::move(dx));
      });
}

}  // namespace dragoman
