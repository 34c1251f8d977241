// Matrix products.
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/gemm.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// A matrix as the products of this tape read it.
Tensor operand(const Tape& tape, const Variable& x) {
  if (tape.products() == DType::kBf16 && x.low().defined()) return x.low();
  return convert(x.value(), tape.products());
}

// out (+)= op(a) op(b) for whole matrices of one type.
void product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, real* out,
             bool accumulate, const real* bias = nullptr) {
  const int64_t m = transpose_a ? a.columns() : a.rows();
  const int64_t k = transpose_a ? a.rows() : a.columns();
  const int64_t n = transpose_b ? b.rows() : b.columns();
  gemm(a.device(), {.m = m,
                    .n = n,
                    .k = k,
                    .inputs = a.dtype(),
                    .a = a.address(),
                    .lda = a.columns(),
                    .transpose_a = transpose_a,
                    .b = b.address(),
                    .ldb = b.columns(),
                    .transpose_b = transpose_b,
                    .c = out,
                    .ldc = n,
                    .bias = bias,
                    .accumulate = accumulate});
}

// The gradients of y = op(a) op(b), from that of y as the products read it.
void product_gradients(const Tensor& dy, const Variable& a, const Tensor& a_value, bool transpose_a,
                       const Variable& b, const Tensor& b_value, bool transpose_b) {
  if (const GradientWriter da = a.gradient()) {
    if (transpose_a) {
      product(b_value, transpose_b, dy, true, da.data(), da.accumulate());
    } else {
      product(dy, false, b_value, !transpose_b, da.data(), da.accumulate());
    }
  }
  if (const GradientWriter db = b.gradient()) {
    if (transpose_b) {
      product(dy, true, a_value, transpose_a, db.data(), db.accumulate());
    } else {
      product(a_value, !transpose_a, dy, false, db.data(), db.accumulate());
    }
  }
}

template <class From>
struct Read {
  const From* from;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    return from[row * columns + c];
  }
};
template <class From, class To>
struct ReadAndConvert {
  const From* from;
  To* to;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    const real value = from[row * columns + c];
    to[row * columns + c] = value;
    return value;
  }
};

// dy as the products read it; the gradient of the bias, the sums of its columns, is made in the
// same pass.
Tensor convert_and_sum(const Tensor& dy, DType type, const Variable& bias) {
  const GradientWriter to = bias.gradient();
  if (!to) return convert(dy, type);
  const int64_t columns = dy.columns();
  const Tensor converted = dy.dtype() == type ? dy : Tensor::empty(dy.shape(), type, dy.device());
  const auto sum = [&](auto f) {
    launch::sum_rows(dy.device(), dy.rows(), columns,
                     launch::ColumnSums{to.data(), to.accumulate(), f});
  };
  visit(dy, [&]<class From>(From* d) {
    if (dy.dtype() == type) return sum(Read<From>{d, columns});
    visit(converted, [&]<class To>(To* out) { sum(ReadAndConvert<From, To>{d, out, columns}); });
  });
  return converted;
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
  const Tensor left = operand(tape, a), right = operand(tape, b);
  product(left, transpose_a, right, transpose_b, y.data(), false);
  Variable result = tape.record(
      "matmul", y, {a, b}, [=, a = a.gradient_only(), b = b.gradient_only()](Tensor& dy) {
        product_gradients(convert(dy, left.dtype()), a, left, transpose_a, b, right, transpose_b);
      });
  if (result.needs_gradient()) result.sink()->preferred = left.dtype();
  return result;
}

Variable linear(Tape& tape, const Variable& x, const Variable& weight, const Variable& bias) {
  check_columns("linear", "the weight", weight, x.columns());
  if (bias.defined()) check_columns("linear", "the bias", bias, weight.rows());
  Tensor y = Tensor::empty({x.rows(), weight.rows()}, DType::kReal, x.value().device());
  const Tensor left = operand(tape, x), right = operand(tape, weight);
  product(left, false, right, true, y.data(), false, bias.defined() ? bias.data() : nullptr);
  Variable result =
      tape.record("linear", y, {x, weight, bias},
                  [=, x = x.gradient_only(), weight = weight.gradient_only()](Tensor& dy) {
                    product_gradients(convert_and_sum(dy, left.dtype(), bias), x, left, false,
                                      weight, right, true);
                  });
  if (result.needs_gradient()) result.sink()->preferred = left.dtype();
  return result;
}

}  // namespace dragoman
