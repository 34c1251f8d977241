// Backward of attention on a GPU's matrix units: see flash_attention_cuda.h.
#pragma once

#include "ops/flash_attention_cuda.h"

namespace dragoman::flash {

// A gradient of the type that it has.
struct Gradient {
  void* data = nullptr;  // null if none is wanted
  int64_t stride = 0;
  bool accumulate = false, low = false;

  template <class G>
  explicit Gradient(const ColumnGradient<G>& of)
      : data(of.data), stride(of.stride), accumulate(of.accumulate), low(std::is_same_v<G, Bf16>) {}

  // Gives it two numbers side by side, which begin at `at`.
  __device__ void write(int64_t at, float first, float second) const {
    if (low) {
      Bf16* const place = static_cast<Bf16*>(data) + at;
      if (accumulate) {
        first += place[0];
        second += place[1];
      }
      *reinterpret_cast<uint32_t*>(place) = pair(first, second);
    } else {
      float* const place = static_cast<float*>(data) + at;
      if (accumulate) {
        first += place[0];
        second += place[1];
      }
      *reinterpret_cast<float2*>(place) = make_float2(first, second);
    }
  }
};

struct Backward {
  AttentionKernel<Bf16> kernel;
  const Bf16 *out, *d_out;  // [queries, heads * value_dim]
  Statistics statistics;
  Gradient d_query, d_key, d_value;
};

// What backward reads of a query: from its statistics, and the product of its result with that
// result's gradient, which is the sum over the keys of weight times gradient of the weight.
struct QueryNumbers {
  float most, share, along;
};

// Begins to find those of kRows queries from `query` on: copies their results into a tile.
template <class S, int kRows>
__device__ void load_numbers(QueryNumbers* to, Bf16* out, const Backward& f, const Task& t,
                             int query) {
  const int dim = static_cast<int>(f.kernel.head_dim);
  const attention_detail::Block<Bf16> results{f.out, f.kernel.heads * dim};
  load<S, kRows>(out, row_at(results, t.query_begin + query, t, dim), results.stride,
                 t.queries - query, dim);
  for (int row = static_cast<int>(threadIdx.x); row < kRows; row += S::kThreads) {
    const int64_t at = f.statistics.at(t.head, t.query_begin + query + row);
    const bool there = query + row < t.queries;
    to[row].most = there ? f.statistics.most[at] * kLog2e : 0;
    to[row].share = there ? f.statistics.share[at] : 0;
  }
}

// The rest of them, from the tiles of results and of their gradients.
template <class S, int kRows>
__device__ void finish_numbers(QueryNumbers* to, const Bf16* out, const Bf16* d_out) {
  for (int row = static_cast<int>(threadIdx.x) / 4; row < kRows; row += S::kThreads / 4) {
    float along = 0;
#pragma unroll
    for (int c = lane() % 4 * 8; c < S::kDim; c += 32) {
      const uint4 words = *reinterpret_cast<const uint4*>(out + row * S::kStride + c);
      const uint4 d_words = *reinterpret_cast<const uint4*>(d_out + row * S::kStride + c);
      const auto add = [&](uint32_t x, uint32_t y) {
        along += __uint_as_float(x << 16) * __uint_as_float(y << 16) +
                 __uint_as_float(x & 0xFFFF0000u) * __uint_as_float(y & 0xFFFF0000u);
      };
      add(words.x, d_words.x);
      add(words.y, d_words.y);
      add(words.z, d_words.z);
      add(words.w, d_words.w);
    }
    along = sum_of_row(along);
    if (lane() % 4 == 0) to[row].along = along;
  }
  __syncthreads();
}

// Writes the gradients of a warp's rows, which are `rows` from the row `row` of the matrix on.
template <class S>
__device__ void write(const Gradient& to, const Fragment<S::kDim>& c, int64_t row, int rows,
                      int column, int dim) {
  if (!to.data) return;
  const bool simple = to.low && !to.accumulate && dim == S::kDim;
#pragma unroll
  for (int e = 0; e < 4; e += 2) {
    if (row_of(e) >= rows) continue;
    const int64_t at = (row + row_of(e)) * to.stride + column + column_of(0, e);
    if (simple) {
      auto* const place = reinterpret_cast<uint32_t*>(static_cast<Bf16*>(to.data) + at);
#pragma unroll
      for (int n = 0; n < S::kDim / 8; ++n) place[n * 4] = pair(c[n][e], c[n][e + 1]);
    } else {
#pragma unroll
      for (int n = 0; n < S::kDim / 8; ++n) {
        if (column_of(n, e) < dim) to.write(at + n * 8, c[n][e], c[n][e + 1]);
      }
    }
  }
}

// For a block's rows, which are keys or queries, from `begin` on.
template <class S, bool kDrops, bool kOfKeys>
__device__ void go_back(const Backward& f, const Task& t, int begin, Bf16* memory) {
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
    load<S, kCount>(to0, row_at(kernel.query, row, t, dim), kernel.query.stride, there, dim);
    load<S, kCount>(to1, row_at(d_out, row, t, dim), d_out.stride, there, dim);
  };
  const auto load_keys = [&]<int kCount>(std::integral_constant<int, kCount>, int key, Bf16* to0,
                                         Bf16* to1) {
    const int64_t row = t.key_begin + key;
    const int there = t.keys - key;
    load<S, kCount>(to0, row_at(kernel.key, row, t, dim), kernel.key.stride, there, dim);
    load<S, kCount>(to1, row_at(kernel.value, row, t, dim), kernel.value.stride, there, dim);
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
  const int columns =
      kOfKeys ? t.queries : (kernel.causal ? min(t.keys, begin + S::kRows) : t.keys);
  const int first = begin + warp() * kTile;  // of this warp's rows
  const int first_column = kOfKeys && kernel.causal ? begin / kColumns * kColumns : 0;
  const float scale = kernel.scale;
  Fragment<S::kDim> sums0;                // the gradient of rows0
  Fragment<kOfKeys ? S::kDim : 8> sums1;  // that of rows1, if it is of values
  clear<S::kDim>(sums0);
  clear<kOfKeys ? S::kDim : 8>(sums1);
  for (int column = first_column; column < columns; column += kColumns) {
    if (column > first_column) __syncthreads();  // whoever still reads the tiles before
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
    // Whether every row of the warp and every column see each other.
    const bool all = first + kTile <= all_rows && count >= kColumns &&
                     (!kernel.causal ||
                      (kOfKeys ? first + kTile <= column + 1 : column + kColumns <= first + 1));
    const auto make_of = [&](int n, int e, float factor, const QueryNumbers& query) {
      const int i = kOfKeys ? column + column_of(n, e) : first + row_of(e);
      const int j = kOfKeys ? first + row_of(e) : column + column_of(n, e);
      const bool there = all || (i < t.queries && j < t.keys && (!kernel.causal || j <= i));
      const float power_of_two = power(scale * kLog2e * weights[n][e] - query.most);
      const float weight = there ? query.share * power_of_two : 0;
      gradients[n][e] = scale * weight * (factor * gradients[n][e] - query.along);
      weights[n][e] = factor * weight;
    };
    const auto make = [&](int n, int e, float factor) {
      make_of(n, e, factor, numbers[kOfKeys ? column_of(n, e) : warp() * kTile + row_of(e)]);
    };
    if constexpr (!kDrops) {
      // Two of a thread's four numbers are of one query.
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int one = kOfKeys ? half : 2 * half, other = kOfKeys ? half + 2 : one + 1;
          const QueryNumbers query =
              numbers[kOfKeys ? column_of(n, one) : warp() * kTile + row_of(one)];
          make_of(n, one, 1, query);
          make_of(n, other, 1, query);
        }
      }
    } else if constexpr (kOfKeys) {
      Drop{kernel, t}.of_keys<kColumns>(first, column, make);
    } else {
      Drop{kernel, t}.of_queries<kColumns>(first, column, make);
    }
    multiply_weights<S, kColumns>(sums0, gradients, columns0, count);
    if constexpr (kOfKeys) multiply_weights<S, kColumns>(sums1, weights, columns1, count);
  }
  if (first >= all_rows) return;
  const int64_t row = (kOfKeys ? t.key_begin : t.query_begin) + first;
  write<S>(kOfKeys ? f.d_key : f.d_query, sums0, row, all_rows - first, t.head * dim, dim);
  if constexpr (kOfKeys) {
    write<S>(f.d_value, sums1, row, all_rows - first, t.head * dim, dim);
  }
}

template <class S, bool kDrops>
__global__ void __launch_bounds__(S::kThreads, S::kDim > 64 || kDrops ? 1 : 512 / S::kThreads)
    backward_kernel(const __grid_constant__ Backward f) {
  extern __shared__ __align__(16) unsigned char memory[];
  Bf16* const tiles = reinterpret_cast<Bf16*>(memory);
  const Task t(f.kernel, blockIdx.x);
  const int first = static_cast<int>(blockIdx.y) * S::kRows;
  const int step = static_cast<int>(gridDim.y) * S::kRows;
  if (blockIdx.z == 0) {
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
/// Its gradients.
inline void backward(Device device, int64_t groups, int64_t queries, const Backward& f) {
  if (groups == 0) return;
  with_sizes(f.kernel, queries / groups, [&]<class S, bool kDrops>(S, std::bool_constant<kDrops>) {
    const int queries_of_tile = std::max(S::kRows, S::kColumnsBackward);
    launch<S>(backward_kernel<S, kDrops>, f, device, groups, 2,
              2 * (S::kRows + S::kColumnsBackward) + queries_of_tile);
  });
}

}  // namespace dragoman::flash