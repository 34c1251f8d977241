// The lanes that work on one row of an operation together: a vector unit on a CPU, a block of
// threads on a GPU (a warp, where the row is short; tensor/gpu/lane_cuda.h). The build that
// emulates a GPU has both, and decides when it runs.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/math.h"
#include "core/real.h"
#include "core/rng.h"
#include "tensor/cpu/tile.h"
#include "tensor/reductions.h"
#if defined(DRAGOMAN_KERNELS)
#include "tensor/gpu/lane_cuda.h"
#endif

// Leaves the rest of a function to lanes that are threads; with CUDA it is compiled for these
// alone.
#if defined(__CUDA_ARCH__)
#define DRAGOMAN_BY_THREADS(call) return lane_of_threads::call
#elif defined(DRAGOMAN_EMULATED_GPU)
#define DRAGOMAN_BY_THREADS(call) \
  if (together()) return lane_of_threads::call
#else
#define DRAGOMAN_BY_THREADS(call)
#endif

namespace dragoman {

/// Where a row's functor finds the lanes that work on that row together. All of them run the whole
/// functor; what stands in an `each` is divided among them. A body given to `each` must not depend
/// on another element's. `each`, `once` and the reductions begin when all lanes have come to them,
/// and return when all have done their part: what one lane wrote in one of them, all can read
/// behind it. Outside of them memory that others can see may only be read.
class Lane {
 public:
  /// f(0), ..., f(n - 1), in any order. The same lane gets the same element every time.
  template <class F>
  DRAGOMAN_HOST_DEVICE void each(int64_t n, F f) const {
    DRAGOMAN_BY_THREADS(each(n, f));
#if !defined(__CUDA_ARCH__)
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) f(i);
#endif
  }

  /// f(), by one of the lanes.
  template <class F>
  DRAGOMAN_HOST_DEVICE void once(F f) const {
    each(1, [&](int64_t) { f(); });
  }

  /// f(0) + ... + f(n - 1).
  template <class F>
  DRAGOMAN_HOST_DEVICE real sum(int64_t n, F f) const {
    DRAGOMAN_BY_THREADS(sum<real>(n, f));
#if !defined(__CUDA_ARCH__)
    return tile::sum(kPartial, in_lanes(n, real{0}, f, reduce::Add{}).values);
#endif
  }

  /// The same with a sum in double precision; alone, in the order of i.
  template <class F>
  DRAGOMAN_HOST_DEVICE double sum_in_double(int64_t n, F f) const {
    DRAGOMAN_BY_THREADS(sum<double>(n, f));
#if !defined(__CUDA_ARCH__)
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += f(i);
    return total;
#endif
  }

  /// to[j] = f(j)(0) + ... + f(j)(n - 1) for each j below `count`.
  template <class F>
  DRAGOMAN_HOST_DEVICE void sums(int64_t count, int64_t n, real* to, F f) const {
    DRAGOMAN_BY_THREADS(sums(count, n, to, f));
#if !defined(__CUDA_ARCH__)
    for (int64_t j = 0; j < count; ++j) {
      const real total = sum(n, f(j));
      once([=] { to[j] = total; });
    }
#endif
  }

  /// Of each kWidth of the numbers f(0), ..., f(n - 1), and of those that are left: the maximum,
  /// most[j], and the sum of exp(f(i) - most[j]), total[j].
  template <int64_t kWidth, class F>
  DRAGOMAN_HOST_DEVICE void exponentials(int64_t n, real* most, real* total, F f) const {
    DRAGOMAN_BY_THREADS(exponentials<kWidth>(n, most, total, f));
#if !defined(__CUDA_ARCH__)
    for (int64_t begin = 0, j = 0; begin < n; begin += kWidth, ++j) {
      const int64_t width = n - begin < kWidth ? n - begin : kWidth;
      const real largest = max(width, [=](int64_t i) { return f(begin + i); });
      most[j] = largest;
      total[j] = sum(width, [=](int64_t i) { return exp_of(f(begin + i) - largest); });
    }
#endif
  }

  /// f(j)(i, to[0][i], ...), which adds to these numbers, for each i below n and j below `count`,
  /// in the order of j.
  template <class F, class... Numbers>
  DRAGOMAN_HOST_DEVICE void add_up(int64_t n, int64_t count, F f, Numbers*... to) const {
    DRAGOMAN_BY_THREADS(add_up(n, count, f, to...));
#if !defined(__CUDA_ARCH__)
    for (int64_t j = 0; j < count; ++j) {
      each(n, [=, of = f(j)](int64_t i) { of(i, to[i]...); });
    }
#endif
  }

  /// The lowest number.
  DRAGOMAN_HOST_DEVICE static constexpr real lowest() { return reduce::kLowest; }

  /// max(f(0), ..., f(n - 1)); the lowest number for n = 0. NaN is not kept.
  template <class F>
  DRAGOMAN_HOST_DEVICE real max(int64_t n, F f) const {
    DRAGOMAN_BY_THREADS(max(n, f));
#if !defined(__CUDA_ARCH__)
    return tile::max(kPartial, in_lanes(n, reduce::kLowest, f, reduce::Larger{}).values);
#endif
  }

  /// f(i, word) for i in [0, n), with the words of the blocks of the mask `key` from the `first`
  /// on.
  template <class F>
  DRAGOMAN_HOST_DEVICE void each_random(const RandomKey& key, uint64_t first, int64_t n,
                                        F f) const {
    constexpr int64_t kCounters = kRandomBlock / 4;
    const int64_t blocks = (n + kRandomBlock - 1) / kRandomBlock;
    if (together()) {
      // A counter's four words lie a quarter of a block apart.
      each(blocks * kCounters, [=](int64_t i) {
        const int64_t begin = i / kCounters * kRandomBlock + i % kCounters;
        uint32_t words[4];
        random_words(key, first * kCounters + static_cast<uint64_t>(i), words);
        for (int64_t part = 0; part < 4; ++part) {
          if (begin + part * kCounters < n) f(begin + part * kCounters, words[part]);
        }
      });
      return;
    }
#if !defined(__CUDA_ARCH__)
    for (int64_t block = 0; block < blocks; ++block) {
      uint32_t words[kRandomBlock];
      random_block(key, first + static_cast<uint64_t>(block), words);
      const int64_t begin = block * kRandomBlock;
      const int64_t count = n - begin < kRandomBlock ? n - begin : kRandomBlock;
      each(count, [=, &words](int64_t i) { f(begin + i, words[i]); });
    }
#endif
  }

  /// The sum and the maximum of x[0], ..., x[n - 1] where n is a positive multiple of
  /// tile::kVector.
  DRAGOMAN_HOST_DEVICE real sum_row(int64_t n, const real* x) const {
#if !defined(__CUDA_ARCH__)
    if (!together()) return tile::sum(n, x);
#endif
    return sum(n, [=](int64_t i) { return x[i]; });
  }
  DRAGOMAN_HOST_DEVICE real max_row(int64_t n, const real* x) const {
#if !defined(__CUDA_ARCH__)
    if (!together()) return tile::max(n, x);
#endif
    return max(n, [=](int64_t i) { return x[i]; });
  }

  /// As tile::product.
  template <class B>
  DRAGOMAN_HOST_DEVICE void product(int64_t m, int64_t n, int64_t k, const tile::Strided& a,
                                    const B* b, int64_t ldb, real* c, int64_t ldc,
                                    bool accumulate) const {
#if !defined(__CUDA_ARCH__)
    if (!together()) return tile::product(m, n, k, a, b, ldb, c, ldc, accumulate);
#endif
    each(m * n, [=, a = a](int64_t at) {
      const int64_t i = quotient(at, n), j = at - i * n;
      real total = accumulate ? c[i * ldc + j] : real{0};
      for (int64_t p = 0; p < k; ++p) total += a.data[i * a.row + p * a.column] * b[p * ldb + j];
      c[i * ldc + j] = total;
    });
  }

  /// As tile::product_of_rows.
  template <class T>
  DRAGOMAN_HOST_DEVICE void product_of_rows(int64_t m, int64_t n, int64_t k, const T* a,
                                            int64_t lda, const tile::Transposed<T>* b, int64_t ldb,
                                            real* c, int64_t ldc) const {
#if !defined(__CUDA_ARCH__)
    if (!together()) return tile::product_of_rows(m, n, k, a, lda, b, ldb, c, ldc);
#endif
    each(m * n, [=](int64_t at) {
      const int64_t i = quotient(at, n), j = at - i * n;
      real total = 0;
      for (int64_t p = 0; p < k; ++p) {
        total += a[i * lda + p] * tile::transposed_at<T>(b, ldb, p, j);
      }
      c[i * ldc + j] = total;
    });
  }

  /// As tile::transpose.
  template <class T>
  DRAGOMAN_HOST_DEVICE void transpose(int64_t rows, int64_t columns, const T* from, int64_t ld_from,
                                      tile::Transposed<T>* to, int64_t ld_to) const {
#if !defined(__CUDA_ARCH__)
    if (!together()) return tile::transpose(rows, columns, from, ld_from, to, ld_to);
#endif
    constexpr int64_t kPair = std::is_same_v<T, Bf16> ? 2 : 1;
    const int64_t width = tile::padded(rows), depth = (columns + kPair - 1) / kPair;
    each(width * depth, [=](int64_t at) {
      const int64_t i = quotient(at, depth), j = at - i * depth;
      const T* row = from + (i < rows ? i : rows - 1) * ld_from;
      if constexpr (kPair == 2) {
        to[j * ld_to + i] = tile::word_of(row + 2 * j, columns - 2 * j);
      } else {
        to[j * ld_to + i] = row[j];
      }
    });
  }

  /// Asks for a matrix that is read soon.
  template <class T>
  DRAGOMAN_HOST_DEVICE void fetch(int64_t rows, int64_t columns, const T* from,
                                  int64_t stride) const {
#if !defined(__CUDA_ARCH__)
    constexpr int64_t kLine = 64 / sizeof(T);
    for (int64_t i = 0; i < rows; ++i) {
      const T* row = from + i * stride;
      for (int64_t c = 0; c < columns; c += kLine) __builtin_prefetch(row + c);
      __builtin_prefetch(row + columns - 1);
      asm volatile("");  // else a call that does nothing else is one that does nothing
    }
#endif
  }

  /// As tile::copy.
  template <class T>
  DRAGOMAN_HOST_DEVICE void copy(int64_t rows, int64_t columns, const real* from, int64_t ld_from,
                                 T* to, int64_t ld_to, bool accumulate) const {
#if !defined(__CUDA_ARCH__)
    if (!together()) return tile::copy(rows, columns, from, ld_from, to, ld_to, accumulate);
#endif
    each(rows * columns, [=](int64_t at) {
      const int64_t i = quotient(at, columns), j = at - i * columns;
      const real x = from[i * ld_from + j];
      to[i * ld_to + j] = accumulate ? to[i * ld_to + j] + x : x;
    });
  }

 private:
#if !defined(__CUDA_ARCH__)
  // Two vectors of partial results, so that one need not wait for the other. (The reductions of
  // OpenMP end with one addition after the other.)
  static constexpr int64_t kPartial = 2 * tile::kVector;
  struct Partial {
    alignas(64) real values[kPartial];
  };
  template <class F, class Combine>
  static Partial in_lanes(int64_t n, real start, F f, Combine combine) {
    Partial made;
    for (real& value : made.values) value = start;
    int64_t begin = 0;
    for (; begin + kPartial <= n; begin += kPartial) {
#pragma omp simd
      for (int64_t i = 0; i < kPartial; ++i) made.values[i] = combine(made.values[i], f(begin + i));
    }
#pragma omp simd
    for (int64_t i = 0; i < n - begin; ++i) made.values[i] = combine(made.values[i], f(begin + i));
    return made;
  }
#endif

  // a / b, of numbers that are small here: a GPU divides 32 bits faster.
  DRAGOMAN_HOST_DEVICE static int64_t quotient(int64_t a, int64_t b) {
    return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  }

  // Whether the lanes are threads, which each run the functor.
  DRAGOMAN_HOST_DEVICE static bool together() {
#if defined(__CUDA_ARCH__)
    return true;
#elif defined(DRAGOMAN_EMULATED_GPU)
    return emulated::in_kernel();
#else
    return false;
#endif
  }
};

#undef DRAGOMAN_BY_THREADS

}  // namespace dragoman
