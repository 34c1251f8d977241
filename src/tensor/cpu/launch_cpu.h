// The launchers of the CPU: this file alone has pragmas of OpenMP.
//
// Any thread may launch, several at once: each has helpers and scratch memory of its own. An
// exception in a functor of rows or tasks reaches who launched, as it would without threads; what
// is vector code (map, Lane::each) must not throw.
//
// Each thread has a copy of the functor: what it holds can then not change under the compiler's
// eyes, and the loops become vector code. Work is divided so that each output is summed by one
// thread in a fixed order, whatever the number of threads.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include "core/real.h"
#include "core/rng.h"
#include "tensor/column_sums.h"
#include "tensor/cpu/scratch.h"
#include "tensor/cpu/threads.h"
#include "tensor/lane.h"

namespace dragoman::launch::cpu {

/// Below this many elementary operations a second thread costs more than it brings (a parallel
/// region takes about 2 us).
inline constexpr int64_t kWorthThreads = 16384;

/// Elements that one thread maps at a time. The blocks are the same for any number of threads,
/// since the last few elements of a loop, which do not fill a vector, may be rounded otherwise.
inline constexpr int64_t kMapBlock = 1024;

namespace detail {

// How many threads that much work is for. One alone needs no region of OpenMP, which takes half a
// microsecond even then: as long as many an operation of one sentence's next word.
inline int threads_for(int64_t work) { return work < kWorthThreads ? 1 : thread_count(); }

// f(thread, team) by each thread of a team of that many, or fewer where the system grants no more.
// An exception that left a region of OpenMP would end the program. One waits, of several the first,
// until all have done their part.
template <class F>
void on_threads(int threads, const F& f) {
  std::exception_ptr failure;
  std::atomic_flag failed;
#pragma omp parallel num_threads(threads)
  {
    try {
      f(omp_get_thread_num(), omp_get_num_threads());
    } catch (...) {
      if (!failed.test_and_set()) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

// Apart, so that it is compiled once, alone or among threads. `own` is the copy of the thread: with
// a parameter in its place the loops of random numbers took ten times as long.
template <class F>
[[gnu::noinline]] void each(const F& f, int64_t begin, int64_t end) {
  const F own = f;
  for (int64_t i = begin; i < end; ++i) own(i);
}

// f(0), ..., f(count - 1), which are about equally long.
template <class F>
void divide(int64_t count, int64_t work, const F& f) {
  const int threads = threads_for(work);
  if (threads == 1) return each(f, 0, count);
  on_threads(threads, [&](int64_t thread, int64_t team) {
    each(f, count * thread / team, count * (thread + 1) / team);
  });
}

// `chunk` tasks after the other, until `next` has come to `count`.
template <class F>
[[gnu::noinline]] void tasks_from(std::atomic<int64_t>& next, int64_t chunk, int64_t count,
                                  real* scratch, const F& f) {
  const F own = f;
  for (int64_t begin = next.fetch_add(chunk); begin < count; begin = next.fetch_add(chunk)) {
    const int64_t end = std::min(begin + chunk, count);
    for (int64_t task = begin; task < end; ++task) own(Lane{}, task, scratch);
  }
}

}  // namespace detail

template <class F>
void map(int64_t n, F f) {
  detail::divide((n + kMapBlock - 1) / kMapBlock, n, [=](int64_t block) {
    const int64_t end = std::min(n, (block + 1) * kMapBlock);
#pragma omp simd
    for (int64_t i = block * kMapBlock; i < end; ++i) f(i);
  });
}

template <class F>
void rows(int64_t rows, int64_t columns, F f) {
  detail::divide(rows, rows * columns, [=](int64_t row) { f(Lane{}, row); });
}

template <class F>
void tasks(int64_t count, int64_t scratch, int64_t work, F f) {
  constexpr int64_t kLine = 64 / sizeof(real);  // of the cache: threads share none
  const int threads = detail::threads_for(work);
  const int64_t of_thread = (scratch + kLine - 1) / kLine * kLine;
  real* const memory = scratch_memory(threads * of_thread);
  std::atomic<int64_t> next = 0;
  if (threads == 1) return detail::tasks_from(next, count, count, memory, f);
  const int64_t chunk = std::clamp<int64_t>(count / (4 * threads), 1, 4);
  detail::on_threads(threads, [&](int64_t thread, int64_t) {
    detail::tasks_from(next, chunk, count, memory + thread * of_thread, f);
  });
}

template <class F>
void map_random(int64_t n, RandomKey key, F f) {
  detail::divide((n + kRandomBlock - 1) / kRandomBlock, n, [=](int64_t block) {
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
  });
}

/// Columns that one thread sums at a time: a cache line of floats times 4.
inline constexpr int64_t kColumnStrip = 64;

template <class... F>
void sum_rows(int64_t rows, int64_t columns, ColumnSums<F>... sums) {
  // Each block is read in its order in memory, and makes a row of partial sums for each result.
  constexpr int64_t kResults = sizeof...(sums);
  const int64_t blocks = std::max<int64_t>(1, (rows + kRowBlock - 1) / kRowBlock);
  real* const partial = scratch_memory(kResults * blocks * columns);
  detail::divide(blocks, rows * columns, [=](int64_t block) {
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
  });
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
  detail::divide(strips, rows * columns, [=](int64_t strip) {
    const int64_t begin = strip * kColumnStrip;
    const int64_t width = std::min(kColumnStrip, columns - begin);
    for (int64_t row = 0; row < rows; ++row) {
      if (index[row] < 0) continue;
      real* target = to + index[row] * columns + begin;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) target[c] += f(row, begin + c);
    }
  });
}

}  // namespace dragoman::launch::cpu
