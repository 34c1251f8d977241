// The vector registers that the kernels of gemm_packed.cpp are written for: those of AVX-512, or of
// AVX2 with half the length and half the number. DRAGOMAN_PACKED_PRODUCTS says that there are such.
#pragma once

#if defined(DRAGOMAN_DOUBLE)
#elif defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__)
#define DRAGOMAN_PACKED_PRODUCTS 512
#elif defined(__AVX2__) && defined(__FMA__)
#define DRAGOMAN_PACKED_PRODUCTS 256
#endif

#if defined(DRAGOMAN_PACKED_PRODUCTS)

// GCC 12 sees what its own intrinsics leave unset on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace dragoman::packed {

#if DRAGOMAN_PACKED_PRODUCTS == 512

using Sums = __m512;
using Words = __m512i;
using Kept = __mmask16;  // which lanes are read or written

inline constexpr int64_t kLanes = 16;
inline constexpr int64_t kSlice = 8;      // rows of a kernel that reads a packed
inline constexpr int64_t kMostRows = 10;  // of one that reads it where it lies
inline constexpr int kUnrolled = 1;

// The first `count` lanes.
inline Kept first(int64_t count) {
  return static_cast<Kept>(count >= kLanes ? 0xFFFF : (1 << std::max<int64_t>(count, 0)) - 1);
}

inline Sums zeros() { return _mm512_setzero_ps(); }
inline Sums load(const float* from) { return _mm512_loadu_ps(from); }
inline Sums load(const float* from, Kept kept) { return _mm512_maskz_loadu_ps(kept, from); }
inline void store(float* to, Sums x) { _mm512_storeu_ps(to, x); }
inline void store(float* to, Sums x, Kept kept) { _mm512_mask_storeu_ps(to, kept, x); }
inline Words load_words(const void* from) { return _mm512_loadu_si512(from); }
inline Words load_words(const void* from, Kept kept) {
  return _mm512_maskz_loadu_epi32(kept, from);
}
inline void store_words(void* to, Words x) { _mm512_storeu_si512(to, x); }
inline void store_words(void* to, Words x, Kept kept) { _mm512_mask_storeu_epi32(to, kept, x); }

inline Sums add(Sums x, Sums y) { return _mm512_add_ps(x, y); }
inline Sums multiply_add(Sums sum, uint32_t a, Words b) {
  return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(a))),
                         _mm512_castsi512_ps(b), sum);
}
// x or zero, whichever is more; NaN where it is NaN.
inline Sums relu(Sums x) { return _mm512_max_ps(zeros(), x); }
// x where the gate is positive, zero elsewhere.
inline Sums gated(Sums gate, Sums x) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(gate, zeros(), _CMP_GT_OQ), x);
}

// Writes the words of kLanes columns, of which `count` are there, to slices `distance` apart.
inline void store_slices(uint32_t* to, int64_t distance, int64_t count, Words x) {
  const auto store_half = [](uint32_t* slice, __m256i half) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(slice), half);
  };
  if (count > 0) store_half(to, _mm512_castsi512_si256(x));
  if (count > kSlice) store_half(to + distance, _mm512_extracti64x4_epi64(x, 1));
}

#else

using Sums = __m256;
using Words = __m256i;
using Kept = __m256i;  // all bits of a lane, or none

inline constexpr int64_t kLanes = 8;
inline constexpr int64_t kSlice = 6;
inline constexpr int64_t kMostRows = 6;
inline constexpr int kUnrolled = 2;

inline Kept first(int64_t count) {
  const auto limit = static_cast<int>(std::clamp<int64_t>(count, 0, kLanes));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Sums zeros() { return _mm256_setzero_ps(); }
inline Sums load(const float* from) { return _mm256_loadu_ps(from); }
inline Sums load(const float* from, Kept kept) { return _mm256_maskload_ps(from, kept); }
inline void store(float* to, Sums x) { _mm256_storeu_ps(to, x); }
inline void store(float* to, Sums x, Kept kept) { _mm256_maskstore_ps(to, kept, x); }
inline Words load_words(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
inline Words load_words(const void* from, Kept kept) {
  return _mm256_maskload_epi32(static_cast<const int*>(from), kept);
}
inline void store_words(void* to, Words x) { _mm256_storeu_si256(static_cast<__m256i*>(to), x); }
inline void store_words(void* to, Words x, Kept kept) {
  _mm256_maskstore_epi32(static_cast<int*>(to), kept, x);
}

inline Sums add(Sums x, Sums y) { return _mm256_add_ps(x, y); }
inline Sums multiply_add(Sums sum, uint32_t a, Words b) {
  return _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(a))),
                         _mm256_castsi256_ps(b), sum);
}
inline Sums relu(Sums x) { return _mm256_max_ps(zeros(), x); }
inline Sums gated(Sums gate, Sums x) {
  return _mm256_and_ps(_mm256_cmp_ps(gate, zeros(), _CMP_GT_OQ), x);
}

#endif

}  // namespace dragoman::packed

#endif
