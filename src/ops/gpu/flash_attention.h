// Attention on a GPU's matrix units, for bf16 (FlashAttention of Dao et al. 2022, 2023): a block of
// threads has some rows of one head of one group, a warp 16 of them, and walks over the others in
// tiles that lie in shared memory; the weights stay in registers. Forward is for rows of queries.
// Backward is for rows of queries, whose gradients they make, and for rows of keys, which make
// those of keys and values: both compute the weights again, so that no sum is shared between
// blocks and results are the same from run to run. Short groups have a backward of their own
// (flash_short.h).
#pragma once

#include "core/math.h"
#include "ops/attention_kernel.h"
#include "ops/column_gradients.h"
#include "tensor/gpu/kernel.h"
#include "tensor/gpu/matrix_units_cuda.h"

namespace dragoman::flash {

using namespace matrix_units;

using attention_detail::AttentionKernel;
using attention_detail::Statistics;

// A block's group and head, in numbers that a GPU computes with fast.
struct Task {
  int head, key_head, query_begin, queries, key_begin, keys;

  // That of the index-th group and head of queries.
  __device__ Task(const AttentionKernel<Bf16>& kernel, int64_t index) {
    const AttentionKernel<Bf16>::Task t = kernel.task(index / kernel.heads, index % kernel.heads);
    head = static_cast<int>(t.head);
    key_head = static_cast<int>(t.key_head);
    query_begin = static_cast<int>(t.query_begin);
    queries = static_cast<int>(t.queries);
    key_begin = static_cast<int>(t.key_begin);
    keys = static_cast<int>(t.keys);
  }
};

// A head's part of a row.
__device__ inline const Bf16* row_at(const attention_detail::Block<Bf16>& block, int64_t row,
                                     int head, int dim) {
  return block.row(row) + head * dim;
}

// The sizes of a kernel for heads of up to kDim numbers, with kWarps times 16 rows a block.
template <int kDimensions, int kNumberOfWarps>
struct Sizes {
  static constexpr int kDim = kDimensions;
  static constexpr int kWarps = kNumberOfWarps;
  static constexpr int kRows = kTile * kWarps;
  // Of the other side, in one tile. Backward holds more of each in registers.
  static constexpr int kColumns = 64, kColumnsBackward = 32;
  static constexpr int kStride = kDim + 8;  // of a row in shared memory: apart by 4 banks
  static constexpr int kThreads = 32 * kWarps;
};
// Dropout's factors of a fragment: those of AttentionKernel::drop.
struct Drop {
  const AttentionKernel<Bf16>& kernel;
  Task task;

  // The words of the keys j, j + 16, ... of their block of 64.
  __device__ void words(int query, int key, uint32_t (&to)[4]) const {
    const int64_t blocks = (kernel.longest_key + kRandomBlock - 1) / kRandomBlock;
    const int64_t block = ((task.query_begin + query) * kernel.heads + task.head) * blocks;
    random_words(kernel.random_key,
                 static_cast<uint64_t>((block + key / kRandomBlock) * kTile + key % kTile), to);
  }
  __device__ static uint32_t chosen(const uint32_t (&words)[4], int key) {
    const int part = key % kRandomBlock / kTile;
    return part < 2 ? (part == 0 ? words[0] : words[1]) : (part == 2 ? words[2] : words[3]);
  }

  // f(n, e, factor) for the fragment whose rows are the queries from `query` on, and whose columns
  // are the keys from `key` on, a multiple of kColumns.
  template <int kColumns, class F>
  __device__ void of_queries(int query, int key, F f) const {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        uint32_t made[4];
        words(query + row_of(e), key + column_of(n, e), made);
#pragma unroll
        for (int part = 0; part < kColumns / kTile; ++part) {
          f(2 * part + n, e, kernel.mask.factor(chosen(made, key + part * kTile)));
        }
      }
    }
  }
  // The same for rows of keys and columns of queries.
  template <int kColumns, class F>
  __device__ void of_keys(int key, int query, F f) const {
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int j = key + row_of(e);
        uint32_t made[4];
        words(query + column_of(n, e), j, made);
        f(n, e, kernel.mask.factor(chosen(made, j)));
      }
    }
  }
};
// Where a block's tiles of kColumns of the other side go on: at the tile with the first of the
// found positions; at `end` if there are none.
template <int kColumns>
__device__ int tile_of(const Sight::Range& found, int end) {
  return found.empty() ? end : found.begin / kColumns * kColumns;
}

// f(n, e) for the numbers of a fragment that a sparse attention leaves out. Its rows are queries,
// or keys if kOfKeys, from `row` on, and its columns the others, from `column` on.
template <bool kOfKeys, int kColumns, class F>
__device__ void each_hidden(const Sight& sight, int row, int column, int keys, F f) {
  if (!sight.sparse()) return;
  const Sight::Range rows{row, row + kTile}, columns{column, column + kColumns};
  if (sight.whole(kOfKeys ? columns : rows, kOfKeys ? rows : columns, keys)) return;
  // They are found in a loop that stays one: what it asks is long.
  uint32_t hidden = 0;
#pragma unroll 1
  for (int number = 0; number < kColumns / 2; ++number) {
    const int i = row + row_of(number % 4), j = column + column_of(number / 4, number % 4);
    if (!sight.sees(kOfKeys ? j : i, kOfKeys ? i : j, keys)) hidden |= 1u << number;
  }
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (hidden >> (4 * n + e) & 1u) f(n, e);
    }
  }
}

// Whether the kernels here can be used: rows are read 16 bytes at a time.
inline bool serves(const AttentionKernel<Bf16>& kernel) {
  const auto aligned = [&](const attention_detail::Block<Bf16>& block) {
    return block.stride % 8 == 0 && reinterpret_cast<uintptr_t>(block.data) % 16 == 0;
  };
  return !kernel.key_segments && !kernel.key_rows && !kernel.queries_last &&
         kernel.head_dim == kernel.value_dim && kernel.head_dim % 8 == 0 &&
         kernel.head_dim <= 128 && aligned(kernel.query) && aligned(kernel.key) &&
         aligned(kernel.value);
}

// Calls f(sizes, drops) with the sizes for these heads and for groups of about that many queries.
template <class F>
void with_sizes(const AttentionKernel<Bf16>& kernel, int64_t queries, F f) {
  const auto choose = [&]<class S>(S sizes) {
    kernel.drops ? f(sizes, std::true_type{}) : f(sizes, std::false_type{});
  };
  const auto for_dim = [&]<int kDim>(std::integral_constant<int, kDim>) {
    queries <= 2 * kTile ? choose(Sizes<kDim, 2>{}) : choose(Sizes<kDim, 4>{});
  };
  if (kernel.head_dim <= 32) {
    for_dim(std::integral_constant<int, 32>{});
  } else if (kernel.head_dim <= 64) {
    for_dim(std::integral_constant<int, 64>{});
  } else {
    for_dim(std::integral_constant<int, 128>{});
  }
}

// `passes` over the rows of all heads; a block's tiles have that many rows.
template <class S, class Argument>
void launch(void (*function)(Argument), const Argument& f, Device device, int64_t groups,
            unsigned passes, int tile_rows) {
  const size_t bytes = static_cast<size_t>(tile_rows * S::kStride) * sizeof(Bf16);
  cuda::allow_shared_memory(device, function, bytes);
  const int64_t parts = std::max<int64_t>(1, (f.kernel.longest_key + S::kRows - 1) / S::kRows);
  const dim3 blocks(static_cast<unsigned>(groups * f.kernel.heads), static_cast<unsigned>(parts),
                    passes);
  cuda::launch(device, {blocks, S::kThreads, bytes}, function, f);
}

}  // namespace dragoman::flash
