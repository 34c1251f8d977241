// Backward of attention for groups that are one block's, all of their queries and keys: the weights
// are computed once, and put into shared memory for the products that go along queries.
#pragma once

#include "ops/gpu/flash_gradient.h"

namespace dragoman::flash {

// Two warps have 16 queries, or 16 keys, and half of the columns each.
template <int kDimensions, int kNumberOfRows>
struct ShortSizes {
  static constexpr int kDim = kDimensions;
  static constexpr int kRows = kNumberOfRows;
  static constexpr int kThreads = 32 * 2 * kRows / kTile;
  static constexpr int kStride = kDim + 8;
  static constexpr size_t kBytes = size_t{5} * kRows * kStride * sizeof(Bf16);
  static_assert(kRows <= kDim, "the weights are put where rows were");
};

template <class S, bool kDrops>
__global__ void __launch_bounds__(S::kThreads,
                                  S::kDim > 64 ? 1 : (kDrops ? 512 : 1024) / S::kThreads)
    short_backward_kernel(const __grid_constant__ Backward f) {
  __shared__ QueryNumbers numbers[S::kRows];
  const AttentionKernel<Bf16>& kernel = f.kernel;
  const int dim = static_cast<int>(kernel.head_dim);
  const Task t(kernel, blockIdx.x);
  const auto tile = [](int number) {
    return cuda::shared_memory<Bf16>() + number * S::kRows * S::kStride;
  };
  Bf16 *const queries = tile(0), *const d_results = tile(1), *const keys = tile(2),
              *const values = tile(3), *const results = tile(4);
  const auto load_from = [&](Bf16* to, const attention_detail::Block<Bf16>& from, int row,
                             int count) {
    load<S, S::kRows>(to, row_at(from, row, t.head, dim), from.stride, count, dim);
  };
  load_from(queries, kernel.query, t.query_begin, t.queries);
  load_from(keys, kernel.key, t.key_begin, t.keys);
  load_from(values, kernel.value, t.key_begin, t.keys);
  load_from(d_results, {f.d_out, kernel.heads * dim}, t.query_begin, t.queries);
  load_numbers<S, S::kRows>(numbers, results, f, t, 0);
  finish_loads();
  finish_numbers<S, S::kRows>(numbers, results, d_results);

  const int first = warp() / 2 * kTile, half = warp() % 2;
  constexpr int kColumns = S::kRows / 2;
  const int column = half * kColumns;
  Bf16 *const weights = results, *const gradients = values;  // in the end
  Fragment<kColumns> my_weights, my_gradients;
  if (first < t.queries) {
    const int place = first * S::kStride, other = column * S::kStride, count = t.keys - column;
    multiply_rows<S, kColumns>(my_weights, queries + place, keys + other, count);
    multiply_rows<S, kColumns>(my_gradients, d_results + place, values + other, count);
    weigh<kDrops, false>(my_weights, my_gradients, f, t, numbers + first, first, column, t.keys);
    store<kColumns, S::kStride>(weights + place + column, my_weights);
  }
  __syncthreads();  // whoever still reads the values
  if (first < t.queries) {
    store<kColumns, S::kStride>(gradients + first * S::kStride + column, my_gradients);
  }
  __syncthreads();

  constexpr int kPart = S::kDim / 2;
  const int part = half * kPart, to = t.head * dim + part;
  Fragment<kPart> sums;
  if (first < t.queries) {
    multiply_stored<S, S::kRows, kPart, false>(sums, gradients + first * S::kStride, keys + part,
                                               t.keys);
    write<kPart>(f.d_query, sums, t.query_begin + first, t.queries - first, to, dim - part);
  }
  if (first < t.keys) {
    multiply_stored<S, S::kRows, kPart, true>(sums, weights + first, d_results + part, t.queries);
    write<kPart>(f.d_value, sums, t.key_begin + first, t.keys - first, to, dim - part);
    multiply_stored<S, S::kRows, kPart, true>(sums, gradients + first, queries + part, t.queries);
    write<kPart>(f.d_key, sums, t.key_begin + first, t.keys - first, to, dim - part);
  }
}

/// The gradients of `groups` groups that have no more than `longest` queries or keys each; false if
/// these are too many, or if heads share keys.
inline bool short_backward(Device device, int64_t groups, int64_t longest, const Backward& f) {
  if (f.kernel.sharing > 1) return false;
  const auto launch = [&]<class S, bool kDrops>(S, std::bool_constant<kDrops>) {
    const auto kernel = short_backward_kernel<S, kDrops>;
    cuda::allow_shared_memory(device, kernel, S::kBytes);
    cuda::launch(device, {static_cast<unsigned>(groups * f.kernel.heads), S::kThreads, S::kBytes},
                 kernel, f);
    return true;
  };
  const auto with_rows = [&]<int kDim, int kRows>(ShortSizes<kDim, kRows> sizes) {
    return f.kernel.drops ? launch(sizes, std::true_type{}) : launch(sizes, std::false_type{});
  };
  const int64_t dim = f.kernel.head_dim;
  if (longest <= 32) {
    return dim <= 32   ? with_rows(ShortSizes<32, 32>{})
           : dim <= 64 ? with_rows(ShortSizes<64, 32>{})
                       : with_rows(ShortSizes<128, 32>{});
  }
  if (longest <= 64 && dim > 32) {
    return dim <= 64 ? with_rows(ShortSizes<64, 64>{}) : with_rows(ShortSizes<128, 64>{});
  }
  return false;
}

}  // namespace dragoman::flash
