// What is computed with: bf16, random numbers, elementary functions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "core/bf16.h"
#include "core/math.h"
#include "core/rng.h"
#include "tensor/cpu/launch_cpu.h"
#include "tensor/cpu/threads.h"

namespace dragoman {
namespace {

using testing::ElementsAre;

// bfloat16 ----------------------------------------------------------------------------------------

TEST(Bf16, RoundsToTheNearestAndKeepsWhatIsNoNumber) {
  EXPECT_EQ(float{Bf16(1.0f)}, 1.0f);
  EXPECT_EQ(float{Bf16(1.0f + 0x1p-8f)}, 1.0f);              // two equally near: the even one
  EXPECT_EQ(float{Bf16(1.0f + 0x3p-8f)}, 1.0f + 0x1p-6f);    // the same, upwards
  EXPECT_EQ(float{Bf16(1.0f + 0x1.1p-8f)}, 1.0f + 0x1p-7f);  // just above
  EXPECT_EQ(float{Bf16(-1.0f - 0x1.1p-8f)}, -1.0f - 0x1p-7f);
  EXPECT_EQ(float{Bf16(std::numeric_limits<float>::infinity())},
            std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(float{Bf16(std::numeric_limits<float>::quiet_NaN())}));
  EXPECT_TRUE(std::isnan(float{Bf16(std::bit_cast<float>(0x7FFFFFFFu))}));
}

TEST(Bf16, TwoAreAWord) { EXPECT_EQ(bf16_pair(1.0f, -2.0f), 0xC0003F80u); }

// Random numbers ----------------------------------------------------------------------------------

// The known answers of the authors' Random123 library.
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_THAT(philox(0, 0, 0), ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  const uint64_t ones = ~uint64_t{0};
  EXPECT_THAT(philox(ones, ones, ones),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

// However the processor computes a block, it is that of the counters one by one.
TEST(RandomBlock, HoldsTheWordsOfItsCounters) {
  for (const uint64_t block : {uint64_t{0}, uint64_t{5}, uint64_t{1} << 28, uint64_t{1} << 40}) {
    const RandomKey key{0x9876543210abcdef, 7, 11};
    uint32_t words[kRandomBlock];
    random_block(key, block, words);
    for (uint32_t counter = 0; counter < 16; ++counter) {
      uint32_t expected[4];
      random_words(key, 16 * block + counter, expected);
      for (uint32_t part = 0; part < 4; ++part) {
        EXPECT_EQ(words[16 * part + counter], expected[part]) << block << ", " << counter;
      }
    }
  }
}

std::vector<uint32_t> mask_words(int64_t n, RandomKey key) {
  std::vector<uint32_t> words(static_cast<size_t>(n));
  launch::cpu::map_random(n, key, [&](int64_t i, uint32_t word) { words[size_t(i)] = word; });
  return words;
}

TEST(MapRandom, IsTheSameForAnyNumberOfThreadsAndAnyLength) {
  const RandomKey key{1, 2, 3};
  set_thread_count(1);
  const std::vector<uint32_t> one = mask_words(100'000, key);
  set_thread_count(3);
  EXPECT_EQ(mask_words(100'000, key), one);
  set_thread_count(0);
  const std::vector<uint32_t> shorter = mask_words(1001, key);
  EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), one.begin()));
}

TEST(MapRandom, DependsOnSeedStepAndSite) {
  const std::vector<uint32_t> words = mask_words(100, {1, 2, 3});
  EXPECT_NE(mask_words(100, {2, 2, 3}), words);
  EXPECT_NE(mask_words(100, {1 | uint64_t{1} << 40, 2, 3}), words);
  EXPECT_NE(mask_words(100, {1, 3, 3}), words);
  EXPECT_NE(mask_words(100, {1, 2, 4}), words);
}

TEST(MapRandom, WordsAreUniform) {
  const int64_t n = 1 << 20;
  const std::vector<uint32_t> words = mask_words(n, {7, 1, 0});
  // Pearson's test over 256 bins of the high bits and of the low bits; 255 degrees of freedom have
  // a mean of 255 and a deviation of 22.6.
  for (const int shift : {24, 0}) {
    std::vector<double> bins(256);
    for (const uint32_t word : words) ++bins[word >> shift & 255];
    double statistic = 0;
    const double expected = double(n) / 256;
    for (const double count : bins) statistic += (count - expected) * (count - expected) / expected;
    EXPECT_NEAR(statistic, 255, 5 * 22.6) << "bits from " << shift;
  }
  // Neighbours do not know of each other.
  for (const size_t distance : {1, 16, 64}) {
    double correlation = 0;
    for (size_t i = 0; i + distance < words.size(); ++i) {
      correlation += (words[i] * 0x1p-32 - 0.5) * (words[i + distance] * 0x1p-32 - 0.5) * 12;
    }
    EXPECT_LT(std::abs(correlation / double(n)), 5 / std::sqrt(double(n))) << distance;
  }
}

TEST(Random, HasTheMomentsOfItsDistributions) {
  Random random(3);
  const int n = 200'000;
  double mean = 0, square = 0, uniform = 0;
  std::vector<int> below(7);
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    mean += x / n;
    square += x * x / n;
    uniform += random.uniform() / n;
    ++below.at(random.below(7));
  }
  EXPECT_NEAR(mean, 0, 0.012);
  EXPECT_NEAR(square, 1, 0.02);
  EXPECT_NEAR(uniform, 0.5, 0.004);
  for (const int count : below) EXPECT_NEAR(count, n / 7.0, 5 * std::sqrt(n / 7.0));
}

// Elementary functions ----------------------------------------------------------------------------

// The largest relative error over a fine grid.
template <class F, class G>
double worst_relative_error(double begin, double end, F f, G exact) {
  double worst = 0;
  for (int i = 0; i <= 1'000'000; ++i) {
    const auto x = static_cast<float>(begin + (end - begin) * i / 1e6);
    const double y = exact(static_cast<double>(x));
    worst = std::max(worst, std::abs(f(x) - y) / std::abs(y));
  }
  return worst;
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(Math, ExpIsAccurateToAFewUlp) {
  const auto f = [](float x) { return exp_of(x); };
  const auto exact = [](double x) { return std::exp(x); };
  EXPECT_LT(worst_relative_error(-87.3, 88.37, f, exact), 2e-7);
  EXPECT_LT(worst_relative_error(-1e-3, 1e-3, f, exact), 1.2e-7);
}

TEST(Math, ExpAtTheEdges) {
  EXPECT_EQ(exp_of(0.0f), 1);
  EXPECT_EQ(exp_of(-0.0f), 1);
  EXPECT_EQ(exp_of(-kInfinity), 0);
  EXPECT_EQ(exp_of(kInfinity), kInfinity);
  EXPECT_EQ(exp_of(1e30f), kInfinity);
  EXPECT_EQ(exp_of(89.0f), kInfinity);
  EXPECT_EQ(exp_of(-88.0f), 0);
  EXPECT_TRUE(std::isnan(exp_of(kNaN)));
  EXPECT_EQ(exp_of(std::numeric_limits<float>::denorm_min()), 1);
  EXPECT_EQ(exp_of(88.4f), kInfinity) << "beyond 2^127.5";
}

TEST(Math, PowersOfTwo) {
  EXPECT_EQ(exp2_of(3), 8.0f);
  EXPECT_EQ(exp2_of(-126), 0x1p-126f);
  EXPECT_EQ(exp2_of(-127), 0.0f) << "a GPU has no such small numbers there";
  EXPECT_EQ(exp2_of(-kInfinity), 0);
  EXPECT_TRUE(std::isnan(exp2_of(kNaN)));
}

TEST(Math, TanhIsAccurateAndBounded) {
  const auto f = [](float x) { return tanh_of(x); };
  const auto exact = [](double x) { return std::tanh(x); };
  EXPECT_LT(worst_relative_error(1e-6, 20, f, exact), 4e-7);
  EXPECT_LT(worst_relative_error(-2, -1e-6, f, exact), 4e-7);
  EXPECT_EQ(tanh_of(0.0f), 0);
  EXPECT_EQ(tanh_of(kInfinity), 1);
  EXPECT_EQ(tanh_of(-kInfinity), -1);
  EXPECT_EQ(tanh_of(-1e30f), -1);
  EXPECT_TRUE(std::isnan(tanh_of(kNaN)));
  const float tiny = std::numeric_limits<float>::min();
  EXPECT_EQ(tanh_of(tiny), tiny);
}

TEST(Math, SigmoidIsAccurateAndBounded) {
  const auto f = [](float x) { return sigmoid_of(x); };
  const auto exact = [](double x) { return 1 / (1 + std::exp(-x)); };
  EXPECT_LT(worst_relative_error(-80, 80, f, exact), 4e-7);
  EXPECT_EQ(sigmoid_of(kInfinity), 1);
  EXPECT_EQ(sigmoid_of(-kInfinity), 0);
  EXPECT_TRUE(std::isnan(sigmoid_of(kNaN)));
}

TEST(Math, ErfIsAccurateAndBounded) {
  double worst = 0;
  for (int i = -60'000; i <= 60'000; ++i) {
    const auto x = static_cast<float>(i * 1e-4);
    worst = std::max(worst, std::abs(double(erf_of(x)) - std::erf(double(x))));
  }
  EXPECT_LT(worst, 5e-7);
  EXPECT_EQ(erf_of(kInfinity), 1);
  EXPECT_EQ(erf_of(-kInfinity), -1);
  EXPECT_TRUE(std::isnan(erf_of(kNaN)));
}

}  // namespace
}  // namespace dragoman
