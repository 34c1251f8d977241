// What a GPU's matrix units multiply, for kernels that are written for them: tiles of bf16 numbers
// in shared memory, and sums in the registers of a warp.
#pragma once

#include <cstdint>

#include "core/bf16.h"
#include "tensor/gpu/kernel.h"
#if defined(DRAGOMAN_EMULATED_GPU)
#include "tensor/gpu/emulated/instructions.h"
#else
#include "tensor/gpu/instructions_cuda.h"
#endif

namespace dragoman::matrix_units {

// [16, 16] by [16, 8].
inline constexpr int kTile = 16;

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % 32; }
__device__ inline int warp() { return static_cast<int>(threadIdx.x) / 32; }

// Starts to copy kRows rows of a head, of which `count` are there, of `dim` numbers; the rest of
// the tile becomes zeros.
template <class S, int kRows>
__device__ void load(Bf16* tile, const Bf16* from, int64_t stride, int count, int dim) {
  constexpr int kPieces = S::kDim / 8;  // of 16 bytes, of a row
  constexpr int kStep = S::kThreads / kPieces;
  const int first = static_cast<int>(threadIdx.x) / kPieces;
  const int column = static_cast<int>(threadIdx.x) % kPieces * 8;
  const Bf16* source = from + (column < dim ? first * stride + column : 0);
  const int there = column < dim ? count : 0;
  Bf16* const to = tile + first * S::kStride + column;
#pragma unroll
  for (int row = 0; row < kRows; row += kStep) {
    const bool copies = first + row < there;
    begin_copy(to + row * S::kStride, copies ? source : from, copies ? 16 : 0);
    source += kStep * stride;
  }
}

// Waits until what all threads began to copy is there for all.
__device__ inline void finish_loads() {
  finish_copies();
  __syncthreads();
}

// The numbers that a thread has of a warp's 16 rows and of some columns: c[n][e] is that of the row
// row_of(e) and of the column column_of(n, e).
template <int kColumns>
struct Fragment {
  __device__ float (&operator[](int n))[4] { return numbers[n]; }
  __device__ const float (&operator[](int n) const)[4] { return numbers[n]; }
  float numbers[kColumns / 8][4];
};
__device__ inline int row_of(int e) { return lane() / 4 + e / 2 * 8; }
__device__ inline int column_of(int n, int e) { return n * 8 + lane() % 4 * 2 + e % 2; }

template <int kColumns>
__device__ void clear(Fragment<kColumns>& c) {
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) c[n][e] = 0;
  }
}

// c = x y^T for the 16 rows of x and the first `count` of y.
template <class S, int kColumns>
__device__ void multiply_rows(Fragment<kColumns>& c, const Bf16* x, const Bf16* y, int count) {
  clear<kColumns>(c);
  const Bf16* const mine = x + lane() % 16 * S::kStride + lane() / 16 * 8;
  const Bf16* const other = y + (lane() / 16 * 8 + lane() % 8) * S::kStride + lane() / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < S::kDim; k += kTile) {
    uint32_t a[4];
    load_tiles(a, mine + k);
#pragma unroll
    for (int n = 0; n < kColumns; n += kTile) {
      if (n < count) {
        uint32_t b[4];
        load_tiles(b, other + n * S::kStride + k);
        multiply_tile(c[n / 8], a, b[0], b[1]);
        multiply_tile(c[n / 8 + 1], a, b[2], b[3]);
      }
    }
  }
}

// c += p y, for p of the first `count` rows of y.
template <class S, int kColumns>
__device__ void multiply_weights(Fragment<S::kDim>& c, const Fragment<kColumns>& p, const Bf16* y,
                                 int count) {
  const Bf16* const other = y + (lane() / 8 % 2 * 8 + lane() % 8) * S::kStride + lane() / 16 * 8;
#pragma unroll
  for (int k = 0; k < kColumns; k += kTile) {
    if (k < count) {
      const float(&left)[4] = p[k / 8], (&right)[4] = p[k / 8 + 1];
      const uint32_t a[4] = {bf16_pair(left[0], left[1]), bf16_pair(left[2], left[3]),
                             bf16_pair(right[0], right[1]), bf16_pair(right[2], right[3])};
#pragma unroll
      for (int n = 0; n < S::kDim; n += kTile) {
        uint32_t b[4];
        load_tiles_transposed(b, other + k * S::kStride + n);
        multiply_tile(c[n / 8], a, b[0], b[1]);
        multiply_tile(c[n / 8 + 1], a, b[2], b[3]);
      }
    }
  }
}

// Puts a warp's fragment into a tile of bf16 numbers whose rows are kStride apart.
template <int kColumns, int kStride>
__device__ void store(Bf16* tile, const Fragment<kColumns>& c) {
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 4; e += 2) {
      *reinterpret_cast<uint32_t*>(tile + row_of(e) * kStride + column_of(n, e)) =
          bf16_pair(c[n][e], c[n][e + 1]);
    }
  }
}

// c = p y for 16 rows of p, or p^T y for 16 columns, from `p` on: p lies in a tile as well. The
// first `count` rows of y count.
template <class S, int kRows, int kColumns, bool kTransposed>
__device__ void multiply_stored(Fragment<kColumns>& c, const Bf16* p, const Bf16* y, int count) {
  clear<kColumns>(c);
  const Bf16* const mine =
      kTransposed ? p + (lane() / 16 * 8 + lane() % 8) * S::kStride + lane() / 8 % 2 * 8
                  : p + lane() % 16 * S::kStride + lane() / 16 * 8;
  const Bf16* const other = y + (lane() / 8 % 2 * 8 + lane() % 8) * S::kStride + lane() / 16 * 8;
#pragma unroll
  for (int k = 0; k < kRows; k += kTile) {
    if (k < count) {
      uint32_t a[4];
      if constexpr (kTransposed) {
        load_tiles_transposed(a, mine + k * S::kStride);
      } else {
        load_tiles(a, mine + k);
      }
#pragma unroll
      for (int n = 0; n < kColumns; n += kTile) {
        uint32_t b[4];
        load_tiles_transposed(b, other + k * S::kStride + n);
        multiply_tile(c[n / 8], a, b[0], b[1]);
        multiply_tile(c[n / 8 + 1], a, b[2], b[3]);
      }
    }
  }
}

// The larger, and the sum, of the four lanes that share a row.
__device__ inline float max_of_row(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}
__device__ inline float sum_of_row(float x) {
  x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
  return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

}  // namespace dragoman::matrix_units
