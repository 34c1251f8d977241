// Backward of attention on a GPU's matrix units: see flash_attention.h.
#pragma once

#include <algorithm>

#include "ops/gpu/flash_gradient.h"
#include "ops/gpu/flash_short.h"

namespace dragoman::flash {

// For a block's rows, which are keys or queries, from `begin` on. The task has the head of queries,
// or the first of those that share a head of keys.
template <class S, bool kDrops, bool kOfKeys>
__device__ void go_back(const Backward& f, Task t, int begin, Bf16* memory) {
  constexpr int kColumns = S::kColumnsBackward;
  constexpr int kQueries = kOfKeys ? kColumns : S::kRows;
  __shared__ QueryNumbers numbers[kQueries];
  const AttentionKernel<Bf16>& kernel = f.kernel;
  const int dim = static_cast<int>(kernel.head_dim);
  // Queries and the gradients of their results, and keys and values: one pair is of the rows.
  Bf16* const rows0 = memory;
  Bf16* const rows1 = rows0 + S::kRows * S::kStride;
  Bf16* const columns0 = rows1 + S::kRows * S::kStride;
  Bf16* const columns1 = columns0 + kColumns * S::kStride;
  Bf16* const results = columns1 + kColumns * S::kStride;  // of the queries
  const attention_detail::Block<Bf16> d_out{f.d_out, kernel.heads * dim};
  const auto load_queries = [&]<int kCount>(std::integral_constant<int, kCount>, int query,
                                            Bf16* to0, Bf16* to1) {
    const int64_t row = t.query_begin + query;
    const int there = t.queries - query;
    load<S, kCount>(to0, row_at(kernel.query, row, t.head, dim), kernel.query.stride, there, dim);
    load<S, kCount>(to1, row_at(d_out, row, t.head, dim), d_out.stride, there, dim);
  };
  const auto load_keys = [&]<int kCount>(std::integral_constant<int, kCount>, int key, Bf16* to0,
                                         Bf16* to1) {
    const int64_t row = t.key_begin + key;
    const int there = t.keys - key;
    load<S, kCount>(to0, row_at(kernel.key, row, t.key_head, dim), kernel.key.stride, there, dim);
    load<S, kCount>(to1, row_at(kernel.value, row, t.key_head, dim), kernel.value.stride, there,
                    dim);
  };
  const std::integral_constant<int, S::kRows> as_rows{};
  const std::integral_constant<int, kColumns> as_columns{};

  __syncthreads();  // whoever still reads the tiles before
  if constexpr (kOfKeys) {
    load_keys(as_rows, begin, rows0, rows1);
  } else {
    load_queries(as_rows, begin, rows0, rows1);
    load_numbers<S, kQueries>(numbers, results, f, t, begin);
  }
  const int all_rows = kOfKeys ? t.keys : t.queries;
  const Sight& sight = kernel.sight;
  const Sight::Range rows{begin, begin + S::kRows};
  const int columns = kOfKeys ? t.queries : sight.key_end(rows, t.keys);
  const auto tile_from = [&](int column) {
    return tile_of<kColumns>(kOfKeys ? sight.queries_of(rows, t.keys, t.queries, column)
                                     : sight.keys_of(rows, t.keys, column),
                             columns);
  };
  const int first = begin + warp() * kTile;  // of this warp's rows
  const int first_column = tile_from(0);
  const int first_head = t.head;
  // Of keys, all heads of queries that share them are walked over, one after the other.
  const auto next_tile = [&](int column) {
    const int next = tile_from(column + kColumns);
    if (!kOfKeys || next < columns || t.head + 1 == first_head + kernel.sharing) return next;
    ++t.head;
    return first_column;
  };
  Fragment<S::kDim> sums0;                // the gradient of rows0
  Fragment<kOfKeys ? S::kDim : 8> sums1;  // that of rows1, if it is of values
  clear<S::kDim>(sums0);
  clear<kOfKeys ? S::kDim : 8>(sums1);
  for (int column = first_column; column < columns; column = next_tile(column)) {
    // Whoever still reads the tiles before.
    if (column > first_column || t.head > first_head) __syncthreads();
    if constexpr (kOfKeys) {
      load_queries(as_columns, column, columns0, columns1);
      load_numbers<S, kQueries>(numbers, results, f, t, column);
      finish_loads();
      finish_numbers<S, kQueries>(numbers, results, columns1);
    } else {
      load_keys(as_columns, column, columns0, columns1);
      finish_loads();
      if (column == first_column) finish_numbers<S, kQueries>(numbers, results, rows1);
    }
    if (first >= all_rows) continue;
    const int count = columns - column;
    Fragment<kColumns> weights, gradients;
    multiply_rows<S, kColumns>(weights, rows0 + warp() * kTile * S::kStride, columns0, count);
    multiply_rows<S, kColumns>(gradients, rows1 + warp() * kTile * S::kStride, columns1, count);
    weigh<kDrops, kOfKeys>(weights, gradients, f, t, numbers + (kOfKeys ? 0 : warp() * kTile),
                           first, column, columns);
    multiply_weights<S, kColumns>(sums0, gradients, columns0, count);
    if constexpr (kOfKeys) multiply_weights<S, kColumns>(sums1, weights, columns1, count);
  }
  if (first >= all_rows) return;
  const int64_t row = (kOfKeys ? t.key_begin : t.query_begin) + first;
  const int to = (kOfKeys ? t.key_head : t.head) * dim;
  write<S::kDim>(kOfKeys ? f.d_key : f.d_query, sums0, row, all_rows - first, to, dim);
  if constexpr (kOfKeys) write<S::kDim>(f.d_value, sums1, row, all_rows - first, to, dim);
}

template <class S, bool kDrops>
__global__ void __launch_bounds__(S::kThreads, S::kDim > 64 || kDrops ? 1 : 512 / S::kThreads)
    backward_kernel(const __grid_constant__ Backward f) {
  Bf16* const tiles = cuda::shared_memory<Bf16>();
  const bool of_keys = blockIdx.z == 0;
  // Heads of keys may be fewer than those of queries, for which there are blocks.
  const int64_t index = of_keys ? blockIdx.x * f.kernel.sharing : blockIdx.x;
  if (index >= gridDim.x) return;
  const Task t(f.kernel, index);
  const int first = static_cast<int>(blockIdx.y) * S::kRows;
  const int step = static_cast<int>(gridDim.y) * S::kRows;
  if (of_keys) {
    if (!f.d_key.data && !f.d_value.data) return;
    for (int begin = first; begin < t.keys; begin += step) {
      go_back<S, kDrops, true>(f, t, begin, tiles);
    }
  } else {
    if (!f.d_query.data) return;
    for (int begin = first; begin < t.queries; begin += step) {
      go_back<S, kDrops, false>(f, t, begin, tiles);
    }
  }
}

/// Its gradients; no group has more than `longest_query` queries.
inline void backward(Device device, int64_t groups, int64_t queries, int64_t longest_query,
                     const Backward& f) {
  if (groups == 0) return;
  if (short_backward(device, groups, std::max(longest_query, f.kernel.longest_key), f)) return;
  with_sizes(f.kernel, queries / groups, [&]<class S, bool kDrops>(S, std::bool_constant<kDrops>) {
    launch<S>(backward_kernel<S, kDrops>, f, device, groups, 2,
              3 * S::kRows + 2 * S::kColumnsBackward);
  });
}

}  // namespace dragoman::flash
