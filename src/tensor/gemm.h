// The matrix product: the one operation that a vendor's library does.
#pragma once

#include <cstdint>

#include "core/real.h"
#include "tensor/device.h"

namespace dragoman {

/// c = op(a) op(b) [+ bias] [+ c]: op(a) is [m, k], op(b) is [k, n], c is [m, n], all row-major;
/// `lda`, `ldb` and `ldc` are the distances between the rows of the matrices as they are stored.
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  const real* a = nullptr;
  int64_t lda = 0;
  bool transpose_a = false;
  const real* b = nullptr;
  int64_t ldb = 0;
  bool transpose_b = false;
  real* c = nullptr;
  int64_t ldc = 0;
  const real* bias = nullptr;  ///< [n], added to every row; null: none.
  bool accumulate = false;     ///< Add to what `c` holds; it is not read otherwise.
};

/// Runs the product.
void gemm(Device device, const Gemm& product);

}  // namespace dragoman
