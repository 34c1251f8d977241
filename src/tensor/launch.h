// How the body of an operation is run over its elements. An operation hands over a functor marked
// DRAGOMAN_HOST_DEVICE; what follows decides how the work is divided. This is the only file that
// knows of threads and vectors, and where a device's kernels are launched.
//
// A functor names what it needs before it and captures it all by [=]: CUDA allows no initialised
// captures in code for both sides. Where a closure of the tape follows, these names stand in a
// block of their own, so that the closure cannot hold an address instead of what keeps the memory
// alive.
//
// Each thread has a copy of the functor (firstprivate): what it holds can then not change under the
// compiler's eyes, and the loops become vector code.
//
// Every launcher gives the same result, bit for bit, for any number of threads: work is divided so
// that each output is summed by one thread in a fixed order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "core/real.h"
#include "core/rng.h"
#include "tensor/device.h"
#include "tensor/threads.h"
#include "tensor/tile.h"

namespace dragoman {

/// Where a row's functor finds the lanes that work on that row together: a vector unit here, a
/// block of threads on a GPU. A body given to `each` must not depend on another element's.
class Lane {
 public:
  /// f(0), ..., f(n - 1), in any order.
  template <class F>
  DRAGOMAN_HOST_DEVICE void each(int64_t n, F f) const {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) f(i);
  }

  /// f(0) + ... + f(n - 1).
  template <class F>
  DRAGOMAN_HOST_DEVICE real sum(int64_t n, F f) const {
    real total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; ++i) total += f(i);
    return total;
  }

  /// The lowest number.
  DRAGOMAN_HOST_DEVICE static constexpr real lowest() { return -kLargest; }

  /// max(f(0), ..., f(n - 1)); the lowest number for n = 0. NaN is not kept.
  template <class F>
  DRAGOMAN_HOST_DEVICE real max(int64_t n, F f) const {
    real most = -kLargest;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; ++i) {
      const real value = f(i);
      most = value > most ? value : most;
    }
    return most;
  }

  /// On numbers at hand, as in tensor/tile.h: reductions of short rows, whose length is a multiple
  /// of tile::kLanes, a small product and a transposition.
  real sum_row(int64_t n, const real* x) const { return tile::sum(n, x); }
  real max_row(int64_t n, const real* x) const { return tile::max(n, x); }
  void product(int64_t m, int64_t n, int64_t k, tile::Strided a, const real* b, int64_t ldb,
               real* c, int64_t ldc, bool accumulate) const {
    tile::product(m, n, k, a, b, ldb, c, ldc, accumulate);
  }
  void transpose(int64_t rows, int64_t columns, const real* from, int64_t ld_from, real* to,
                 int64_t ld_to) const {
    tile::transpose(rows, columns, from, ld_from, to, ld_to);
  }

 private:
  static constexpr real kLargest = static_cast<real>(3.4028234663852886e38);
};

namespace launch {

/// Below this many elementary operations a second thread costs more than it brings (a parallel
/// region takes about 2 us).
inline constexpr int64_t kWorthThreads = 16384;

/// Elements that one thread maps at a time. The blocks are the same for any number of threads,
/// since the last few elements of a loop, which do not fill a vector, may be rounded otherwise.
inline constexpr int64_t kMapBlock = 1024;

/// f(0), ..., f(n - 1), in any order: element-wise operations.
template <class F>
void map(Device, int64_t n, F f) {
  const int64_t blocks = (n + kMapBlock - 1) / kMapBlock;
#pragma omp parallel for schedule(static) firstprivate(f) if (n >= kWorthThreads)
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t end = std::min(n, (block + 1) * kMapBlock);
#pragma omp simd
    for (int64_t i = block * kMapBlock; i < end; ++i) f(i);
  }
}

/// f(lane, 0), ..., f(lane, rows - 1): operations on whole rows of about `columns` elements.
template <class F>
void rows(Device, int64_t rows, int64_t columns, F f) {
#pragma omp parallel for schedule(static) firstprivate(f) if (rows * columns >= kWorthThreads)
  for (int64_t row = 0; row < rows; ++row) f(Lane{}, row);
}

/// f(lane, task, scratch) for uneven tasks, each with `scratch` numbers of its own. `work` is about
/// the number of elementary operations of them all.
template <class F>
void tasks(Device, int64_t count, int64_t scratch, int64_t work, F f) {
  const int64_t chunk = std::clamp<int64_t>(count / (4 * thread_count()), 1, 4);
#pragma omp parallel firstprivate(f) if (work >= kWorthThreads)
  {
    // Aligned to a cache line, and thread-local: kept from call to call.
    constexpr std::align_val_t kLine{64};
    struct Free {
      void operator()(real* data) const { ::operator delete[](data, kLine); }
    };
    thread_local std::unique_ptr<real[], Free> memory;
    thread_local int64_t capacity = 0;
    if (capacity < scratch) {
      memory.reset(new (kLine) real[static_cast<size_t>(scratch)]);
      capacity = scratch;
    }
#pragma omp for schedule(dynamic, chunk)
    for (int64_t task = 0; task < count; ++task) f(Lane{}, task, memory.get());
  }
}

/// f(i, word) for i in [0, n), with the i-th random word of the mask `key`.
template <class F>
void map_random(Device, int64_t n, RandomKey key, F f) {
  const int64_t blocks = (n + kRandomBlock - 1) / kRandomBlock;
#pragma omp parallel for schedule(static) firstprivate(f) if (n >= kWorthThreads)
  for (int64_t block = 0; block < blocks; ++block) {
    uint32_t words[kRandomBlock];
    random_block(key, static_cast<uint64_t>(block), words);
    const int64_t begin = block * kRandomBlock;
    const int64_t count = std::min<int64_t>(kRandomBlock, n - begin);
    if (count == kRandomBlock) {
#pragma omp simd
      for (int64_t i = 0; i < kRandomBlock; ++i) f(begin + i, words[i]);
    } else {
      for (int64_t i = 0; i < count; ++i) f(begin + i, words[i]);
    }
  }
}

/// Columns that one thread sums at a time: a cache line of floats times 4.
inline constexpr int64_t kColumnStrip = 64;

/// Rows that one thread sums up, whatever the number of threads.
inline constexpr int64_t kRowBlock = 128;

/// The sums of the columns of f: out[c] = f(0, c) + ... + f(rows - 1, c), added to what is there if
/// `accumulate`.
template <class F>
struct ColumnSums {
  real* out;
  bool accumulate;
  F f;
};

/// Makes some ColumnSums in one pass. f is called once for each row and column, row by row in each
/// block of rows.
template <class... F>
void sum_rows(Device, int64_t rows, int64_t columns, ColumnSums<F>... sums) {
  // Each block is read in its order in memory, and makes a row of partial sums for each result.
  thread_local std::vector<real> memory;
  constexpr int64_t kResults = sizeof...(sums);
  const int64_t blocks = std::max<int64_t>(1, (rows + kRowBlock - 1) / kRowBlock);
  memory.resize(std::max(memory.size(), static_cast<size_t>(kResults * blocks * columns)));
  real* const partial = memory.data();
#pragma omp parallel for schedule(static) if (rows * columns >= kWorthThreads)
  for (int64_t block = 0; block < blocks; ++block) {
    real* const begin = partial + block * kResults * columns;
    std::fill_n(begin, kResults * columns, real{0});
    const int64_t end = std::min(rows, (block + 1) * kRowBlock);
    for (int64_t row = block * kRowBlock; row < end; ++row) {
      real* next = begin;
      const auto add = [&](auto f) {  // by value: what a thread alone knows makes vector code
        real* const to = next;
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) to[c] += f(row, c);
        next += columns;
      };
      (add(sums.f), ...);
    }
  }
  int64_t result = 0;
  const auto finish = [&](real* out, bool accumulate) {
    for (int64_t block = 0; block < blocks; ++block) {
      const real* const from = partial + (block * kResults + result) * columns;
      const bool first = block == 0 && !accumulate;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) out[c] = first ? from[c] : out[c] + from[c];
    }
    ++result;
  };
  (finish(sums.out, sums.accumulate), ...);
}

/// to[index[r]] += f(r, c) for every row r, in order of r; a negative index is left out.
template <class F>
void scatter_add_rows(Device, int64_t rows, int64_t columns, const int32_t* index, real* to, F f) {
  const int64_t strips = (columns + kColumnStrip - 1) / kColumnStrip;
#pragma omp parallel for schedule(static) firstprivate(f) if (rows * columns >= kWorthThreads)
  for (int64_t strip = 0; strip < strips; ++strip) {
    const int64_t begin = strip * kColumnStrip;
    const int64_t width = std::min(kColumnStrip, columns - begin);
    for (int64_t row = 0; row < rows; ++row) {
      if (index[row] < 0) continue;
      real* target = to + index[row] * columns + begin;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) target[c] += f(row, begin + c);
    }
  }
}

}  // namespace launch
}  // namespace dragoman
