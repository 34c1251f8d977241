#include "core/rng.h"

#if defined(__AVX2__)
// GCC 12 sees what its own intrinsics leave unset on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#endif

namespace dragoman {

#if defined(__AVX2__)

// The compiler makes products of 64 bits of those of Philox, which take three times as long. Some
// counters are in the lanes of a vector, each word in the lower half of its lane; what is in the
// upper half does not matter.
namespace {

#if defined(__AVX512F__)

using Lanes = __m512i;
Lanes all(uint64_t x) { return _mm512_set1_epi64(static_cast<int64_t>(x)); }
Lanes counted_from(uint32_t x) {
  return _mm512_add_epi64(all(x), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
}
Lanes product(Lanes x, uint32_t by) { return _mm512_mul_epu32(x, all(by)); }
Lanes mixed(Lanes product, Lanes word, uint32_t by) {
  constexpr int kXorOfThree = 0x96;
  return _mm512_ternarylogic_epi64(_mm512_srli_epi64(product, 32), word, all(by), kXorOfThree);
}
void store_words(uint32_t* to, Lanes left, Lanes right) {
  const Lanes lower_halves =
      _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  _mm512_storeu_si512(to, _mm512_permutex2var_epi32(left, lower_halves, right));
}

#else

using Lanes = __m256i;
Lanes all(uint64_t x) { return _mm256_set1_epi64x(static_cast<int64_t>(x)); }
Lanes counted_from(uint32_t x) { return _mm256_add_epi64(all(x), _mm256_set_epi64x(3, 2, 1, 0)); }
Lanes product(Lanes x, uint32_t by) { return _mm256_mul_epu32(x, all(by)); }
Lanes mixed(Lanes product, Lanes word, uint32_t by) {
  return _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product, 32), word), all(by));
}
void store_words(uint32_t* to, Lanes left, Lanes right) {
  const __m256 halves =
      _mm256_shuffle_ps(_mm256_castsi256_ps(left), _mm256_castsi256_ps(right), 0x88);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm256_permute4x64_epi64(_mm256_castps_si256(halves), 0xD8));
}

#endif

constexpr uint32_t kCounters = sizeof(Lanes) / sizeof(uint64_t);

struct Counters {
  Lanes words[4];
};

// Of the counters from `low` on, whose upper word is `high`.
Counters philox_from(uint32_t low, uint32_t high, const RandomKey& key) {
  Counters x{{counted_from(low), all(high), all(key.step.get()), all(key.site)}};
  auto key0 = static_cast<uint32_t>(key.seed), key1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < kRandomRounds; ++round) {
    const Lanes product0 = product(x.words[0], kPhilox0);
    const Lanes product1 = product(x.words[2], kPhilox1);
    x = {
        {mixed(product1, x.words[1], key0), product1, mixed(product0, x.words[3], key1), product0}};
    key0 += kPhiloxStep0;
    key1 += kPhiloxStep1;
  }
  return x;
}

}  // namespace

void random_block(const RandomKey& key, uint64_t block, uint32_t (&words)[kRandomBlock]) {
  const uint64_t first = 16 * block;
  const auto low = static_cast<uint32_t>(first), high = static_cast<uint32_t>(first >> 32);
  for (uint32_t lane = 0; lane < 16; lane += 2 * kCounters) {
    const Counters left = philox_from(low + lane, high, key);
    const Counters right = philox_from(low + lane + kCounters, high, key);
    for (int part = 0; part < 4; ++part) {
      store_words(words + 16 * part + lane, left.words[part], right.words[part]);
    }
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
