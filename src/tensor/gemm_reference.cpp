// The plain product, for the build of the engine in double (see core/real.h): slow, obviously
// right.
#include "tensor/gemm.h"

namespace dragoman {

void gemm(Device, const Gemm& g) {
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      real total = g.bias ? g.bias[j] : 0;
      for (int64_t p = 0; p < g.k; ++p) {
        const real left = g.transpose_a ? g.a[p * g.lda + i] : g.a[i * g.lda + p];
        const real right = g.transpose_b ? g.b[j * g.ldb + p] : g.b[p * g.ldb + j];
        total += left * right;
      }
      real& out = g.c[i * g.ldc + j];
      out = g.accumulate ? out + total : total;
    }
  }
}

}  // namespace dragoman
