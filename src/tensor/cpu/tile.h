// Products and transpositions of small matrices by one thread, such as the keys of one head of one
// sentence: what a library's call would cost more than.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/bf16.h"
#include "core/real.h"

namespace dragoman::tile {

// Bytes of a vector register of the processor that is compiled for.
#if defined(__AVX512F__)
#define DRAGOMAN_VECTOR_BYTES 64
#elif defined(__AVX__)
#define DRAGOMAN_VECTOR_BYTES 32
#else
#define DRAGOMAN_VECTOR_BYTES 16
#endif

/// A vector register's worth of numbers.
using Vector = real __attribute__((vector_size(DRAGOMAN_VECTOR_BYTES)));
inline constexpr int64_t kVector = DRAGOMAN_VECTOR_BYTES / sizeof(real);

/// What the rows of small matrices are filled up to: a vector; in a build with CUDA, where all
/// processors and the GPU lay them out alike, the longest that there is.
#if defined(DRAGOMAN_CUDA)
inline constexpr int64_t kLanes = 64 / sizeof(real);
#else
inline constexpr int64_t kLanes = kVector;
#endif

/// The multiple of kLanes that is n or next above it.
constexpr int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

/// A matrix whose elements lie `row` and `column` apart, one of which is 1.
struct Strided {
  const real* data;
  int64_t row;
  int64_t column;
  Strided from_row(int64_t i) const { return {data + i * row, row, column}; }
};

/// What the transposition of a matrix of T holds: its numbers; of bf16, words of two numbers that
/// follow one another in a row, the first of them in the lower half.
template <class T>
using Transposed = std::conditional_t<std::is_same_v<T, Bf16>, uint32_t, T>;

/// The word of two numbers of which `left` are there, at least one; a zero after the last.
DRAGOMAN_HOST_DEVICE inline uint32_t word_of(const Bf16* from, int64_t left) {
  return from[0].bits | (left > 1 ? static_cast<uint32_t>(from[1].bits) << 16 : 0u);
}
/// Its lower or upper number.
DRAGOMAN_HOST_DEVICE inline real half(uint32_t word, bool upper) {
  return std::bit_cast<float>(upper ? word & 0xFFFF0000u : word << 16);
}
/// The number p, j of a transposition.
template <class T>
DRAGOMAN_HOST_DEVICE real transposed_at(const Transposed<T>* matrix, int64_t stride, int64_t p,
                                        int64_t j) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return half(matrix[p / 2 * stride + j], p % 2 == 1);
  } else {
    return matrix[p * stride + j];
  }
}

namespace detail {

using Unaligned =
    real __attribute__((vector_size(DRAGOMAN_VECTOR_BYTES), aligned(sizeof(real)), may_alias));

inline Vector load(const real* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void store(real* to, Vector x) { *reinterpret_cast<Unaligned*>(to) = x; }

inline Vector load(const real* from, int64_t count) {
  Vector x = {};
  for (int64_t i = 0; i < count; ++i) x[i] = from[i];
  return x;
}
inline void store(real* to, Vector x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = x[i];
}

inline Vector load(const Bf16* from, int64_t count) {
  Vector x = {};
  for (int64_t i = 0; i < count; ++i) x[i] = from[i];
  return x;
}
#if defined(DRAGOMAN_DOUBLE)
inline Vector load(const Bf16* from) { return load(from, kVector); }
#else
using Words = uint32_t __attribute__((vector_size(DRAGOMAN_VECTOR_BYTES)));
inline Vector load(const Bf16* from) {
  using Halves = uint16_t
      __attribute__((vector_size(DRAGOMAN_VECTOR_BYTES / 2), aligned(sizeof(Bf16)), may_alias));
  const Words words = __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Words);
  return std::bit_cast<Vector>(words << 16);
}
inline Words load(const uint32_t* from) {
  using Anywhere = uint32_t
      __attribute__((vector_size(DRAGOMAN_VECTOR_BYTES), aligned(sizeof(Bf16)), may_alias));
  return *reinterpret_cast<const Anywhere*>(from);
}
inline Words load(const uint32_t* from, int64_t count) {
  Words x = {};
  for (int64_t i = 0; i < count; ++i) x[i] = from[i];
  return x;
}
#endif

inline Vector multiply_add(Vector sum, const Strided& a, int64_t row, int64_t p, Vector right) {
  return sum + a.data[row * a.row + p * a.column] * right;
}

// The right side of a product: vectors of its rows, `stride` apart.
template <class T>
struct RightRows {
  const T* data;
  int64_t stride;
  RightRows from_column(int64_t j) const { return {data + j, stride}; }
  auto read(int64_t p, int64_t j) const { return load(data + p * stride + j); }
  auto read(int64_t p, int64_t j, int64_t count) const {
    return load(data + p * stride + j, count);
  }
};

// The numbers of x and y, counted through both, that are named. Clang has no __builtin_shuffle, and
// CUDA's compiler takes no parameter pack for __builtin_shufflevector.
template <int64_t... kNumbers>
inline Vector shuffled(Vector x, Vector y) {
#if defined(__clang__)
  return __builtin_shufflevector(x, y, kNumbers...);
#else
  using Mask = std::conditional_t<sizeof(real) == 4, int32_t, int64_t> __attribute__((
      vector_size(DRAGOMAN_VECTOR_BYTES)));
  return __builtin_shuffle(x, y, Mask{kNumbers...});
#endif
}

// Numbers of x and y in turn, from number kFrom of each on.
template <int64_t kFrom, int64_t... i>
inline Vector dealt(Vector x, Vector y, std::integer_sequence<int64_t, i...>) {
  return shuffled<(kFrom + i / 2 + i % 2 * kVector)...>(x, y);
}

// The rows of a square become its columns: dealing the first and the second half of the rows out in
// turn, as often as the number of rows can be halved.
inline void transpose(Vector (&x)[kVector]) {
  constexpr std::make_integer_sequence<int64_t, kVector> kNumbers;
#pragma GCC unroll 4
  for (int64_t round = 1; round < kVector; round *= 2) {
    Vector y[kVector];
#pragma GCC unroll 8
    for (int64_t i = 0; i < kVector / 2; ++i) {
      y[2 * i] = dealt<0>(x[i], x[i + kVector / 2], kNumbers);
      y[2 * i + 1] = dealt<kVector / 2>(x[i], x[i + kVector / 2], kNumbers);
    }
#pragma GCC unroll 16
    for (int64_t i = 0; i < kVector; ++i) x[i] = y[i];
  }
}

// kRows x kVectors vectors of c, all of whose sums stay in registers; the last vector has `last`
// columns if kPartial.
template <int kRows, int kVectors, bool kPartial, class A, class B>
inline void block(int64_t k, A a, B b, real* c, int64_t ldc, bool accumulate, int64_t last) {
  const auto read = [=](const auto& from, int64_t row, int v) {
    return kPartial && v == kVectors - 1 ? from.read(row, v * kVector, last)
                                         : from.read(row, v * kVector);
  };
  const RightRows<real> old{c, ldc};
  // Every loop over rows and vectors is unrolled: else the sums would lie in memory.
  Vector sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sums[r][v] = accumulate ? read(old, r, v) : Vector{};
  }
  for (int64_t p = 0; p < k; ++p) {
    decltype(b.read(p, 0)) right[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) right[v] = read(b, p, v);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][v] = multiply_add(sums[r][v], a, r, p, right[v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      if (kPartial && v == kVectors - 1) {
        store(c + r * ldc + v * kVector, sums[r][v], last);
      } else {
        store(c + r * ldc + v * kVector, sums[r][v]);
      }
    }
  }
}

// All rows of kVectors vectors of columns.
template <int kVectors, bool kPartial = false, class A, class B>
inline void columns(int64_t m, int64_t k, A a, B b, real* c, int64_t ldc, bool accumulate,
                    int64_t last = kVector) {
  // 16 sums, enough to hide the latency; half of that where there are half as many registers. What
  // is left over is divided evenly: a row alone would wait for each of its additions.
  constexpr int64_t kMostRows = (DRAGOMAN_VECTOR_BYTES == 64 ? 16 : 8) / kVectors;
  const auto go = [&]<int kRows>(auto self, int64_t rows, int64_t i) -> void {
    if constexpr (kRows > 0) {
      if (rows < kRows) return self.template operator()<kRows - 1>(self, rows, i);
      block<kRows, kVectors, kPartial>(k, a.from_row(i), b, c + i * ldc, ldc, accumulate, last);
    }
  };
  for (int64_t i = 0; i < m;) {
    const int64_t left = m - i;
    const int64_t rows = left >= 2 * kMostRows ? kMostRows
                         : left > kMostRows    ? (left + 1) / 2
                                               : left;
    go.template operator()<kMostRows>(go, rows, i);
    i += rows;
  }
}

template <class A, class B>
inline void product(int64_t m, int64_t n, int64_t k, A a, B b, real* c, int64_t ldc,
                    bool accumulate) {
  int64_t j = 0;
  for (; j + 2 * kVector <= n; j += 2 * kVector)
    columns<2>(m, k, a, b.from_column(j), c + j, ldc, accumulate);
  for (; j + kVector <= n; j += kVector)
    columns<1>(m, k, a, b.from_column(j), c + j, ldc, accumulate);
  if (j < n) columns<1, true>(m, k, a, b.from_column(j), c + j, ldc, accumulate, n - j);
}

template <class T>
inline void copy(int64_t rows, int64_t columns, const real* from, int64_t ld_from, T* to,
                 int64_t ld_to, bool accumulate) {
  for (int64_t i = 0; i < rows; ++i, from += ld_from, to += ld_to) {
#pragma GCC ivdep
    for (int64_t j = 0; j < columns; ++j) to[j] = accumulate ? to[j] + from[j] : from[j];
  }
}

// Element i becomes what i + kBy was, around the end.
template <int64_t kBy, int64_t... i>
inline Vector rotate(Vector x, std::integer_sequence<int64_t, i...>) {
  return shuffled<((i + kBy) % kVector)...>(x, x);
}

// f applied to the halves of x, of their result, and so on.
template <int64_t kHalf = kVector / 2, class F>
inline real reduce(Vector x, F f) {
  if constexpr (kHalf == 0) {
    return x[0];
  } else {
    constexpr std::make_integer_sequence<int64_t, kVector> kAll;
    return reduce<kHalf / 2>(f(x, rotate<kHalf>(x, kAll)), f);
  }
}

}  // namespace detail

/// The sum of x[0] to x[n - 1]; n is a multiple of kVector.
inline real sum(int64_t n, const real* x) {
  Vector total = {};
  for (int64_t i = 0; i < n; i += kVector) total += detail::load(x + i);
  return detail::reduce(total, [](Vector a, Vector b) { return a + b; });
}

/// The largest of x[0] to x[n - 1]; n is a positive multiple of kVector. NaN may be lost.
inline real max(int64_t n, const real* x) {
  const auto larger = [](Vector a, Vector b) -> Vector { return a > b ? a : b; };
  Vector most = detail::load(x);
  for (int64_t i = kVector; i < n; i += kVector) most = larger(most, detail::load(x + i));
  return detail::reduce(most, larger);
}

/// c [m, n] = a b, added to c if `accumulate`: a is [m, k], b [k, n], and the rows of b and c are
/// `ldb` and `ldc` apart. Fastest where n is a multiple of kVector.
inline void product(int64_t m, int64_t n, int64_t k, const Strided& a, const real* b, int64_t ldb,
                    real* c, int64_t ldc, bool accumulate) {
  detail::product(m, n, k, a, detail::RightRows<real>{b, ldb}, c, ldc, accumulate);
}
/// The same for b of bf16; a is read as bf16 as well where the processor multiplies such numbers.
void product(int64_t m, int64_t n, int64_t k, const Strided& a, const Bf16* b, int64_t ldb, real* c,
             int64_t ldc, bool accumulate);

/// c [m, n] = a b, where the rows of a [m, k] are `lda` apart and `b` is a transposition: [k, n],
/// or of words [(k + 1) / 2, n], n a multiple of kVector.
inline void product_of_rows(int64_t m, int64_t n, int64_t k, const real* a, int64_t lda,
                            const real* b, int64_t ldb, real* c, int64_t ldc) {
  detail::product(m, n, k, Strided{a, lda, 1}, detail::RightRows<real>{b, ldb}, c, ldc, false);
}
void product_of_rows(int64_t m, int64_t n, int64_t k, const Bf16* a, int64_t lda, const uint32_t* b,
                     int64_t ldb, real* c, int64_t ldc);

/// to [columns, rows] = from^T; what is in `to` from the column `rows` up to padded(rows) is lost.
/// The rows of `from` [rows, columns] and of `to` are `ld_from` and `ld_to` apart.
inline void transpose(int64_t rows, int64_t columns, const real* from, int64_t ld_from, real* to,
                      int64_t ld_to) {
  for (int64_t i = 0; i < padded(rows); i += kVector) {
    for (int64_t j = 0; j < columns; j += kVector) {
      const int64_t width = columns - j < kVector ? columns - j : kVector;
      Vector x[kVector];
#pragma GCC unroll 16
      for (int64_t r = 0; r < kVector; ++r) {  // after the last row, that row again
        const real* row = from + (i + r < rows ? i + r : rows - 1) * ld_from + j;
        x[r] = width == kVector ? detail::load(row) : detail::load(row, width);
      }
      detail::transpose(x);
      for (int64_t r = 0; r < width; ++r) detail::store(to + (j + r) * ld_to + i, x[r]);
    }
  }
}

/// The same in words: to [(columns + 1) / 2, rows].
void transpose(int64_t rows, int64_t columns, const Bf16* from, int64_t ld_from, uint32_t* to,
               int64_t ld_to);

/// to [rows, columns] = from, or added to what is there if `accumulate`; the rows are `ld_from` and
/// `ld_to` apart.
inline void copy(int64_t rows, int64_t columns, const real* from, int64_t ld_from, real* to,
                 int64_t ld_to, bool accumulate) {
  detail::copy(rows, columns, from, ld_from, to, ld_to, accumulate);
}
void copy(int64_t rows, int64_t columns, const real* from, int64_t ld_from, Bf16* to, int64_t ld_to,
          bool accumulate);

}  // namespace dragoman::tile
