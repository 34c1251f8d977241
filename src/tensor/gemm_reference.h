// The plain product, slow and obviously right: for the build of the engine in double (core/real.h)
// and for the emulated GPU.
#pragma once

#include "tensor/gemm.h"

namespace dragoman {

template <class T, class Out>
void multiply_plainly(const Gemm& g) {
  const T* a = static_cast<const T*>(g.a);
  const T* b = static_cast<const T*>(g.b);
  const Out* bias = static_cast<const Out*>(g.bias);
  Out* c = static_cast<Out*>(g.c);
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      real total = bias ? static_cast<real>(bias[j]) : real{0};
      for (int64_t p = 0; p < g.k; ++p) {
        const real left = g.transpose_a ? a[p * g.lda + i] : a[i * g.lda + p];
        const real right = g.transpose_b ? b[j * g.ldb + p] : b[p * g.ldb + j];
        total += left * right;
      }
      if (g.relu && total < 0) total = 0;
      Out& out = c[i * g.ldc + j];
      out = g.accumulate ? out + total : total;
    }
  }
}

inline void multiply_plainly(const Gemm& g) {
  if (g.inputs == DType::kReal) return multiply_plainly<real, real>(g);
  g.outputs == DType::kReal ? multiply_plainly<Bf16, real>(g) : multiply_plainly<Bf16, Bf16>(g);
}

}  // namespace dragoman
