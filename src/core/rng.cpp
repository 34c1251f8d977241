#include "core/rng.h"

#if defined(__AVX512F__)
// GCC 12 sees what its own intrinsics leave unset on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#endif

namespace dragoman {

#if defined(__AVX512F__)

// The compiler makes products of 64 bits of those of Philox, which take three times as long. Eight
// counters are in the lanes of a vector, each word in the lower half of its lane; what is in the
// upper half does not matter.
namespace {

struct Counters {
  __m512i words[4];
};

Counters philox_of(__m512i low, const RandomKey& key, uint64_t first) {
  Counters x{{low, _mm512_set1_epi64(static_cast<int64_t>(first >> 32)),
              _mm512_set1_epi64(key.step.get()), _mm512_set1_epi64(key.site)}};
  auto key0 = static_cast<uint32_t>(key.seed), key1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < kRandomRounds; ++round) {
    const __m512i product0 = _mm512_mul_epu32(x.words[0], _mm512_set1_epi64(kPhilox0));
    const __m512i product1 = _mm512_mul_epu32(x.words[2], _mm512_set1_epi64(kPhilox1));
    const auto mix = [](__m512i product, __m512i word, uint32_t by) {
      constexpr int kXorOfThree = 0x96;
      return _mm512_ternarylogic_epi64(_mm512_srli_epi64(product, 32), word, _mm512_set1_epi64(by),
                                       kXorOfThree);
    };
    x = {{mix(product1, x.words[1], key0), product1, mix(product0, x.words[3], key1), product0}};
    key0 += kPhiloxStep0;
    key1 += kPhiloxStep1;
  }
  return x;
}

}  // namespace

void random_block(const RandomKey& key, uint64_t block, uint32_t (&words)[kRandomBlock]) {
  const uint64_t first = 16 * block;
  const __m512i low = _mm512_add_epi64(_mm512_set1_epi64(static_cast<uint32_t>(first)),
                                       _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
  const Counters left = philox_of(low, key, first);
  const Counters right = philox_of(_mm512_add_epi64(low, _mm512_set1_epi64(8)), key, first);
  const __m512i lower_halves =
      _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  for (int part = 0; part < 4; ++part) {
    _mm512_storeu_si512(words + 16 * part, _mm512_permutex2var_epi32(left.words[part], lower_halves,
                                                                     right.words[part]));
  }
}

#else

void random_block(const RandomKey& key, uint64_t block, uint32_t (&words)[kRandomBlock]) {
#pragma GCC unroll 1
#pragma GCC ivdep
  for (uint32_t lane = 0; lane < 16; ++lane) {
    uint32_t part[4];
    random_words(key, block * 16 + lane, part);
    words[lane] = part[0];
    words[16 + lane] = part[1];
    words[32 + lane] = part[2];
    words[48 + lane] = part[3];
  }
}

#endif

}  // namespace dragoman
