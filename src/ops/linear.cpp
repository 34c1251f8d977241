// Matrix products.
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/gemm.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// out (+)= op(a) op(b) for whole matrices.
void product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, real* out,
             bool accumulate, const real* bias = nullptr) {
  const int64_t m = transpose_a ? a.columns() : a.rows();
  const int64_t k = transpose_a ? a.rows() : a.columns();
  const int64_t n = transpose_b ? b.rows() : b.columns();
  gemm(a.device(), {.m = m,
                    .n = n,
                    .k = k,
                    .a = a.data(),
                    .lda = a.columns(),
                    .transpose_a = transpose_a,
                    .b = b.data(),
                    .ldb = b.columns(),
                    .transpose_b = transpose_b,
                    .c = out,
                    .ldc = n,
                    .bias = bias,
                    .accumulate = accumulate});
}

}  // namespace

Variable matmul(Tape& tape, const Variable& a, const Variable& b, bool transpose_a,
                bool transpose_b) {
  check((transpose_a ? a.rows() : a.columns()) == (transpose_b ? b.columns() : b.rows()),
        "matmul: {}{} and {}{} do not fit", to_string(a.shape()), transpose_a ? "^T" : "",
        to_string(b.shape()), transpose_b ? "^T" : "");
  Tensor y =
      Tensor::empty({transpose_a ? a.columns() : a.rows(), transpose_b ? b.rows() : b.columns()},
                    DType::kReal, a.value().device());
  product(a.value(), transpose_a, b.value(), transpose_b, y.data(), false);
  return tape.record("matmul", y, {a, b}, [=](Tensor& dy) {
    if (const GradientWriter da = a.gradient()) {
      if (transpose_a) {
        product(b.value(), transpose_b, dy, true, da.data(), da.accumulate());
      } else {
        product(dy, false, b.value(), !transpose_b, da.data(), da.accumulate());
      }
    }
    if (const GradientWriter db = b.gradient()) {
      if (transpose_b) {
        product(dy, true, a.value(), transpose_a, db.data(), db.accumulate());
      } else {
        product(a.value(), !transpose_a, dy, false, db.data(), db.accumulate());
      }
    }
  });
}

Variable linear(Tape& tape, const Variable& x, const Variable& weight, const Variable& bias) {
  check_columns("linear", "the weight", weight, x.columns());
  const int64_t out = weight.rows();
  if (bias.defined()) check_columns("linear", "the bias", bias, out);
  Tensor y = Tensor::empty({x.rows(), out}, DType::kReal, x.value().device());
  product(x.value(), false, weight.value(), true, y.data(), false,
          bias.defined() ? bias.data() : nullptr);
  return tape.record("linear", y, {x, weight, bias}, [=](Tensor& dy) {
    if (const GradientWriter dx = x.gradient()) {
      product(dy, false, weight.value(), false, dx.data(), dx.accumulate());
    }
    if (const GradientWriter dw = weight.gradient()) {
      product(dy, true, x.value(), false, dw.data(), dw.accumulate());
    }
    if (const GradientWriter db = bias.gradient()) {
      const auto d = dy.data();
      launch::sum_rows(
          dy.device(), dy.rows(), out, db.data(), db.accumulate(),
          [=] DRAGOMAN_HOST_DEVICE(int64_t row, int64_t c) { return d[row * out + c]; });
    }
  });
}

}  // namespace dragoman
