// The innermost kernel of products with AVX-512: up to 10 x 32 sums that stay in registers while it
// runs down a panel of b.
#pragma once

#include <cstring>

#include "tensor/pack_avx512.h"

namespace dragoman::avx512 {

inline constexpr int kMostRows = 10;  // of a slice of a that is read where it lies

// Where a kernel's sums start and go: 32 columns, or the `columns` of them that there are. A
// product's last part may write them as bf16, and zeros instead of some.
struct Target {
  float* sums;  // added to if `accumulate`, and written unless `low`
  int64_t stride;
  bool accumulate;
  Bf16* low;
  int64_t low_stride;
  __m512 start[2];  // the bias, or zeros
  int64_t columns;
  bool relu = false;
  const void* gate = nullptr;  // of the type that is written
  int64_t gate_stride = 0;

  // From that row on.
  Target from_row(int64_t i) const {
    Target to = *this;
    if (sums) to.sums += i * stride;
    if (low) to.low += i * low_stride;
    if (gate) {
      to.gate = static_cast<const char*>(gate) +
                i * gate_stride * static_cast<int64_t>(low ? sizeof(Bf16) : sizeof(float));
    }
    return to;
  }
};

// What a kernel asks for on its way, `step` bytes further at every word of depth: what is read
// next, which lies in the third cache or further, so that it is in the second when its turn comes.
struct Ahead {
  const char* data;
  int64_t step;
};

// Where a kernel reads a word of a: row r, depth p at data[r * row + p * column].
struct Rows {
  const char* data;
  int64_t row, column;  // in bytes
  uint32_t word(int64_t r, int64_t p) const {
    uint32_t value;
    std::memcpy(&value, data + r * row + p * column, sizeof value);
    return value;
  }
};

// x where the gate is positive, zero elsewhere.
inline __m512 positive(__m512 gate, __m512 x) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(gate, _mm512_setzero_ps(), _CMP_GT_OQ), x);
}

template <class Numbers, int kRows, bool kPackedA, bool kWhole>
void kernel(int64_t words, Rows a, const uint32_t* b, Ahead ahead, const Target& to) {
  const __mmask16 left = kWhole ? 0xFFFF : first(to.columns);
  const __mmask16 right = kWhole ? 0xFFFF : first(to.columns - 16);
  const Rows rows{a.data, kPackedA ? 4 : a.row, kPackedA ? 4 * kSlice : 4};
  __m512 sums[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    sums[r][0] = to.start[0];
    sums[r][1] = to.start[1];
    if (to.low) __builtin_prefetch(to.low + r * to.low_stride, 1);
    if (to.sums) {
      __builtin_prefetch(to.sums + r * to.stride, 1);
      __builtin_prefetch(to.sums + r * to.stride + 16, 1);
    }
    if (to.gate) {
      const int64_t size = to.low ? sizeof(Bf16) : sizeof(float);
      const char* row = static_cast<const char*>(to.gate) + r * to.gate_stride * size;
      __builtin_prefetch(row);
      __builtin_prefetch(row + 16 * size);
    }
  }
#pragma GCC unroll 1
  for (int64_t p = 0; p < words; ++p) {
    __builtin_prefetch(ahead.data + p * ahead.step, 0, 2);
    const __m512i b0 = _mm512_loadu_si512(b + p * kPanel);
    const __m512i b1 = _mm512_loadu_si512(b + p * kPanel + 16);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const uint32_t word = rows.word(r, p);
      sums[r][0] = Numbers::multiply_add(sums[r][0], word, b0);
      sums[r][1] = Numbers::multiply_add(sums[r][1], word, b1);
    }
  }
  if (to.accumulate) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const float* c = to.sums + r * to.stride;
      sums[r][0] = _mm512_add_ps(sums[r][0], _mm512_maskz_loadu_ps(left, c));
      sums[r][1] = _mm512_add_ps(sums[r][1], _mm512_maskz_loadu_ps(right, c + 16));
    }
  }
  if (to.relu) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      for (int half = 0; half < 2; ++half) {  // the second where one is NaN
        sums[r][half] = _mm512_max_ps(_mm512_setzero_ps(), sums[r][half]);
      }
    }
  }
  if (to.low) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const __mmask32 kept = kWhole ? ~__mmask32{0} : first_of_32(to.columns);
      __m512i x = Numbers::rounded(sums[r][0], sums[r][1]);
      if (to.gate) {  // above zero as whole numbers, too
        const Bf16* gate = static_cast<const Bf16*>(to.gate) + r * to.gate_stride;
        const __m512i numbers = _mm512_maskz_loadu_epi16(kept, gate);
        x = _mm512_maskz_mov_epi16(_mm512_cmpgt_epi16_mask(numbers, _mm512_setzero_si512()), x);
      }
      _mm512_mask_storeu_epi16(to.low + r * to.low_stride, kept, x);
    }
    return;
  }
  if (to.gate) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const float* gate = static_cast<const float*>(to.gate) + r * to.gate_stride;
      sums[r][0] = positive(_mm512_maskz_loadu_ps(left, gate), sums[r][0]);
      sums[r][1] = positive(_mm512_maskz_loadu_ps(right, gate + 16), sums[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    float* c = to.sums + r * to.stride;
    if constexpr (kWhole) {
      _mm512_storeu_ps(c, sums[r][0]);
      _mm512_storeu_ps(c + 16, sums[r][1]);
    } else {
      _mm512_mask_storeu_ps(c, left, sums[r][0]);
      _mm512_mask_storeu_ps(c + 16, right, sums[r][1]);
    }
  }
}

// The kernel for that many rows, at most kRows.
template <class Numbers, bool kPackedA, bool kWhole, int kRows = kPackedA ? kSlice : kMostRows>
void slice(int64_t rows, int64_t words, Rows a, const uint32_t* b, Ahead ahead, const Target& to) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return kernel<Numbers, kRows, kPackedA, kWhole>(words, a, b, ahead, to);
    slice<Numbers, kPackedA, kWhole, kRows - 1>(rows, words, a, b, ahead, to);
  }
}

}  // namespace dragoman::avx512
