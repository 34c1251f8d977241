// Counter-based random numbers: Philox4x32 of Salmon et al. 2011, "Parallel random numbers: as easy
// as 1, 2, 3". A number depends on a key and a position and on nothing else, so that dropout is the
// same for any number of threads, any order of work and on any device.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "core/device_value.h"
#include "core/real.h"

namespace dragoman {

// The constants of Philox4x32: of the products, and of the steps of its key.
inline constexpr uint32_t kPhilox0 = 0xD2511F53u, kPhilox1 = 0xCD9E8D57u;
inline constexpr uint32_t kPhiloxStep0 = 0x9E3779B9u, kPhiloxStep1 = 0xBB67AE85u;

/// One block of Philox4x32: four words from a 64-bit key and a 128-bit counter.
template <int kRounds = 10>
DRAGOMAN_HOST_DEVICE inline void philox4x32(uint32_t key0, uint32_t key1, uint32_t (&counter)[4]) {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = uint64_t{kPhilox0} * counter[0];
    const uint64_t product1 = uint64_t{kPhilox1} * counter[2];
    const uint32_t word1 = counter[1];
    const uint32_t word3 = counter[3];
    counter[0] = static_cast<uint32_t>(product1 >> 32) ^ word1 ^ key0;
    counter[1] = static_cast<uint32_t>(product1);
    counter[2] = static_cast<uint32_t>(product0 >> 32) ^ word3 ^ key1;
    counter[3] = static_cast<uint32_t>(product0);
    key0 += kPhiloxStep0;
    key1 += kPhiloxStep1;
  }
}

/// Four random words at the position (`high`, `low`) of the stream `key`.
inline std::array<uint32_t, 4> philox(uint64_t key, uint64_t high, uint64_t low) {
  uint32_t counter[4] = {static_cast<uint32_t>(low), static_cast<uint32_t>(low >> 32),
                         static_cast<uint32_t>(high), static_cast<uint32_t>(high >> 32)};
  philox4x32<10>(static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32), counter);
  return {counter[0], counter[1], counter[2], counter[3]};
}

/// A sequential generator over one Philox stream, for shuffles and initial values. Its state is a
/// position, so it can be made again anywhere.
class Random {
 public:
  explicit Random(uint64_t key, uint64_t stream = 0) : key_(key), stream_(stream) {}

  uint32_t word() {
    if (used_ == 4) {
      block_ = philox(key_, stream_, position_++);
      used_ = 0;
    }
    return block_[used_++];
  }
  /// Uniform in [0, 1).
  double uniform() { return word() * 0x1p-32; }
  /// Uniform in [0, bound), 0 < bound < 2^32.
  uint64_t below(uint64_t bound) {
    const uint64_t high = word();  // of 64 random bits, which are multiplied by the bound
    const uint64_t low = word();
    return (high * bound + ((low * bound) >> 32)) >> 32;
  }
  /// Standard normal, by the method of Box and Muller.
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * 3.14159265358979323846 * uniform());
  }

 private:
  uint64_t key_;
  uint64_t stream_;
  uint64_t position_ = 0;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

/// The name of one dropout mask: the run's seed, the training step and the place in the model.
struct RandomKey {
  uint64_t seed = 0;
  DeviceValue<uint32_t> step = {};
  uint32_t site = 0;
};

/// Elements that one block of masks covers: 16 lanes of a vector times the 4 words of a counter.
inline constexpr int kRandomBlock = 64;
/// Rounds that make them. Seven pass BigCrush (ibid., table 2).
inline constexpr int kRandomRounds = 7;

/// Words c, 16 + c, 32 + c and 48 + c of the block b of a mask, for the counter 16 b + c.
DRAGOMAN_HOST_DEVICE inline void random_words(const RandomKey& key, uint64_t counter,
                                              uint32_t (&words)[4]) {
  words[0] = static_cast<uint32_t>(counter);
  words[1] = static_cast<uint32_t>(counter >> 32);
  words[2] = key.step.get();
  words[3] = key.site;
  philox4x32<kRandomRounds>(static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32),
                            words);
}

/// The 64 words of one block of a mask, laid out so that a CPU computes 16 counters in the lanes of
/// its vectors and stores contiguously.
void random_block(const RandomKey& key, uint64_t block, uint32_t (&words)[kRandomBlock]);

}  // namespace dragoman
