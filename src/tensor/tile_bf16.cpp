// Small products of two matrices of bf16. A word is what a lane multiplies at a time: two numbers
// that follow one another in depth. This is no part of the header since CUDA's compiler knows
// nothing of the instruction that does it.
#if defined(__AVX512BF16__)
// GCC 12 sees what its own intrinsics leave unset on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#endif

#include <cstring>

#include "tensor/tile.h"

namespace dragoman::tile {

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
  detail::product(m, n, k / 2, detail::RowsOfBf16{a, lda}, b, ldb, c, ldc, false);
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
  for (int64_t i = 0; i < rows; i += kLanes) {
    const auto row_at = [=](int64_t r) {  // after the last row, that row again
      return from + (i + r < rows ? i + r : rows - 1) * ld_from;
    };
    for (int64_t j = 0; j < words; j += kLanes) {
      const int64_t width = words - j < kLanes ? words - j : kLanes;
      Vector x[kLanes];
#pragma GCC unroll 16
      for (int64_t r = 0; r < kLanes; ++r) {
        detail::Words row = {};
        if (width == kLanes) {
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
    for (int64_t r = 0; r < kLanes; ++r) to[words * ld_to + i + r] = row_at(r)[columns - 1].bits;
  }
}

#endif

}  // namespace dragoman::tile
