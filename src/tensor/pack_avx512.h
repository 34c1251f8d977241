// Matrices in the order in which the AVX-512 kernels of gemm_avx512.cpp read them. A word is what
// one lane multiplies at a time: one float, or two bf16 that follow one another in depth. Thus both
// types share everything but the multiplication and the packing.
#pragma once

// GCC 12 sees what its own intrinsics leave unset on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/bf16.h"

namespace dragoman::avx512 {

inline constexpr int64_t kSlice = 8;   ///< Rows of a kernel.
inline constexpr int64_t kPanel = 32;  ///< Its columns: two registers.

inline int64_t up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
inline int64_t parts(int64_t n, int64_t size) { return (n + size - 1) / size; }

struct Floats {
  using Type = float;
  static constexpr int64_t kPair = 1;  // numbers of a word
  static __m512 multiply_add(__m512 sum, uint32_t a, __m512i b) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(a))),
                           _mm512_castsi512_ps(b), sum);
  }
  static __m512i rounded(__m512, __m512) {
    return _mm512_setzero_si512();
  }  // never: they are floats
};

struct Bf16s {
  using Type = Bf16;
  static constexpr int64_t kPair = 2;
  static __m512 multiply_add(__m512 sum, uint32_t a, __m512i b) {
#if defined(__AVX512BF16__)
    return _mm512_dpbf16_ps(sum, std::bit_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a))),
                            std::bit_cast<__m512bh>(b));
#else
    (void)a, (void)b;  // multiplies() says no
    return sum;
#endif
  }
  // The sums of 32 columns as bf16.
  static __m512i rounded(__m512 left, __m512 right) {
#if defined(__AVX512BF16__)
    return std::bit_cast<__m512i>(_mm512_cvtne2ps_pbh(right, left));
#else
    (void)left, (void)right;
    return _mm512_setzero_si512();  // multiplies() says no
#endif
  }
};

// What multiply_add by which adds the numbers of each word up.
template <class Numbers>
inline constexpr uint32_t kOnes = Numbers::kPair == 1 ? 0x3F800000u : 0x3F803F80u;

// The first `count` of 16 words.
inline __mmask16 first(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFF : (1 << std::max<int64_t>(count, 0)) - 1);
}
// The first `count` of 32 numbers of bf16.
inline __mmask32 first_of_32(int64_t count) {
  return count >= 32 ? ~__mmask32{0} : (__mmask32{1} << std::max<int64_t>(count, 0)) - 1;
}

// `count` numbers, at most 16 words of them, from a row; zeros after them.
template <class Numbers>
__m512i load_words(const typename Numbers::Type* from, int64_t count) {
  if constexpr (Numbers::kPair == 1) {
    return _mm512_maskz_loadu_epi32(first(count), from);
  } else {
    return _mm512_maskz_loadu_epi16(first_of_32(count), from);
  }
}

// Makes the rows of a square of words its columns.
inline void transpose(__m512i (&x)[16]) {
  __m512i y[16];
  for (int i = 0; i < 8; ++i) {
    y[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
    y[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    x[4 * i] = _mm512_unpacklo_epi64(y[4 * i], y[4 * i + 2]);
    x[4 * i + 1] = _mm512_unpackhi_epi64(y[4 * i], y[4 * i + 2]);
    x[4 * i + 2] = _mm512_unpacklo_epi64(y[4 * i + 1], y[4 * i + 3]);
    x[4 * i + 3] = _mm512_unpackhi_epi64(y[4 * i + 1], y[4 * i + 3]);
  }
  // x[4 i + j] holds columns j, j + 4, j + 8 and j + 12 of the rows 4 i to 4 i + 3.
  for (int j = 0; j < 4; ++j) {
    const __m512i upper_even = _mm512_shuffle_i32x4(x[j], x[4 + j], 0x88);
    const __m512i upper_odd = _mm512_shuffle_i32x4(x[j], x[4 + j], 0xDD);
    const __m512i lower_even = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0x88);
    const __m512i lower_odd = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0xDD);
    y[j] = _mm512_shuffle_i32x4(upper_even, lower_even, 0x88);
    y[j + 4] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0x88);
    y[j + 8] = _mm512_shuffle_i32x4(upper_even, lower_even, 0xDD);
    y[j + 12] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0xDD);
  }
  std::copy(std::begin(y), std::end(y), std::begin(x));
}

// to [words of k, width] from `count` rows of k numbers: word p of row j goes to to[p][j], and what
// no row or number is left for is zero.
template <class Numbers, int64_t width>
void pack_rows(const typename Numbers::Type* from, int64_t stride, int64_t count, int64_t k,
               uint32_t* to) {
  constexpr int64_t kNumbers = 16 * Numbers::kPair;
  for (int64_t j = 0; j < width; j += 16) {
    const __mmask16 kept = first(width - j);
    for (int64_t p = 0; p < k; p += kNumbers) {
      __m512i x[16];
      for (int64_t r = 0; r < 16; ++r) {
        x[r] = j + r < count ? load_words<Numbers>(from + (j + r) * stride + p, k - p)
                             : _mm512_setzero_si512();
      }
      transpose(x);
      const int64_t words = std::min<int64_t>(16, parts(k - p, Numbers::kPair));
      uint32_t* row = to + p / Numbers::kPair * width + j;
      for (int64_t r = 0; r < words; ++r) _mm512_mask_storeu_epi32(row + r * width, kept, x[r]);
    }
  }
}

// The words of two rows of bf16 one below the other.
struct Words {
  __m512i low, high;  // of the columns 0 to 15 and 16 to 31
};
inline Words interleave(__m512i upper, __m512i lower) {
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8,
                                       39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  return {_mm512_permutex2var_epi16(upper, low, lower),
          _mm512_permutex2var_epi16(upper, high, lower)};
}

// 32 columns of one word of depth, from row p of a matrix of k rows; zeros from column `count` on.
template <class Numbers>
[[gnu::always_inline]] inline Words read_columns(const typename Numbers::Type* from, int64_t stride,
                                                 int64_t p, int64_t k, int64_t count) {
  constexpr int64_t kAhead = 8;  // rows lie too far apart for the processor to foresee
  const auto* row = from + p * stride;
  __builtin_prefetch(row + kAhead * stride);
  if constexpr (Numbers::kPair == 1) {
    __builtin_prefetch(row + kAhead * stride + 16);
    if (count >= kPanel) return {_mm512_loadu_si512(row), _mm512_loadu_si512(row + 16)};
    return {_mm512_maskz_loadu_epi32(first(count), row),
            _mm512_maskz_loadu_epi32(first(count - 16), row + 16)};
  } else {
    __builtin_prefetch(row + (kAhead + 1) * stride);
    const __mmask32 kept = first_of_32(count);
    return interleave(
        _mm512_maskz_loadu_epi16(kept, row),
        p + 1 < k ? _mm512_maskz_loadu_epi16(kept, row + stride) : _mm512_setzero_si512());
  }
}

// to [words of k, kPanel] from `count` columns of k rows.
template <class Numbers>
void pack_panel(const typename Numbers::Type* from, int64_t stride, int64_t count, int64_t k,
                uint32_t* to) {
  for (int64_t p = 0; p < k; p += Numbers::kPair, to += kPanel) {
    const Words words = read_columns<Numbers>(from, stride, p, k, count);
    _mm512_storeu_si512(to, words.low);
    _mm512_storeu_si512(to + 16, words.high);
  }
}

// The distance of slices of a: not a power of two, or they would all fall on the same lines of the
// cache.
inline int64_t slice_distance(int64_t words) { return words * kSlice + 16; }

// Slices [words of k, kSlice] from `count` columns of k rows. Adds each column's sum to `sums`, if
// that is not null.
template <class Numbers>
void pack_slices(const typename Numbers::Type* from, int64_t stride, int64_t count, int64_t k,
                 uint32_t* to, float* sums) {
  const auto add_to = [](float* sum, int64_t left, __m512i words) {
    const __mmask16 kept = first(left);
    _mm512_mask_storeu_ps(
        sum, kept, Numbers::multiply_add(_mm512_maskz_loadu_ps(kept, sum), kOnes<Numbers>, words));
  };
  const int64_t distance = slice_distance(parts(k, Numbers::kPair));
  for (int64_t p = 0; p < k; p += Numbers::kPair, to += kSlice) {
    for (int64_t i = 0; i < count; i += 32) {
      const Words words = read_columns<Numbers>(from + i, stride, p, k, count - i);
      if (sums) {
        add_to(sums + i, count - i, words.low);
        if (count - i > 16) add_to(sums + i + 16, count - i - 16, words.high);
      }
      uint32_t* slice = to + i / kSlice * distance;
      const auto store = [&](int64_t place, __m256i half) {
        if (i + place * kSlice < count) {
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(slice + place * distance), half);
        }
      };
      store(0, _mm512_castsi512_si256(words.low));
      store(1, _mm512_extracti64x4_epi64(words.low, 1));
      store(2, _mm512_castsi512_si256(words.high));
      store(3, _mm512_extracti64x4_epi64(words.high, 1));
    }
  }
}

}  // namespace dragoman::avx512
