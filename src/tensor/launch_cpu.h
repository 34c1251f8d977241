// The launchers of the CPU: this file alone has pragmas of OpenMP.
//
// Each thread has a copy of the functor (firstprivate): what it holds can then not change under the
// compiler's eyes, and the loops become vector code. Work is divided so that each output is summed
// by one thread in a fixed order, whatever the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "core/real.h"
#include "core/rng.h"
#include "tensor/column_sums.h"
#include "tensor/lane.h"
#include "tensor/threads.h"

namespace dragoman::launch::cpu {

/// Below this many elementary operations a second thread costs more than it brings (a parallel
/// region takes about 2 us).
inline constexpr int64_t kWorthThreads = 16384;

/// Elements that one thread maps at a time. The blocks are the same for any number of threads,
/// since the last few elements of a loop, which do not fill a vector, may be rounded otherwise.
inline constexpr int64_t kMapBlock = 1024;

template <class F>
void map(int64_t n, F f) {
  const int64_t blocks = (n + kMapBlock - 1) / kMapBlock;
#pragma omp parallel for schedule(static) firstprivate(f) if (n >= kWorthThreads)
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t end = std::min(n, (block + 1) * kMapBlock);
#pragma omp simd
    for (int64_t i = block * kMapBlock; i < end; ++i) f(i);
  }
}

template <class F>
void rows(int64_t rows, int64_t columns, F f) {
#pragma omp parallel for schedule(static) firstprivate(f) if (rows * columns >= kWorthThreads)
  for (int64_t row = 0; row < rows; ++row) f(Lane{}, row);
}

template <class F>
void tasks(int64_t count, int64_t scratch, int64_t work, F f) {
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
#pragma omp for schedule(dynamic, chunk) nowait  // the end of the region waits
    for (int64_t task = 0; task < count; ++task) f(Lane{}, task, memory.get());
  }
}

template <class F>
void map_random(int64_t n, RandomKey key, F f) {
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

template <class... F>
void sum_rows(int64_t rows, int64_t columns, ColumnSums<F>... sums) {
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

template <class F>
void scatter_add_rows(int64_t rows, int64_t columns, const int32_t* index, int64_t, real* to, F f) {
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

}  // namespace dragoman::launch::cpu
