#include "ops/products.h"

#include "tensor/gemm.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

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

}  // namespace

Tensor operand(const Tape& tape, const Variable& x) {
  if (tape.products() == DType::kBf16 && x.low().defined()) return x.low();
  return convert(x.value(), tape.products());
}

void product(bool tf32, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
             real* out, bool accumulate, const real* bias, const Tensor& packed) {
  const int64_t m = transpose_a ? a.columns() : a.rows();
  const int64_t k = transpose_a ? a.rows() : a.columns();
  const int64_t n = transpose_b ? b.rows() : b.columns();
  gemm(a.device(), {.m = m,
                    .n = n,
                    .k = k,
                    .inputs = a.dtype(),
                    .tf32 = tf32,
                    .a = a.address(),
                    .lda = a.columns(),
                    .transpose_a = transpose_a,
                    .b = b.address(),
                    .ldb = b.columns(),
                    .transpose_b = transpose_b,
                    .c = out,
                    .ldc = n,
                    .bias = bias,
                    .accumulate = accumulate,
                    .packed = packed});
}

Tensor packed(const Tensor& b, bool transposed) {
  return pack(b.device(), {.n = transposed ? b.rows() : b.columns(),
                           .k = transposed ? b.columns() : b.rows(),
                           .inputs = b.dtype(),
                           .b = b.address(),
                           .ldb = b.columns(),
                           .transpose_b = transposed});
}

void product_gradients(bool tf32, const Tensor& dy, const Variable& a, const Tensor& a_value,
                       bool transpose_a, const Variable& b, const Tensor& b_value,
                       bool transpose_b) {
  if (const GradientWriter da = a.gradient()) {
    if (transpose_a) {
      product(tf32, b_value, transpose_b, dy, true, da.data(), da.accumulate());
    } else {
      product(tf32, dy, false, b_value, !transpose_b, da.data(), da.accumulate());
    }
  }
  if (const GradientWriter db = b.gradient()) {
    if (transpose_b) {
      product(tf32, dy, true, a_value, transpose_a, db.data(), db.accumulate());
    } else {
      product(tf32, a_value, !transpose_a, dy, false, db.data(), db.accumulate());
    }
  }
}

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

}  // namespace dragoman
