// The plain product, slow and obviously right: for the build of the engine in double (core/real.h)
// and for the emulated GPU.
#pragma once

#include "tensor/gemm.h"

namespace dragoman {

template <class T>
void multiply_plainly(const Gemm& g) {
  const T* a = static_cast<const T*>(g.a);
  const T* b = static_cast<const T*>(g.b);
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      real total = g.bias ? g.bias[j] : 0;
      for (int64_t p = 0; p < g.k; ++p) {
        const real left = g.transpose_a ? a[p * g.lda + i] : a[i * g.lda + p];
        const real right = g.transpose_b ? b[j * g.ldb + p] : b[p * g.ldb + j];
        total += left * right;
      }
      real& out = g.c[i * g.ldc + j];
      out = g.accumulate ? out + total : total;
    }
  }
}

inline void multiply_plainly(const Gemm& g) {
  g.inputs == DType::kBf16 ? multiply_plainly<Bf16>(g) : multiply_plainly<real>(g);
}

}  // namespace dragoman
