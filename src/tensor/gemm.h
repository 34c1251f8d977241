// The matrix product: the one operation that a vendor's library does.
#pragma once

#include <cstdint>
#include <span>

#include "core/real.h"
#include "tensor/device.h"
#include "tensor/tensor.h"

namespace dragoman {

/// c = op(a) op(b) [+ bias] [+ c], or the positive of it: op(a) is [m, k], op(b) is [k, n], c is
/// [m, n], all row-major; `lda`, `ldb` and `ldc` are the distances between the rows of the matrices
/// as they are stored.
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  DType inputs = DType::kReal;   ///< Of a and b: kReal or kBf16. Sums are made in real.
  DType outputs = DType::kReal;  ///< Of c and bias: kReal, or kBf16 where the inputs are.
  bool tf32 = false;             ///< On a GPU: of each float, 10 bits of the fraction are read.
  const void* a = nullptr;
  int64_t lda = 0;
  bool transpose_a = false;
  const void* b = nullptr;
  int64_t ldb = 0;
  bool transpose_b = false;
  void* c = nullptr;
  int64_t ldc = 0;
  const void* bias = nullptr;  ///< [n], added to every row; null: none.
  bool accumulate = false;     ///< Add to what `c`, of reals, holds; it is not read otherwise.
  bool relu = false;           ///< Zero instead of negative numbers (on a GPU perhaps of NaN, too);
                               ///< without `accumulate`.
  const void* gate =
      nullptr;           ///< Only where `gates`: as c; zero where it is not positive; or null.
  real* sums = nullptr;  ///< Only where `sums_rows`: [m], the sums of op(a)'s rows; or null.
  bool accumulate_sums = false;
  Tensor packed = {};  ///< What `pack` made of b, or undefined.
};

/// Runs the product.
void gemm(Device device, const Gemm& product);

/// Products that gemm_each is given at most.
inline constexpr size_t kMostProducts = 6;

/// Runs some products that differ in their addresses alone, and have no bias, relu, gate or sums.
/// A GPU makes them at once: those of small results leave most of it idle, each by itself.
void gemm_each(Device device, std::span<const Gemm> products);

/// The b of a product in the order in which gemm reads it, for the `packed` of several products
/// that share it; m, a and c do not matter. Undefined where gemm reads b as it lies.
Tensor pack(Device device, const Gemm& product);

/// Whether gemm makes the sums of op(a)'s rows as it reads them, for a transposed a of that type.
bool sums_rows(Device device, DType inputs);

/// Whether gemm reads a gate, for inputs of that type.
bool gates(Device device, DType inputs);

/// Whether the device multiplies bf16 numbers by itself, faster than floats: AVX512_BF16 or AMX.
bool has_bf16_products(Device device);

}  // namespace dragoman
