// Small products of matrices of bf16, by one thread, and copies to such numbers. A word is what a
// lane multiplies at a time: two numbers that follow one another in depth. This is no part of the
// header since CUDA's compiler knows nothing of the instructions that do it.
#if defined(__AVX512BF16__)
// GCC 12 sees what its own intrinsics leave unset on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstring>

#include "tensor/cpu/tile.h"

namespace dragoman::tile {

#if !defined(__AVX512BF16__) || DRAGOMAN_VECTOR_BYTES != 64 || defined(DRAGOMAN_DOUBLE)

void product(int64_t m, int64_t n, int64_t k, const Strided& a, const Bf16* b, int64_t ldb, real* c,
             int64_t ldc, bool accumulate) {
  detail::product(m, n, k, a, detail::RightRows<Bf16>{b, ldb}, c, ldc, accumulate);
}

void copy(int64_t rows, int64_t columns, const real* from, int64_t ld_from, Bf16* to, int64_t ld_to,
          bool accumulate) {
  detail::copy(rows, columns, from, ld_from, to, ld_to, accumulate);
}

#else

namespace detail {

// The first `count` lanes.
static inline __mmask16 first(int64_t count) {
  return static_cast<__mmask16>(count < kVector ? (1u << std::max<int64_t>(count, 0)) - 1 : 0xFFFF);
}

// Words of a matrix, at data[r * row + p * column].
struct LeftWords {
  const uint32_t* data;
  int64_t row, column;
  LeftWords from_row(int64_t i) const { return {data + i * row, row, column}; }
};

static inline Vector multiply_add(Vector sum, const LeftWords& a, int64_t row, int64_t p,
                                  __m512i right) {
  const auto left = static_cast<int>(a.data[row * a.row + p * a.column]);
  return _mm512_dpbf16_ps(sum, std::bit_cast<__m512bh>(_mm512_set1_epi32(left)),
                          std::bit_cast<__m512bh>(right));
}

// The numbers of x and y, 16 of bf16 each, dealt out in turn: words of those that meet.
static inline __m512i dealt(__m512i x_then_y) {
  constexpr auto index = [] {
    struct {
      alignas(64) uint16_t of[32];
    } made{};
    for (int i = 0; i < 32; ++i) made.of[i] = static_cast<uint16_t>(i / 2 + i % 2 * 16);
    return made;
  }();
  return _mm512_permutexvar_epi16(_mm512_load_si512(index.of), x_then_y);
}

// Words of two rows of bf16 that follow one another; zeros stand for a row after the last.
struct RightPairs {
  const Bf16* data;
  int64_t stride, rows;
  RightPairs from_column(int64_t j) const { return {data + j, stride, rows}; }
  __m512i read(int64_t p, int64_t j) const { return words(p, j, 0xFFFF); }
  __m512i read(int64_t p, int64_t j, int64_t count) const { return words(p, j, first(count)); }

 private:
  __m512i words(int64_t p, int64_t j, __mmask16 kept) const {
    const Bf16* upper = data + 2 * p * stride + j;
    const bool both = 2 * p + 1 < rows;
    const __m256i x = _mm256_maskz_loadu_epi16(kept, upper);
    const __m256i y = _mm256_maskz_loadu_epi16(both ? kept : 0, upper + (both ? stride : 0));
    return dealt(_mm512_inserti64x4(_mm512_castsi256_si512(x), y, 1));
  }
};

constexpr int64_t kPartRows = 2 * kVector;   // of a that are rounded at a time
constexpr int64_t kPartWords = 2 * kVector;  // and words of depth

struct TwoVectors {
  __m512 x, y;
};
// The first `count` numbers; zeros after these.
static inline TwoVectors two_vectors(const real* from, int64_t count) {
  return {_mm512_maskz_loadu_ps(first(count), from),
          _mm512_maskz_loadu_ps(first(count - kVector), from + kVector)};
}
static inline __m512i rounded(__m512 x, __m512 y) {
  return std::bit_cast<__m512i>(_mm512_cvtne2ps_pbh(y, x));
}

// A part of a in words, of two numbers that follow one another in depth; zero after the last.
static LeftWords round_part(int64_t m, int64_t k, const Strided& a, uint32_t* to) {
  if (a.column == 1) {
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t p = 0; p < k; p += 2 * kVector) {
        const auto [x, y] = two_vectors(a.data + i * a.row + p, k - p);
        _mm512_store_si512(to + i * kPartWords + p / 2, rounded(x, y));
      }
    }
    return {to, kPartWords, 1};
  }
  for (int64_t p = 0; p < k; p += 2) {
    for (int64_t i = 0; i < m; i += kVector) {
      const real* from = a.data + p * a.column + i;
      const __m512 x = _mm512_maskz_loadu_ps(first(m - i), from);
      const __m512 y = _mm512_maskz_loadu_ps(p + 1 < k ? first(m - i) : 0, from + a.column);
      _mm512_store_si512(to + p / 2 * kPartRows + i, dealt(rounded(x, y)));
    }
  }
  return {to, 1, kPartRows};
}

}  // namespace detail

void product(int64_t m, int64_t n, int64_t k, const Strided& a, const Bf16* b, int64_t ldb, real* c,
             int64_t ldc, bool accumulate) {
  using namespace detail;
  alignas(64) uint32_t words[kPartRows * kPartWords];
  for (int64_t p = 0; p == 0 || p < k; p += 2 * kPartWords) {  // once where k is 0
    const int64_t depth = std::min(k - p, 2 * kPartWords);
    for (int64_t i = 0; i < m; i += kPartRows) {
      const int64_t rows = std::min(m - i, kPartRows);
      const Strided part{a.data + i * a.row + p * a.column, a.row, a.column};
      detail::product(rows, n, (depth + 1) / 2, round_part(rows, depth, part, words),
                      RightPairs{b + p * ldb, ldb, depth}, c + i * ldc, ldc, accumulate || p > 0);
    }
  }
}

void copy(int64_t rows, int64_t columns, const real* from, int64_t ld_from, Bf16* to, int64_t ld_to,
          bool accumulate) {
  using namespace detail;
  const auto wide = [](__m256i bf16) {
    return std::bit_cast<__m512>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
  };
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; j += 2 * kVector) {
      Bf16* at = to + i * ld_to + j;
      auto [x, y] = two_vectors(from + i * ld_from + j, columns - j);
      const __mmask32 kept = first(columns - j) | uint32_t{first(columns - j - kVector)} << 16;
      if (accumulate) {
        const __m512i old = _mm512_maskz_loadu_epi16(kept, at);
        x += wide(_mm512_castsi512_si256(old));
        y += wide(_mm512_extracti64x4_epi64(old, 1));
      }
      _mm512_mask_storeu_epi16(at, kept, rounded(x, y));
    }
  }
}

#endif

#if defined(DRAGOMAN_DOUBLE)

void product_of_rows(int64_t m, int64_t n, int64_t k, const Bf16* a, int64_t lda, const uint32_t* b,
                     int64_t ldb, real* c, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      real total = 0;
      for (int64_t p = 0; p < k; ++p) total += a[i * lda + p] * half(b[p / 2 * ldb + j], p % 2);
      c[i * ldc + j] = total;
    }
  }
}

void transpose(int64_t rows, int64_t columns, const Bf16* from, int64_t ld_from, uint32_t* to,
               int64_t ld_to) {
  for (int64_t i = 0; i < padded(rows); ++i) {
    const Bf16* row = from + (i < rows ? i : rows - 1) * ld_from;
    for (int64_t j = 0; j < columns; j += 2) to[j / 2 * ld_to + i] = word_of(row + j, columns - j);
  }
}

#else

namespace detail {

// Rows of bf16, `row` apart.
struct RowsOfBf16 {
  const Bf16* data;
  int64_t row;
  RowsOfBf16 from_row(int64_t i) const { return {data + i * row, row}; }
};

static inline Vector multiply_add(Vector sum, const RowsOfBf16& a, int64_t row, int64_t p,
                                  Words right) {
  uint32_t left;
  std::memcpy(&left, a.data + row * a.row + 2 * p, sizeof left);
#if defined(__AVX512BF16__) && DRAGOMAN_VECTOR_BYTES == 64
  return _mm512_dpbf16_ps(sum, std::bit_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(left))),
                          std::bit_cast<__m512bh>(right));
#else
  const auto upper = [](auto words) { return words & 0xFFFF0000u; };
  sum += std::bit_cast<float>(left << 16) * std::bit_cast<Vector>(right << 16);
  return sum + std::bit_cast<float>(upper(left)) * std::bit_cast<Vector>(upper(right));
#endif
}

}  // namespace detail

void product_of_rows(int64_t m, int64_t n, int64_t k, const Bf16* a, int64_t lda, const uint32_t* b,
                     int64_t ldb, real* c, int64_t ldc) {
  detail::product(m, n, k / 2, detail::RowsOfBf16{a, lda}, detail::RightRows<uint32_t>{b, ldb}, c,
                  ldc, false);
  if (k % 2 == 0) return;
  // What is left of each row is half a word.
  const uint32_t* last = b + k / 2 * ldb;
  for (int64_t i = 0; i < m; ++i) {
    const real left = a[i * lda + k - 1];
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] += left * half(last[j], 0);
  }
}

void transpose(int64_t rows, int64_t columns, const Bf16* from, int64_t ld_from, uint32_t* to,
               int64_t ld_to) {
  const int64_t words = columns / 2;
  for (int64_t i = 0; i < padded(rows); i += kVector) {
    const auto row_at = [=](int64_t r) {  // after the last row, that row again
      return from + (i + r < rows ? i + r : rows - 1) * ld_from;
    };
    for (int64_t j = 0; j < words; j += kVector) {
      const int64_t width = words - j < kVector ? words - j : kVector;
      Vector x[kVector];
#pragma GCC unroll 16
      for (int64_t r = 0; r < kVector; ++r) {
        detail::Words row = {};
        if (width == kVector) {
          row = detail::load(reinterpret_cast<const uint32_t*>(row_at(r) + 2 * j));
        } else {
          std::memcpy(&row, row_at(r) + 2 * j, static_cast<size_t>(4 * width));
        }
        x[r] = std::bit_cast<Vector>(row);
      }
      detail::transpose(x);
      for (int64_t r = 0; r < width; ++r) {
        std::memcpy(to + (j + r) * ld_to + i, &x[r], sizeof x[r]);
      }
    }
    if (columns % 2 == 0) continue;
    for (int64_t r = 0; r < kVector; ++r) to[words * ld_to + i + r] = row_at(r)[columns - 1].bits;
  }
}

#endif

}  // namespace dragoman::tile
