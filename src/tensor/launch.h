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

#include "core/real.h"
#include "core/rng.h"
#include "tensor/device.h"

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
#pragma omp parallel firstprivate(f) if (work >= kWorthThreads)
  {
    // Aligned and thread-local: kept from call to call.
    thread_local std::unique_ptr<real[]> memory;
    thread_local int64_t capacity = 0;
    if (capacity < scratch) {
      memory.reset(new real[static_cast<size_t>(scratch)]);
      capacity = scratch;
    }
#pragma omp for schedule(dynamic, 4)
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

/// out[c] = f(0, c) + ... + f(rows - 1, c), added to what is there if `accumulate`.
template <class F>
void sum_rows(Device, int64_t rows, int64_t columns, real* out, bool accumulate, F f) {
  const int64_t strips = (columns + kColumnStrip - 1) / kColumnStrip;
#pragma omp parallel for schedule(static) firstprivate(f) if (rows * columns >= kWorthThreads)
  for (int64_t strip = 0; strip < strips; ++strip) {
    const int64_t begin = strip * kColumnStrip;
    const int64_t width = std::min(kColumnStrip, columns - begin);
    real total[kColumnStrip] = {};
    for (int64_t row = 0; row < rows; ++row) {
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) total[c] += f(row, begin + c);
    }
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) {
      out[begin + c] = accumulate ? out[begin + c] + total[c] : total[c];
    }
  }
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
