// Attention on a GPU's matrix units, for bf16 (FlashAttention of Dao et al. 2022, 2023): a block of
// threads has some rows of one head of one group, a warp 16 of them, and walks over the others in
// tiles that lie in shared memory; the weights stay in registers. Forward is for rows of queries.
// Backward is for rows of queries, whose gradients they make, and for rows of keys, which make
// those of keys and values: both compute the weights again, so that no sum is shared between
// blocks and results are the same from run to run.
#pragma once

#include "ops/attention_kernel.h"
#include "ops/column_gradients.h"
#include "tensor/cuda.h"

namespace dragoman::flash {

using attention_detail::AttentionKernel;
using attention_detail::Statistics;

// A block's group and head, in numbers that a GPU computes with fast.
struct Task {
  int head, query_begin, queries, key_begin, keys;

  __device__ Task(const AttentionKernel<Bf16>& kernel, int64_t index) {
    const AttentionKernel<Bf16>::Task t = kernel.task(index);
    head = static_cast<int>(t.head);
    query_begin = static_cast<int>(t.query_begin);
    queries = static_cast<int>(t.queries);
    key_begin = static_cast<int>(t.key_begin);
    keys = static_cast<int>(t.keys);
  }
};

// The head's part of the i-th row of its group's.
__device__ inline const Bf16* row_at(const attention_detail::Block<Bf16>& block, int64_t row,
                                     const Task& t, int dim) {
  return block.row(row) + t.head * dim;
}

// What the matrix units multiply: [16, 16] by [16, 8].
inline constexpr int kTile = 16;
inline constexpr float kLog2e = 1.44269504f;

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

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % 32; }
__device__ inline int warp() { return static_cast<int>(threadIdx.x) / 32; }

__device__ inline uint32_t pair(float low, float high) {
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

// 2^x, which is 0 for what a float holds with fewer digits.
__device__ inline float power(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// c += a b of one tile.
__device__ inline void multiply_tile(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                     uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four matrices [8, 8], whose rows the lanes have the addresses of.
__device__ inline void load_tiles(uint32_t (&to)[4], const Bf16* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_tiles_transposed(uint32_t (&to)[4], const Bf16* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

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
  const auto to =
      static_cast<uint32_t>(__cvta_generic_to_shared(tile + first * S::kStride + column));
#pragma unroll
  for (int row = 0; row < kRows; row += kStep) {
    const bool copies = first + row < there;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     to + static_cast<uint32_t>(row * S::kStride) * 2),
                 "l"(copies ? source : from), "r"(copies ? 16 : 0)
                 : "memory");
    source += kStep * stride;
  }
}

// Waits until what all threads began to copy is there for all.
__device__ inline void finish_loads() {
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
}

// The numbers that a thread has of a warp's 16 rows and of some columns: c[n][e] is that of the row
// row_of(e) and of the column column_of(n, e).
template <int kColumns>
using Fragment = float[kColumns / 8][4];
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
      const uint32_t a[4] = {pair(left[0], left[1]), pair(left[2], left[3]),
                             pair(right[0], right[1]), pair(right[2], right[3])};
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

struct Forward {
  AttentionKernel<Bf16> kernel;
  Bf16* out;  // [queries, heads * value_dim]
  Statistics statistics;
};

// The larger, and the sum, of the four lanes that share a row.
__device__ inline float max_of_row(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}
__device__ inline float sum_of_row(float x) {
  x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
  return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

// The softmax of the rows of a warp as it goes over the keys, in powers of 2.
struct Softmax {
  float most[2] = {Lane::lowest(), Lane::lowest()}, total[2] = {0, 0};

  // From scaled products to exp2(product - most), and what was summed up before to what it would
  // have been with the new maxima.
  template <int kColumns, int kDim>
  __device__ void add(Fragment<kColumns>& s, Fragment<kDim>& sums) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float larger = most[half];
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        larger = fmaxf(larger, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
      }
      larger = max_of_row(larger);
      const float kept = power(most[half] - larger);
      float part = 0;
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          s[n][e] = power(s[n][e] - larger);
          part += s[n][e];
        }
      }
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        sums[n][2 * half] *= kept;
        sums[n][2 * half + 1] *= kept;
      }
      total[half] = total[half] * kept + sum_of_row(part);
      most[half] = larger;
    }
  }
};

template <class S, bool kDrops>
__global__ void __launch_bounds__(S::kThreads) forward_kernel(const __grid_constant__ Forward f) {
  extern __shared__ __align__(16) unsigned char memory[];
  const AttentionKernel<Bf16>& kernel = f.kernel;
  const Task t(kernel, blockIdx.x);
  const int dim = static_cast<int>(kernel.head_dim);
  Bf16* const queries = reinterpret_cast<Bf16*>(memory);
  Bf16* const keys = queries + S::kRows * S::kStride;
  Bf16* const values = keys + S::kColumns * S::kStride;
  const float scale = kernel.scale * kLog2e;
  const int step = static_cast<int>(gridDim.y) * S::kRows;
  for (int begin = static_cast<int>(blockIdx.y) * S::kRows; begin < t.queries; begin += step) {
    __syncthreads();  // whoever still reads the tiles before
    load<S, S::kRows>(queries, row_at(kernel.query, t.query_begin + begin, t, dim),
                      kernel.query.stride, t.queries - begin, dim);
    const int seen = kernel.causal ? min(t.keys, begin + S::kRows) : t.keys;
    const int first = begin + warp() * kTile;  // of this warp's queries
    Fragment<S::kDim> sums;
    clear<S::kDim>(sums);
    Softmax softmax;
    for (int key = 0; key < seen; key += S::kColumns) {
      const int count = min(seen - key, S::kColumns);
      if (key > 0) __syncthreads();  // whoever still reads the tiles before
      load<S, S::kColumns>(keys, row_at(kernel.key, t.key_begin + key, t, dim), kernel.key.stride,
                           count, dim);
      load<S, S::kColumns>(values, row_at(kernel.value, t.key_begin + key, t, dim),
                           kernel.value.stride, count, dim);
      finish_loads();
      if (first >= t.queries) continue;
      Fragment<S::kColumns> s;
      multiply_rows<S, S::kColumns>(s, queries + warp() * kTile * S::kStride, keys, count);
      // The last key that a row sees; all of them see those that the first does.
      const int last = kernel.causal ? min(t.keys - 1, first) : t.keys - 1;
      const bool all = key + S::kColumns <= last + 1;
#pragma unroll
      for (int n = 0; n < S::kColumns / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int j = key + column_of(n, e);
          const bool sees = all || (j < t.keys && (!kernel.causal || j <= first + row_of(e)));
          s[n][e] = sees ? scale * s[n][e] : Lane::lowest();
        }
      }
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
      const float share = seen > 0 ? 1 / softmax.total[half] : 0;
      const int64_t row = t.query_begin + i;
      Bf16* const to = f.out + (row * kernel.heads + t.head) * dim;
#pragma unroll
      for (int n = 0; n < S::kDim / 8; ++n) {
        const int c = column_of(n, 0);
        if (c < dim) {
          *reinterpret_cast<uint32_t*>(to + c) =
              pair(share * sums[n][2 * half], share * sums[n][2 * half + 1]);
        }
      }
      if (lane() % 4 == 0) {
        const int64_t at = f.statistics.at(t.head, row);
        f.statistics.most[at] = softmax.most[half] / kLog2e;
        f.statistics.share[at] = share;
      }
    }
  }
}

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

// Whether the kernels here can be used: rows are read 16 bytes at a time.
inline bool serves(const AttentionKernel<Bf16>& kernel) {
  const auto aligned = [&](const attention_detail::Block<Bf16>& block) {
    return block.stride % 8 == 0 && reinterpret_cast<uintptr_t>(block.data) % 16 == 0;
  };
  return !kernel.key_segments && !kernel.key_rows && kernel.head_dim == kernel.value_dim &&
         kernel.head_dim % 8 == 0 && kernel.head_dim <= 128 && aligned(kernel.query) &&
         aligned(kernel.key) && aligned(kernel.value);
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
  const cudaStream_t stream = cuda::stream_of(device.index);
  const size_t bytes = static_cast<size_t>(tile_rows * S::kStride) * sizeof(Bf16);
  cuda::check_call(
      cudaFuncSetAttribute(reinterpret_cast<const void*>(function),
                           cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
      "attention wants more shared memory than there is");
  const int64_t parts = std::max<int64_t>(1, (f.kernel.longest_key + S::kRows - 1) / S::kRows);
  const dim3 blocks(static_cast<unsigned>(groups * f.kernel.heads), static_cast<unsigned>(parts),
                    passes);
  function<<<blocks, S::kThreads, bytes, stream>>>(f);
  cuda::check_call(cudaGetLastError(), "a kernel could not be launched");
}

/// Attention of `groups` groups, which have `queries` queries together.
inline void forward(Device device, int64_t groups, int64_t queries, const Forward& f) {
  if (groups == 0) return;
  with_sizes(f.kernel, queries / groups, [&]<class S, bool kDrops>(S, std::bool_constant<kDrops>) {
    launch<S>(forward_kernel<S, kDrops>, f, device, groups, 1, S::kRows + 2 * S::kColumns);
  });
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
