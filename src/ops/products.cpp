#include "ops/products.h"

#include "tensor/gemm.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

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
#if defined(DRAGOMAN_KERNELS)
  __device__ void four(int64_t row, int64_t c, real (&values)[4]) const {
    vectors::read(values, from + row * columns + c);
    vectors::write(to + row * columns + c, values);
  }
#endif
};

// Elements of x that are made zero where the gate is not positive, on the way into a sum.
template <class T>
struct GateAndRead {
  const T* gate;
  T* x;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    const int64_t i = row * columns + c;
    if (!(gate[i] > 0)) x[i] = real{0};
    return x[i];
  }
#if defined(DRAGOMAN_KERNELS)
  __device__ void four(int64_t row, int64_t c, real (&to)[4]) const {
    const int64_t i = row * columns + c;
    real open[4];
    vectors::read(to, x + i);
    vectors::read(open, gate + i);
    for (int k = 0; k < 4; ++k) to[k] = open[k] > 0 ? to[k] : real{0};
    vectors::write(x + i, to);
  }
#endif
};
// The same where nobody wants the sum.
template <class T>
struct GateEach {
  const T* gate;
  T* x;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const {
    if (!(gate[i] > 0)) x[i] = real{0};
  }
};

// to (+)= op(a) op(b).
Gemm gemm_of(bool tf32, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
             const Target& to) {
  const int64_t n = transpose_b ? b.rows() : b.columns();
  return {.m = transpose_a ? a.columns() : a.rows(),
          .n = n,
          .k = transpose_a ? a.rows() : a.columns(),
          .inputs = a.dtype(),
          .outputs = to.type,
          .tf32 = tf32,
          .a = a.address(),
          .lda = a.columns(),
          .transpose_a = transpose_a,
          .b = b.address(),
          .ldb = b.columns(),
          .transpose_b = transpose_b,
          .c = to.data,
          .ldc = n,
          .accumulate = to.accumulate};
}

}  // namespace

Tensor operand(const Tape& tape, const Variable& x) {
  if (tape.products() == DType::kBf16 && x.bf16_copy().defined()) return x.bf16_copy();
  return convert(x.value(), tape.products());
}

Tensor bias_as(const Variable& bias, DType type) {
  if (!bias.defined()) return {};
  return type == DType::kBf16 && bias.bf16_copy().defined() ? bias.bf16_copy()
                                                            : convert(bias.value(), type);
}

void product(bool tf32, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
             const Target& to, const ProductEpilogue& epilogue, const Tensor& packed) {
  Gemm product = gemm_of(tf32, a, transpose_a, b, transpose_b, to);
  if (epilogue.bias.defined()) product.bias = epilogue.bias.address();
  product.relu = epilogue.relu;
  product.packed = packed;
  if (epilogue.gate.defined()) product.gate = epilogue.gate.address();
  gemm(a.device(), product);
}

Tensor packed(const Tensor& b, bool transposed) {
  return pack(b.device(), {.n = transposed ? b.rows() : b.columns(),
                           .k = transposed ? b.columns() : b.rows(),
                           .inputs = b.dtype(),
                           .b = b.address(),
                           .ldb = b.columns(),
                           .transpose_b = transposed});
}

void product_gradients(bool tf32, const Tensor& dy_given, const Variable& a, const Tensor& a_value,
                       bool transpose_a, const Variable& b, const Tensor& b_value, bool transpose_b,
                       const Variable& bias, const GradientBatches& batched, const Tensor& gate) {
  const DType type = a_value.dtype();
  // The product that reads dy^T sums its rows up on the way, where it can.
  const bool in_product = bias.needs_gradient() && transpose_b && b.needs_gradient() &&
                          dy_given.dtype() == type && sums_rows(dy_given.device(), type);
  const bool is_late =
      batched.bias && bias.needs_gradient() && type == DType::kBf16 && dy_given.dtype() == type;
  const Tensor dy = in_product || is_late ? dy_given : convert_and_sum(dy_given, type, bias);
  if (is_late) {
    batched.bias->add(dy.rows(), dy.columns(), {bias}, {dy}, {dy.data<Bf16>(), dy.columns()});
  }
  write_gradient(a, [&](const Target& da) {
    if (transpose_a) {
      product(tf32, b_value, transpose_b, dy, true, da, {.gate = gate});
    } else {
      product(tf32, dy, false, b_value, !transpose_b, da, {.gate = gate});
    }
  });
  if (const GradientWriter db = b.gradient()) {
    if (transpose_b) {
      Gemm gradient = gemm_of(tf32, dy, true, a_value, transpose_a, db);
      if (in_product) {
        const GradientWriter sums = bias.gradient();
        gradient.sums = sums.data();
        gradient.accumulate_sums = sums.accumulate();
      }
      if (batched.weight) return batched.weight->add(gradient, b, dy, a_value);
      gemm(dy.device(), gradient);
    } else {
      product(tf32, a_value, !transpose_a, dy, false, db);
    }
  }
}

void gate_and_sum(const Tensor& gate, const Tensor& dy, const Variable& bias) {
  const GradientWriter to = bias.gradient();
  visit(gate, [&]<class T>(const T* open) {
    T* const x = dy.data<T>();
    if (!to) return launch::map(dy.device(), dy.size(), GateEach<T>{open, x});
    const GateAndRead<T> read{open, x, dy.columns()};
    launch::sum_rows(dy.device(), dy.rows(), dy.columns(),
                     launch::ColumnSums{to.data(), to.accumulate(), read});
  });
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
    if (dy.dtype() == type) return sum(launch::Elements<From>{d, columns});
    visit(converted, [&]<class To>(To* out) { sum(ReadAndConvert<From, To>{d, out, columns}); });
  });
  return converted;
}

}  // namespace dragoman
