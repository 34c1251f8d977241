// What the kernels of attention's backward share: see flash_attention.h.
#pragma once

#include "ops/gpu/flash_attention.h"

namespace dragoman::flash {

// A gradient of the type that it has.
struct Gradient {
  void* data = nullptr;  // null if none is wanted
  int64_t stride = 0;
  bool accumulate = false, bf16 = false;

  template <class G>
  explicit Gradient(const ColumnGradient<G>& of)
      : data(of.data),
        stride(of.stride),
        accumulate(of.accumulate),
        bf16(std::is_same_v<G, Bf16>) {}

  // Gives it two numbers side by side, which begin at `at`.
  __device__ void write(int64_t at, float first, float second) const {
    if (bf16) {
      Bf16* const place = static_cast<Bf16*>(data) + at;
      if (accumulate) {
        first += place[0];
        second += place[1];
      }
      *reinterpret_cast<uint32_t*>(place) = bf16_pair(first, second);
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
  float row_max, inverse_sum, delta;
};

// Begins to find those of kRows queries from `query` on: copies their results into a tile.
template <class S, int kRows>
__device__ void load_numbers(QueryNumbers* to, Bf16* out, const Backward& f, const Task& t,
                             int query) {
  const int dim = static_cast<int>(f.kernel.head_dim);
  const attention_detail::Block<Bf16> results{f.out, f.kernel.heads * dim};
  load<S, kRows>(out, row_at(results, t.query_begin + query, t.head, dim), results.stride,
                 t.queries - query, dim);
  for (int row = static_cast<int>(threadIdx.x); row < kRows; row += S::kThreads) {
    const int64_t at = f.statistics.at(t.head, t.query_begin + query + row);
    const bool there = query + row < t.queries;
    to[row].row_max = there ? f.statistics.row_max[at] * kLog2e : 0;
    to[row].inverse_sum = there ? f.statistics.inverse_sum[at] : 0;
  }
}

// The rest of them, from the tiles of results and of their gradients.
template <class S, int kRows>
__device__ void finish_numbers(QueryNumbers* to, const Bf16* out, const Bf16* d_out) {
  for (int row = static_cast<int>(threadIdx.x) / 4; row < kRows; row += S::kThreads / 4) {
    float delta = 0;
#pragma unroll
    for (int c = lane() % 4 * 8; c < S::kDim; c += 32) {
      const uint4 words = *reinterpret_cast<const uint4*>(out + row * S::kStride + c);
      const uint4 d_words = *reinterpret_cast<const uint4*>(d_out + row * S::kStride + c);
      const auto add = [&](uint32_t x, uint32_t y) {
        delta += __uint_as_float(x << 16) * __uint_as_float(y << 16) +
                 __uint_as_float(x & 0xFFFF0000u) * __uint_as_float(y & 0xFFFF0000u);
      };
      add(words.x, d_words.x);
      add(words.y, d_words.y);
      add(words.z, d_words.z);
      add(words.w, d_words.w);
    }
    delta = sum_of_row(delta);
    if (lane() % 4 == 0) to[row].delta = delta;
  }
  __syncthreads();
}

// Writes the gradients of a warp's rows, which are `rows` from the row `row` of the matrix on, and
// of the columns from `column` on, of which `count` are there.
template <int kColumns>
__device__ void write(const Gradient& to, const Fragment<kColumns>& c, int64_t row, int rows,
                      int column, int count) {
  if (!to.data) return;
  const bool whole = to.bf16 && count >= kColumns;
#pragma unroll
  for (int e = 0; e < 4; e += 2) {
    if (row_of(e) >= rows) continue;
    const int64_t at = (row + row_of(e)) * to.stride + column + column_of(0, e);
    if (whole) {
      auto* const place = reinterpret_cast<uint32_t*>(static_cast<Bf16*>(to.data) + at);
      // All that is added to is asked for at once.
      uint32_t old[kColumns / 8] = {};
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        if (to.accumulate) old[n] = place[n * 4];
      }
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        place[n * 4] = bf16_pair(c[n][e] + __uint_as_float(old[n] << 16),
                                 c[n][e + 1] + __uint_as_float(old[n] & 0xFFFF0000u));
      }
    } else {
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        if (column_of(n, e) < count) to.write(at + n * 8, c[n][e], c[n][e + 1]);
      }
    }
  }
}

// Turns the products of a warp's rows, from `first` on, with the columns from `column` on, which
// end at `columns`, into weights, and those of results' gradients with values into the gradients of
// the products. The numbers are those of the queries, which are the rows or the columns.
template <bool kDrops, bool kOfKeys, int kColumns>
__device__ void weigh(Fragment<kColumns>& weights, Fragment<kColumns>& gradients, const Backward& f,
                      const Task& t, const QueryNumbers* numbers, int first, int column,
                      int columns) {
  const AttentionKernel<Bf16>& kernel = f.kernel;
  const float scale = kernel.scale;
  const int count = columns - column, all_rows = kOfKeys ? t.keys : t.queries;
  // Whether every row of the warp and every column see each other.
  const bool all = first + kTile <= all_rows && count >= kColumns &&
                   kernel.sight.in_order(kOfKeys ? column : first,
                                         (kOfKeys ? first + kTile : column + kColumns) - 1);
  const auto make_of = [&](int n, int e, float factor, const QueryNumbers& query) {
    const int i = kOfKeys ? column + column_of(n, e) : first + row_of(e);
    const int j = kOfKeys ? first + row_of(e) : column + column_of(n, e);
    const bool there = all || (i < t.queries && j < t.keys && kernel.sight.in_order(i, j));
    const float power_of_two = exp2_of(scale * kLog2e * weights[n][e] - query.row_max);
    const float weight = there ? query.inverse_sum * power_of_two : 0;
    gradients[n][e] = scale * weight * (factor * gradients[n][e] - query.delta);
    weights[n][e] = factor * weight;
  };
  const auto make = [&](int n, int e, float factor) {
    make_of(n, e, factor, numbers[kOfKeys ? column_of(n, e) : row_of(e)]);
  };
  if constexpr (!kDrops) {
    // Two of a thread's four numbers are of one query.
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int one = kOfKeys ? half : 2 * half, other = kOfKeys ? half + 2 : one + 1;
        const QueryNumbers query = numbers[kOfKeys ? column_of(n, one) : row_of(one)];
        make_of(n, one, 1, query);
        make_of(n, other, 1, query);
      }
    }
  } else if constexpr (kOfKeys) {
    Drop{kernel, t}.of_keys<kColumns>(first, column, make);
  } else {
    Drop{kernel, t}.of_queries<kColumns>(first, column, make);
  }
  each_hidden<kOfKeys, kColumns>(kernel.sight, first, column, t.keys,
                                 [&](int n, int e) { weights[n][e] = gradients[n][e] = 0; });
}

}  // namespace dragoman::flash
