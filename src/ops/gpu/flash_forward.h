// Forward of attention on a GPU's matrix units: see flash_attention.h.
#pragma once

#include "ops/gpu/flash_attention.h"

namespace dragoman::flash {

struct Forward {
  AttentionKernel<Bf16> kernel;
  Bf16* out;  // [queries, heads * value_dim]
  Statistics statistics;
};
// The softmax of the rows of a warp as it goes over the keys, in powers of 2.
struct Softmax {
  float row_max[2] = {Lane::lowest(), Lane::lowest()}, total[2] = {0, 0};

  // From scaled products to exp2(product - row_max), and what was summed up before to what it would
  // have been with the new maxima.
  template <int kColumns, int kDim>
  __device__ void add(Fragment<kColumns>& s, Fragment<kDim>& sums) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float larger = row_max[half];
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        larger = fmaxf(larger, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
      }
      larger = max_of_row(larger);
      const float kept = exp2_of(row_max[half] - larger);
      float part = 0;
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          s[n][e] = exp2_of(s[n][e] - larger);
          part += s[n][e];
        }
      }
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        sums[n][2 * half] *= kept;
        sums[n][2 * half + 1] *= kept;
      }
      total[half] = total[half] * kept + sum_of_row(part);
      row_max[half] = larger;
    }
  }
};

template <class S, bool kDrops>
__global__ void __launch_bounds__(S::kThreads) forward_kernel(const __grid_constant__ Forward f) {
  const AttentionKernel<Bf16>& kernel = f.kernel;
  const Task t(kernel, blockIdx.x);
  const int dim = static_cast<int>(kernel.head_dim);
  Bf16* const queries = cuda::shared_memory<Bf16>();
  Bf16* const keys = queries + S::kRows * S::kStride;
  Bf16* const values = keys + S::kColumns * S::kStride;
  const float scale = kernel.scale * kLog2e;
  const int step = static_cast<int>(gridDim.y) * S::kRows;
  for (int begin = static_cast<int>(blockIdx.y) * S::kRows; begin < t.queries; begin += step) {
    __syncthreads();  // whoever still reads the tiles before
    load<S, S::kRows>(queries, row_at(kernel.query, t.query_begin + begin, t.head, dim),
                      kernel.query.stride, t.queries - begin, dim);
    const Sight::Range rows{begin, begin + S::kRows};
    const int seen = kernel.sight.key_end(rows, t.keys);
    const auto tile_from = [&](int key) {
      return tile_of<S::kColumns>(kernel.sight.keys_of(rows, t.keys, key), seen);
    };
    const int first = begin + warp() * kTile;  // of this warp's queries
    Fragment<S::kDim> sums;
    clear<S::kDim>(sums);
    Softmax softmax;
    for (int key = tile_from(0); key < seen; key = tile_from(key + S::kColumns)) {
      const int count = min(seen - key, S::kColumns);
      if (key > 0) __syncthreads();  // whoever still reads the tiles before
      load<S, S::kColumns>(keys, row_at(kernel.key, t.key_begin + key, t.key_head, dim),
                           kernel.key.stride, count, dim);
      load<S, S::kColumns>(values, row_at(kernel.value, t.key_begin + key, t.key_head, dim),
                           kernel.value.stride, count, dim);
      finish_loads();
      if (first >= t.queries) continue;
      Fragment<S::kColumns> s;
      multiply_rows<S, S::kColumns>(s, queries + warp() * kTile * S::kStride, keys, count);
      const bool all =
          key + S::kColumns <= t.keys && kernel.sight.in_order(first, key + S::kColumns - 1);
#pragma unroll
      for (int n = 0; n < S::kColumns / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int j = key + column_of(n, e);
          const bool sees = all || (j < t.keys && kernel.sight.in_order(first + row_of(e), j));
          s[n][e] = sees ? scale * s[n][e] : Lane::lowest();
        }
      }
      each_hidden<false, S::kColumns>(kernel.sight, first, key, t.keys,
                                      [&](int n, int e) { s[n][e] = Lane::lowest(); });
      softmax.add<S::kColumns, S::kDim>(s, sums);
      if constexpr (kDrops) {
        Drop{kernel, t}.of_queries<S::kColumns>(
            first, key, [&](int n, int e, float factor) { s[n][e] *= factor; });
      }
      multiply_weights<S, S::kColumns>(sums, s, values, count);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = first + row_of(2 * half);
      if (i >= t.queries) continue;
      // Of a query that sees no key the maximum is what it began with.
      const bool sees_some = softmax.row_max[half] > Lane::lowest();
      const float inverse_sum = sees_some ? 1 / softmax.total[half] : 0;
      const int64_t row = t.query_begin + i;
      Bf16* const to = f.out + (row * kernel.heads + t.head) * dim;
#pragma unroll
      for (int n = 0; n < S::kDim / 8; ++n) {
        const int c = column_of(n, 0);
        if (c < dim) {
          *reinterpret_cast<uint32_t*>(to + c) =
              bf16_pair(inverse_sum * sums[n][2 * half], inverse_sum * sums[n][2 * half + 1]);
        }
      }
      if (lane() % 4 == 0) {
        const int64_t at = f.statistics.at(t.head, row);
        f.statistics.row_max[at] = softmax.row_max[half] / kLog2e;
        f.statistics.inverse_sum[at] = inverse_sum;
      }
    }
  }
}
/// Attention of `groups` groups, which have `queries` queries together.
inline void forward(Device device, int64_t groups, int64_t queries, const Forward& f) {
  if (groups == 0) return;
  with_sizes(f.kernel, queries / groups, [&]<class S, bool kDrops>(S, std::bool_constant<kDrops>) {
    launch<S>(forward_kernel<S, kDrops>, f, device, groups, 1, S::kRows + 2 * S::kColumns);
  });
}

}  // namespace dragoman::flash
