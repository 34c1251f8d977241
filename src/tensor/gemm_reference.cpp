// The plain product, for the build of the engine in double (see core/real.h): slow, obviously
// right.
#include "tensor/gemm.h"

namespace dragoman {

namespace {

template <class T>
void multiply(const Gemm& g) {
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

}  // namespace

void gemm(Device, const Gemm& g) {
  g.inputs == DType::kBf16 ? multiply<Bf16>(g) : multiply<real>(g);
}

Tensor pack(Device, const Gemm&) { return {}; }

bool has_bf16_products(Device) { return false; }

}  // namespace dragoman
