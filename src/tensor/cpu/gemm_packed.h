// Matrix products of our own, for AVX-512 and AVX2: as fast as the library's for large matrices,
// faster for the shapes of a training step, which are long and narrow, without anything to be made
// for a new number of tokens, and the same bit for bit on any number of threads.
#pragma once

#include "tensor/gemm.h"

namespace dragoman::packed {

/// Whether this build has them for this processor: floats with AVX-512, or with AVX2 where there is
/// no AVX-512, which the library uses; bf16 with AVX512_BF16 where there is no AMX, likewise.
bool multiplies(DType inputs);

/// The words of memory that `pack` fills for a matrix of `k` rows and `n` columns.
int64_t packed_words(int64_t k, int64_t n, DType inputs);

/// Writes b of the product in the order in which the kernels read it.
void pack(const Gemm& product, uint32_t* to);

/// Whether a product packs b itself, part by part, unless it is packed already.
bool packs_on_the_way(const Gemm& product);

/// Runs the product with b as `pack` left it; null if it packs on the way.
void multiply(const Gemm& product, const uint32_t* packed);

}  // namespace dragoman::packed
