// Matrices in the order in which the kernels of gemm_packed.cpp read them. A word is what one lane
// multiplies at a time: one float, or two bf16 that follow one another in depth. Thus both types
// share everything but the multiplication and the packing.
#pragma once

#include "core/bf16.h"
#include "tensor/cpu/packed_registers.h"
#include "tensor/cpu/tile.h"

#if defined(DRAGOMAN_PACKED_PRODUCTS)

namespace dragoman::packed {

inline constexpr int64_t kPanel = 2 * kLanes;  // columns of a kernel

inline int64_t up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
inline int64_t parts(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Words of two registers: of the first kLanes columns, and of those after them.
struct Pair {
  Words low, high;
};

struct Floats {
  using Type = float;
  static constexpr int64_t kPair = 1;             // numbers of a word
  static constexpr uint32_t kOnes = 0x3F800000u;  // what a word is multiplied by to be summed
  static Sums multiply_add(Sums sum, uint32_t a, Words b) {
    return packed::multiply_add(sum, a, b);
  }

  // `count` numbers, at most kLanes words of them, from a row; zeros after them.
  static Words load(const float* from, int64_t count) { return load_words(from, first(count)); }

  // kPanel columns of one word of depth, from a row; zeros from column `count` on.
  static Pair read_columns(const float* row, int64_t, bool, int64_t count) {
    if (count >= kPanel) return {load_words(row), load_words(row + kLanes)};
    return {load(row, count), load(row + kLanes, count - kLanes)};
  }
};

#if defined(__AVX512BF16__) && DRAGOMAN_PACKED_PRODUCTS == 512
#define DRAGOMAN_PACKED_BF16

struct Bf16s {
  using Type = Bf16;
  static constexpr int64_t kPair = 2;
  static constexpr uint32_t kOnes = 0x3F803F80u;
  static Sums multiply_add(Sums sum, uint32_t a, Words b) {
    return _mm512_dpbf16_ps(sum, std::bit_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a))),
                            std::bit_cast<__m512bh>(b));
  }

  // The first `count` of 32 numbers.
  static __mmask32 first(int64_t count) {
    return count >= 32 ? ~__mmask32{0} : (__mmask32{1} << std::max<int64_t>(count, 0)) - 1;
  }

  static Words load(const Bf16* from, int64_t count) {
    return _mm512_maskz_loadu_epi16(first(count), from);
  }

  static Pair read_columns(const Bf16* row, int64_t stride, bool has_second, int64_t count) {
    return interleave(load(row, count),
                      has_second ? load(row + stride, count) : _mm512_setzero_si512());
  }

  // The words of two rows one below the other.
  static Pair interleave(Words upper, Words lower) {
    const Words low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8,
                                       39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const Words high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    return {_mm512_permutex2var_epi16(upper, low, lower),
            _mm512_permutex2var_epi16(upper, high, lower)};
  }

  // kLanes numbers as floats.
  static Sums widened(const Bf16* from, Kept kept) {
    const __m256i low = _mm256_maskz_loadu_epi16(kept, from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(low), 16));
  }

  // Writes the sums of `columns` columns as bf16; zeros where the gate, if there is one, is not
  // positive.
  static void write(Bf16* to, const Bf16* gate, int64_t columns, Sums left, Sums right) {
    const __mmask32 kept = first(columns);
    auto x = std::bit_cast<Words>(_mm512_cvtne2ps_pbh(right, left));
    if (gate) {  // above zero as whole numbers, too
      const Words numbers = _mm512_maskz_loadu_epi16(kept, gate);
      x = _mm512_maskz_mov_epi16(_mm512_cmpgt_epi16_mask(numbers, _mm512_setzero_si512()), x);
    }
    _mm512_mask_storeu_epi16(to, kept, x);
  }
};

#endif

// to [words of k, width] from `count` rows of k numbers: word p of row j goes to to[p][j], and what
// no row or number is left for is zero.
template <class Numbers, int64_t width>
void pack_rows(const typename Numbers::Type* from, int64_t stride, int64_t count, int64_t k,
               uint32_t* to) {
  constexpr int64_t kNumbers = kLanes * Numbers::kPair;
  for (int64_t j = 0; j < width; j += kLanes) {
    const Kept kept = first(width - j);
    for (int64_t p = 0; p < k; p += kNumbers) {
      tile::Vector x[kLanes];
      for (int64_t r = 0; r < kLanes; ++r) {
        x[r] = std::bit_cast<tile::Vector>(
            j + r < count ? Numbers::load(from + (j + r) * stride + p, k - p) : Words{});
      }
      tile::detail::transpose(x);
      const int64_t words = std::min(kLanes, parts(k - p, Numbers::kPair));
      uint32_t* row = to + p / Numbers::kPair * width + j;
      for (int64_t r = 0; r < words; ++r)
        store_words(row + r * width, std::bit_cast<Words>(x[r]), kept);
    }
  }
}

// The kPanel columns of one word of depth, from row p of a matrix of k rows.
template <class Numbers>
[[gnu::always_inline]] inline Pair read_columns(const typename Numbers::Type* from, int64_t stride,
                                                int64_t p, int64_t k, int64_t count) {
  constexpr int64_t kAhead = 8;  // rows lie too far apart for the processor to foresee
  constexpr int64_t kLine = 64 / sizeof(typename Numbers::Type);
  const auto* row = from + p * stride;
  for (int64_t r = 0; r < Numbers::kPair; ++r) {
    for (int64_t j = 0; j < kPanel; j += kLine) {
      __builtin_prefetch(row + (kAhead + r) * stride + j);
    }
  }
  return Numbers::read_columns(row, stride, p + 1 < k, count);
}

// to [words of k, kPanel] from `count` columns of k rows.
template <class Numbers>
void pack_panel(const typename Numbers::Type* from, int64_t stride, int64_t count, int64_t k,
                uint32_t* to) {
  for (int64_t p = 0; p < k; p += Numbers::kPair, to += kPanel) {
    const Pair words = read_columns<Numbers>(from, stride, p, k, count);
    store_words(to, words.low);
    store_words(to + kLanes, words.high);
  }
}

// The distance of slices of a: not a power of two, or they would all fall on the same lines of the
// cache, and with room behind the last word, of which a whole register may be written.
inline int64_t slice_distance(int64_t words) { return words * kSlice + 16; }

// Slices [words of k, kSlice] from `count` columns of k rows. Adds each column's sum to `sums`, if
// that is not null.
template <class Numbers>
void pack_slices(const typename Numbers::Type* from, int64_t stride, int64_t count, int64_t k,
                 uint32_t* to, float* sums) {
  const auto add_to = [](float* sum, int64_t left, Words words) {
    const auto sum_of = [words](Sums x) { return Numbers::multiply_add(x, Numbers::kOnes, words); };
    if (left >= kLanes) return store(sum, sum_of(load(sum)));
    if (left > 0) store(sum, sum_of(load(sum, first(left))), first(left));
  };
  const int64_t distance = slice_distance(parts(k, Numbers::kPair));
  for (int64_t p = 0; p < k; p += Numbers::kPair, to += kSlice) {
    for (int64_t i = 0; i < count; i += kPanel) {
      const Pair words = read_columns<Numbers>(from + i, stride, p, k, count - i);
      if (sums) {
        add_to(sums + i, count - i, words.low);
        add_to(sums + i + kLanes, count - i - kLanes, words.high);
      }
#if DRAGOMAN_PACKED_PRODUCTS == 512
      uint32_t* const slices = to + i / kSlice * distance;
      store_slices(slices, distance, count - i, words.low);
      store_slices(slices + kLanes / kSlice * distance, distance, count - i - kLanes, words.high);
    }
#else
    }
    // A slice has 6 words of a register's 8; where the others are written its next word comes.
    for (int64_t i = 0; i < count; i += kSlice) {
      const auto* columns = from + p * stride + i;
      store_words(to + i / kSlice * distance,
                  count - i >= kLanes ? load_words(columns) : Numbers::load(columns, count - i));
    }
#endif
  }
}

}  // namespace dragoman::packed

#endif
