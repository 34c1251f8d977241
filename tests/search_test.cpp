#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <utility>

#include "core/check.h"
#include "core/rng.h"
#include "data/vocabulary.h"
#include "decode/search.h"
#include "decode/steps.h"
#include "decode/topk.h"
#include "device_names.h"

namespace dragoman {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Ids = std::vector<int32_t>;

constexpr int32_t kEnd = Vocabulary::kEnd;

// What is tested on every device that there is.
class OnEveryDevice : public ::testing::TestWithParam<Device> {};
using SearchTest = OnEveryDevice;
const auto kDevices = ::testing::ValuesIn(all_devices());
const auto kDeviceNames = [](const auto& test) { return name_of(test.param); };
INSTANTIATE_TEST_SUITE_P(Devices, SearchTest, kDevices, kDeviceNames);

// A model whose probabilities follow from the sentence and the pieces so far, and from nothing
// else: every prefix has random ones of its own.
class RandomLanguage : public StepModel {
 public:
  RandomLanguage(Ids source_pieces, int32_t vocabulary, Device device,
                 std::vector<uint64_t> names = {})
      : source_pieces_(std::move(source_pieces)), vocabulary_(vocabulary), device_(device) {
    for (size_t s = 0; s < source_pieces_.size(); ++s)
      hypotheses_.push_back({names.empty() ? s : names[s], source_pieces_[s], {}});
    longest_ = 1 + *std::ranges::max_element(source_pieces_);
  }

  static std::vector<real> logits(uint64_t name, const Ids& prefix, int32_t vocabulary) {
    Random random = random_for(name, prefix, 0);
    std::vector<real> values(static_cast<size_t>(vocabulary));
    for (real& value : values) value = static_cast<real>(1.5 * random.normal());
    return values;
  }

  // Over the source's pieces and </s>.
  static std::vector<real> attention(uint64_t name, const Ids& prefix, int32_t pieces) {
    Random random = random_for(name, prefix, 1);
    std::vector<real> weights(static_cast<size_t>(pieces) + 1);
    for (real& weight : weights) weight = static_cast<real>(std::pow(random.uniform(), 4));
    const real sum = std::accumulate(weights.begin(), weights.end(), real{0});
    for (real& weight : weights) weight /= sum;
    return weights;
  }

  Device device() const override { return device_; }

  Model::Step step(const Tensor& tokens, bool want_attention) override {
    const Ids last = tokens.to_host<int32_t>();
    EXPECT_EQ(last.size(), hypotheses_.size());
    std::vector<real> all, weights;
    for (size_t i = 0; i < last.size(); ++i) {
      auto& [name, pieces, prefix] = hypotheses_[i];
      if (last[i] != Vocabulary::kBegin) prefix.push_back(last[i]);
      const auto row = logits(name, prefix, vocabulary_);
      all.insert(all.end(), row.begin(), row.end());
      auto attended = attention(name, prefix, pieces);
      attended.resize(static_cast<size_t>(longest_), 0);
      weights.insert(weights.end(), attended.begin(), attended.end());
    }
    largest_batch = std::max(largest_batch, std::ssize(last));
    ++steps;
    const auto n = std::ssize(last);
    if (steps == nan_at) all.back() = std::numeric_limits<real>::quiet_NaN();
    return {
        Tensor::from(all, {n, vocabulary_}, device_),
        want_attention && has_attention ? Tensor::from(weights, {n, longest_}, device_) : Tensor()};
  }

  void reorder(const Tensor& rows) override {
    std::vector<State> next;
    for (const int32_t row : rows.to_host<int32_t>())
      next.push_back(hypotheses_.at(static_cast<size_t>(row)));
    hypotheses_ = std::move(next);
  }

  int64_t largest_batch = 0;
  int steps = 0;
  int nan_at = 0;  // the step, from 1, whose last row has a NaN
  bool has_attention = true;

 private:
  struct State {
    uint64_t name;
    int32_t pieces;
    Ids prefix;
  };

  static Random random_for(uint64_t name, const Ids& prefix, uint64_t stream) {
    uint64_t hash = name + 1;
    for (const int32_t id : prefix) hash = hash * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(id);
    return Random(hash, stream);
  }

  Ids source_pieces_;
  int32_t vocabulary_;
  Device device_;
  int64_t longest_;
  std::vector<State> hypotheses_;
};

SearchOptions options_with(DecodingConfig decoding, bool alignments = false) {
  return {.decoding = decoding, .longest_target = 1000, .alignments = alignments};
}

std::vector<Hypothesis> search_one(int32_t source_pieces, int32_t vocabulary,
                                   const SearchOptions& options, Device device, uint64_t name = 0) {
  RandomLanguage language({source_pieces}, vocabulary, device, {name});
  return search(language, Ids{source_pieces}, options).at(0);
}

// What follows a prefix: log-probabilities, and attention over the source's pieces and </s>.
struct Distribution {
  std::vector<double> log_p, attention;
};
using Language = std::function<Distribution(const Ids& prefix)>;

Language random_language(uint64_t name, int32_t source_pieces, int32_t vocabulary) {
  return [=](const Ids& prefix) {
    Distribution next;
    const auto logits = RandomLanguage::logits(name, prefix, vocabulary);
    double total = 0;
    for (const real logit : logits) total += std::exp(static_cast<double>(logit));
    for (const real logit : logits) next.log_p.push_back(logit - std::log(total));
    for (const real weight : RandomLanguage::attention(name, prefix, source_pieces))
      next.attention.push_back(weight);
    return next;
  };
}

// Every translation there is, best first; `shortest` and `longest` are in pieces.
std::vector<Hypothesis> all_translations(int32_t source_pieces, const Language& language,
                                         const DecodingConfig& decoding, int64_t shortest,
                                         int64_t longest,
                                         const std::function<bool(const Ids&)>& allowed) {
  std::vector<Hypothesis> all;
  const std::function<void(Ids, double, std::vector<double>)> visit = [&](Ids prefix, double log_p,
                                                                          std::vector<double> sum) {
    const Distribution distribution = language(prefix);
    for (size_t j = 0; j < sum.size(); ++j) sum[j] += distribution.attention[j];
    for (int32_t id = 0; std::cmp_less(id, distribution.log_p.size()); ++id) {
      const double next = log_p + distribution.log_p[static_cast<size_t>(id)];
      if (id == kEnd) {
        if (std::ssize(prefix) < shortest) continue;
        double coverage = 0;
        for (const double attended : sum) coverage += std::log(std::min(1.0, attended));
        const double length = static_cast<double>(prefix.size()) + 1;
        all.push_back({.ids = prefix,
                       .log_probability = next,
                       .score = next / std::pow(length, decoding.length_penalty) +
                                decoding.coverage_penalty * coverage,
                       .attention = {}});
      } else if (id != Vocabulary::kBegin && std::ssize(prefix) < longest) {
        Ids longer = prefix;
        longer.push_back(id);
        if (allowed(longer)) visit(longer, next, sum);
      }
    }
  };
  visit({}, 0, std::vector<double>(static_cast<size_t>(source_pieces), 0.0));
  std::ranges::sort(all, std::greater{}, &Hypothesis::score);
  return all;
}

bool repeats(const Ids& ids, size_t n) {
  std::set<Ids> seen;
  for (size_t i = 0; i + n <= ids.size(); ++i) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(i);
    if (!seen.insert(Ids(begin, begin + static_cast<std::ptrdiff_t>(n))).second) return true;
  }
  return false;
}

// The best tokens ---------------------------------------------------------------------------------

// BestTokens on the host.
struct HostTokens {
  int64_t count;
  Ids ids;
  std::vector<real> log_probabilities, end;
};

class BestTokensTest : public OnEveryDevice {
 protected:
  // `bans` holds as many for each row.
  static HostTokens host_tokens(const std::vector<real>& logits, const Shape& shape,
                                const Ids& bans, int64_t count) {
    const auto banned = static_cast<int64_t>(bans.size()) / shape[0];
    const BestTokens best = best_tokens(
        Tensor::from(logits, shape, GetParam()),
        bans.empty() ? Tensor() : Tensor::from(bans, {shape[0], banned}, GetParam()), count);
    return {best.ids.columns(), best.ids.to_host<int32_t>(), best.log_probabilities.to_host(),
            best.end.to_host()};
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, BestTokensTest, kDevices, kDeviceNames);

TEST_P(BestTokensTest, AreThoseOfASortedRow) {
  for (const int64_t classes : {3, 64, 65, 1000, 8001}) {
    const int64_t rows = 7, count = 11;
    Random random(static_cast<uint64_t>(classes));
    std::vector<real> logits(static_cast<size_t>(rows * classes));
    // Few values, so that there are ties.
    for (real& logit : logits) logit = static_cast<real>(random.below(50)) / 10;
    const HostTokens best = host_tokens(logits, {rows, classes}, {}, count);
    EXPECT_EQ(best.count, std::min(count, classes));
    for (int64_t row = 0; row < rows; ++row) {
      const real* v = logits.data() + row * classes;
      double total = 0;
      for (int64_t c = 0; c < classes; ++c) total += std::exp(static_cast<double>(v[c]));
      Ids order(static_cast<size_t>(classes));
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return v[a] > v[b]; });
      for (int64_t i = 0; i < best.count; ++i) {
        const int32_t id = order[static_cast<size_t>(i)];
        const auto place = static_cast<size_t>(row * best.count + i);
        ASSERT_EQ(best.ids[place], id) << classes << " classes, row " << row << ", rank " << i;
        ASSERT_NEAR(best.log_probabilities[place], v[id] - std::log(total), 1e-4);
      }
      ASSERT_NEAR(best.end[static_cast<size_t>(row)], v[kEnd] - std::log(total), 1e-4);
    }
  }
}

TEST_P(BestTokensTest, LeavesBannedOnesOutWithoutMakingOthersMoreProbable) {
  const std::vector<real> logits = {1, 2, 3, 4, 1, 2, 3, 4};
  const HostTokens best = host_tokens(logits, {2, 4}, {3, -1, 2, 3, 0, 1, 2, 3}, 3);
  EXPECT_THAT(best.ids, ElementsAre(1, 0, -1, -1, -1, -1));
  const double total = std::exp(1.0) + std::exp(2.0) + std::exp(3.0) + std::exp(4.0);
  EXPECT_NEAR(best.log_probabilities[0], 2 - std::log(total), 1e-6);
  EXPECT_NEAR(best.end[1], 3 - std::log(total), 1e-6);
}

TEST_P(BestTokensTest, DoNotHideNaN) {
  const real nan = std::numeric_limits<real>::quiet_NaN();
  const HostTokens best = host_tokens({1, nan, 3, 4, 1, 2, 3, 4}, {2, 4}, {}, 2);
  EXPECT_TRUE(std::isnan(best.end[0]));
  EXPECT_FALSE(std::isnan(best.end[1]));
}

// Search ------------------------------------------------------------------------------------------

TEST_P(SearchTest, AWideBeamFindsTheBestOfAllTranslations) {
  for (const double length_penalty : {0.0, 0.6, 1.0}) {
    for (const double coverage_penalty : {0.0, 0.3}) {
      DecodingConfig decoding;
      decoding.beam_size = 2000;  // there are 1365 translations of up to 5 pieces
      decoding.n_best = 40;
      decoding.max_length = 5;
      decoding.length_penalty = length_penalty;
      decoding.coverage_penalty = coverage_penalty;
      const auto found = search_one(3, 6, options_with(decoding), GetParam());
      const auto expected = all_translations(3, random_language(0, 3, 6), decoding, 0, 5,
                                             [](const Ids&) { return true; });
      ASSERT_EQ(expected.size(), 1365u);
      ASSERT_EQ(found.size(), 40u);
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].ids, expected[i].ids) << i;
        EXPECT_NEAR(found[i].score, expected[i].score, 1e-4) << i;
        EXPECT_NEAR(found[i].log_probability, expected[i].log_probability, 1e-4) << i;
      }
    }
  }
}

TEST_P(SearchTest, ABeamOfOneIsGreedy) {
  DecodingConfig decoding;
  decoding.beam_size = 1;
  decoding.max_length = 30;
  for (uint64_t name = 0; name < 20; ++name) {
    Ids expected;
    while (expected.size() < 30) {
      auto logits = RandomLanguage::logits(name, expected, 40);
      logits[Vocabulary::kBegin] = -100;
      const auto best = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
      if (best == kEnd) break;
      expected.push_back(best);
    }
    const auto found = search_one(20, 40, options_with(decoding), GetParam(), name);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].ids, expected);
  }
}

// The search as its contract has it, in plain loops over whole distributions, for one sentence.
class PlainSearch {
 public:
  PlainSearch(const SearchOptions& options, int32_t source_pieces, int32_t vocabulary,
              uint64_t name)
      : decoding_(options.decoding),
        source_pieces_(source_pieces),
        vocabulary_(vocabulary),
        name_(name) {
    const double pieces = source_pieces;
    longest_ = std::min({std::floor(decoding_.max_length_ratio * pieces + 10),
                         static_cast<double>(decoding_.max_length)});
    shortest_ = std::min(std::ceil(decoding_.min_length_ratio * pieces), longest_);
  }

  std::vector<Hypothesis> run() const {
    const auto width = static_cast<size_t>(decoding_.beam_size);
    std::vector<Hypothesis> live(1), finished;
    while (finished.size() < width && !live.empty()) {
      std::vector<Hypothesis> all;  // those that ended among them, with </s>
      for (const Hypothesis& parent : live) append_continuations(parent, all);
      std::ranges::stable_sort(all, std::greater{}, &Hypothesis::log_probability);
      live.clear();
      for (size_t rank = 0; rank < all.size() && live.size() < width; ++rank) {
        if (all[rank].ids.back() != kEnd) {
          live.push_back(all[rank]);
        } else if (rank < width) {
          finished.push_back(scored(all[rank]));
        }
      }
    }
    std::ranges::stable_sort(finished, std::greater{}, &Hypothesis::score);
    finished.resize(std::min(finished.size(), static_cast<size_t>(decoding_.n_best)));
    return finished;
  }

 private:
  void append_continuations(const Hypothesis& parent, std::vector<Hypothesis>& all) const {
    const auto logits = RandomLanguage::logits(name_, parent.ids, vocabulary_);
    double total = 0;
    for (const real logit : logits) total += std::exp(static_cast<double>(logit));
    const auto add = [&](int32_t id) {
      all.push_back(parent);
      all.back().ids.push_back(id);
      all.back().log_probability += logits[static_cast<size_t>(id)] - std::log(total);
      all.back().attention.push_back(RandomLanguage::attention(name_, parent.ids, source_pieces_));
    };
    const size_t before = all.size();
    for (int32_t id = 0; id < vocabulary_; ++id) {
      if (is_allowed(parent.ids, id)) add(id);
    }
    if (all.size() == before) add(kEnd);
  }

  bool is_allowed(const Ids& ids, int32_t id) const {
    const auto length = static_cast<double>(ids.size());
    if (id == kEnd) return length >= shortest_;
    if (id == Vocabulary::kBegin || length >= longest_) return false;
    Ids longer = ids;
    longer.push_back(id);
    return decoding_.no_repeat_ngram == 0 ||
           !repeats(longer, static_cast<size_t>(decoding_.no_repeat_ngram));
  }

  Hypothesis scored(Hypothesis hypothesis) const {
    const auto length = static_cast<double>(hypothesis.ids.size());
    hypothesis.ids.pop_back();
    hypothesis.score = hypothesis.log_probability / std::pow(length, decoding_.length_penalty);
    for (size_t j = 0; j < static_cast<size_t>(source_pieces_); ++j) {
      double attended = 0;
      for (const auto& weights : hypothesis.attention) attended += weights[j];
      hypothesis.score += decoding_.coverage_penalty * std::log(std::clamp(attended, 1e-6, 1.0));
    }
    return hypothesis;
  }

  DecodingConfig decoding_;
  int32_t source_pieces_;
  int32_t vocabulary_;
  uint64_t name_;
  double longest_, shortest_;
};

void expect_equal(const std::vector<Hypothesis>& found, const std::vector<Hypothesis>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].ids, expected[i].ids) << "rank " << i;
    EXPECT_NEAR(found[i].score, expected[i].score, 1e-4) << "rank " << i;
    EXPECT_NEAR(found[i].log_probability, expected[i].log_probability, 1e-4) << "rank " << i;
    EXPECT_EQ(found[i].attention, expected[i].attention) << "rank " << i;
  }
}

TEST_P(SearchTest, EqualsAPlainSearchForAnyBeam) {
  for (const int beam_size : {1, 2, 3, 5, 12}) {
    for (uint64_t name = 0; name < 40; ++name) {
      DecodingConfig decoding;
      decoding.beam_size = decoding.n_best = beam_size;
      decoding.max_length = name % 2 == 0 ? 3 : 12;
      decoding.length_penalty = 0.8;
      const SearchOptions options = options_with(decoding, true);
      SCOPED_TRACE("beam of " + std::to_string(beam_size));
      expect_equal(search_one(10, 14, options, GetParam(), name),
                   PlainSearch(options, 10, 14, name).run());
    }
  }
}

// Sentences of several lengths at once, some done long before others, with every option.
TEST_P(SearchTest, EqualsAPlainSearchForABatchWithEveryOption) {
  const Ids pieces = {20, 3, 9, 1, 14, 5, 6, 2, 30};
  for (const int beam_size : {1, 3, 6}) {
    DecodingConfig decoding;
    decoding.beam_size = decoding.n_best = beam_size;
    decoding.max_length = 60;
    decoding.max_length_ratio = 1.2;
    decoding.min_length_ratio = 0.7;
    decoding.no_repeat_ngram = 2;
    decoding.length_penalty = 0.8;
    decoding.coverage_penalty = 0.2;
    const SearchOptions options = options_with(decoding, true);
    RandomLanguage language(pieces, 9, GetParam());
    const auto found = search(language, pieces, options);
    for (size_t s = 0; s < pieces.size(); ++s) {
      SCOPED_TRACE("beam of " + std::to_string(beam_size) + ", sentence " + std::to_string(s));
      expect_equal(found.at(s), PlainSearch(options, pieces[s], 9, s).run());
    }
  }
}

// What is grown by doubling grows.
TEST_P(SearchTest, EqualsAPlainSearchForLongTranslations) {
  DecodingConfig decoding;
  decoding.beam_size = decoding.n_best = 3;
  decoding.min_length_ratio = 1;
  decoding.max_length_ratio = 1;
  decoding.no_repeat_ngram = 3;
  const SearchOptions options = options_with(decoding, true);
  expect_equal(search_one(150, 12, options, GetParam(), 5), PlainSearch(options, 150, 12, 5).run());
}

TEST_P(SearchTest, RefusesNaN) {
  for (const int step : {1, 4}) {
    DecodingConfig decoding;
    decoding.min_length_ratio = 1;
    RandomLanguage language({30, 30}, 12, GetParam());
    language.nan_at = step;
    try {
      search(language, Ids{30, 30}, options_with(decoding));
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("not numbers (NaN)"));
    }
  }
}

TEST_P(SearchTest, AWiderBeamFindsMoreProbableTranslations) {
  double greedy = 0, beam = 0;
  for (uint64_t name = 0; name < 50; ++name) {
    DecodingConfig decoding;
    decoding.length_penalty = 0;
    decoding.max_length = 20;
    decoding.beam_size = 1;
    greedy += search_one(10, 30, options_with(decoding), GetParam(), name)[0].score;
    decoding.beam_size = 8;
    beam += search_one(10, 30, options_with(decoding), GetParam(), name)[0].score;
  }
  EXPECT_GT(beam, greedy + 10);
}

TEST_P(SearchTest, NBestAreDistinctAndSorted) {
  DecodingConfig decoding;
  decoding.beam_size = 6;
  decoding.n_best = 6;
  decoding.max_length = 12;
  const auto found = search_one(4, 9, options_with(decoding), GetParam());
  ASSERT_EQ(found.size(), 6u);
  std::set<Ids> distinct;
  for (size_t i = 0; i < found.size(); ++i) {
    distinct.insert(found[i].ids);
    EXPECT_LE(found[i].score, found[i == 0 ? 0 : i - 1].score);
  }
  EXPECT_EQ(distinct.size(), 6u);
}

TEST_P(SearchTest, DoesNotRepeatNGrams) {
  for (const int n : {1, 2, 3}) {
    DecodingConfig decoding;
    decoding.beam_size = 2000;
    decoding.n_best = 50;
    decoding.max_length = 5;
    decoding.no_repeat_ngram = n;
    const auto allowed = [&](const Ids& ids) { return !repeats(ids, static_cast<size_t>(n)); };
    const auto expected = all_translations(3, random_language(0, 3, 6), decoding, 0, 5, allowed);
    const auto found = search_one(3, 6, options_with(decoding), GetParam());
    ASSERT_EQ(found.size(), 50u);
    for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].ids, expected[i].ids) << i;
  }
}

TEST_P(SearchTest, KeepsTheLengthsWithinTheirLimits) {
  DecodingConfig decoding;
  decoding.beam_size = 3000;
  decoding.n_best = 3000;
  decoding.max_length = 5;
  decoding.min_length_ratio = 1.5;  // of 2 pieces: 3
  const auto found = search_one(2, 6, options_with(decoding), GetParam());
  const auto expected = all_translations(2, random_language(0, 2, 6), decoding, 3, 5,
                                         [](const Ids&) { return true; });
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(found[i].ids, expected[i].ids) << i;
}

TEST_P(SearchTest, EndsAtTheTightestLimit) {
  const auto longest = [](const DecodingConfig& decoding, int64_t longest_target) {
    return std::ssize(
        search_one(10, 500, {.decoding = decoding, .longest_target = longest_target}, GetParam())
            .at(0)
            .ids);
  };
  DecodingConfig decoding;
  decoding.beam_size = 2;
  decoding.min_length_ratio = 100;  // as long as is allowed
  decoding.max_length_ratio = 100;
  EXPECT_EQ(longest(decoding, 1000), 256);
  EXPECT_EQ(longest(decoding, 21), 20);  // <s> and 20 pieces
  decoding.max_length = 7;
  EXPECT_EQ(longest(decoding, 1000), 7);
  decoding.max_length = 256;
  decoding.max_length_ratio = 1.25;
  EXPECT_EQ(longest(decoding, 1000), 22);
}

TEST_P(SearchTest, ALeastLengthGivesWayWhereNothingElseIsAllowed) {
  DecodingConfig decoding;
  decoding.beam_size = 2;
  decoding.no_repeat_ngram = 1;
  decoding.min_length_ratio = 1;
  // <unk> and two pieces, each once; then nothing but </s> is left.
  const auto found = search_one(9, 5, options_with(decoding), GetParam());
  EXPECT_EQ(found.at(0).ids.size(), 3u);
}

TEST_P(SearchTest, NeverGeneratesTheBeginOfASentence) {
  DecodingConfig decoding;
  decoding.beam_size = 4;
  decoding.n_best = 4;
  decoding.max_length = 40;
  for (uint64_t name = 0; name < 10; ++name) {
    for (const auto& hypothesis : search_one(30, 6, options_with(decoding), GetParam(), name)) {
      EXPECT_EQ(std::ranges::count(hypothesis.ids, Vocabulary::kBegin), 0);
      EXPECT_EQ(std::ranges::count(hypothesis.ids, kEnd), 0);
    }
  }
}

TEST_P(SearchTest, ASentenceIsTranslatedTheSameInAnyCompany) {
  const Ids pieces = {9, 8, 8, 5, 3, 3, 2, 1};
  DecodingConfig decoding;
  decoding.beam_size = 4;
  decoding.n_best = 4;
  decoding.coverage_penalty = 0.2;
  decoding.no_repeat_ngram = 2;
  RandomLanguage language(pieces, 30, GetParam());
  const auto together = search(language, pieces, options_with(decoding, true));
  EXPECT_EQ(language.largest_batch, 32);
  for (size_t s = 0; s < pieces.size(); ++s) {
    const auto alone = search_one(pieces[s], 30, options_with(decoding, true), GetParam(), s);
    ASSERT_EQ(together[s].size(), alone.size());
    for (size_t i = 0; i < alone.size(); ++i) {
      EXPECT_EQ(together[s][i].ids, alone[i].ids);
      EXPECT_EQ(together[s][i].score, alone[i].score);
      EXPECT_EQ(together[s][i].attention, alone[i].attention);
    }
  }
}

// Ensembles ---------------------------------------------------------------------------------------

// Members of an ensemble, at sentences of that many pieces; `names` gives every member's.
std::vector<std::unique_ptr<StepModel>> members_of(
    const Ids& pieces, int32_t vocabulary, Device device,
    const std::vector<std::vector<uint64_t>>& names) {
  std::vector<std::unique_ptr<StepModel>> members;
  for (const auto& of_member : names)
    members.push_back(std::make_unique<RandomLanguage>(pieces, vocabulary, device, of_member));
  return members;
}

TEST_P(SearchTest, AnEnsembleTakesTheMeanOfProbabilities) {
  const int32_t pieces = 3, vocabulary = 6;
  const std::vector<uint64_t> names = {0, 1, 2};
  for (const size_t size : {2, 3}) {
    DecodingConfig decoding;
    decoding.beam_size = 2000;  // there are 1365 translations of up to 5 pieces
    decoding.n_best = 40;
    decoding.max_length = 5;
    decoding.coverage_penalty = 0.3;
    // Of three, the second has no attention: the mean is that of the others.
    std::vector<std::unique_ptr<StepModel>> members;
    for (size_t m = 0; m < size; ++m) {
      auto member = std::make_unique<RandomLanguage>(Ids{pieces}, vocabulary, GetParam(),
                                                     std::vector<uint64_t>{names[m]});
      member->has_attention = size == 2 || m != 1;
      members.push_back(std::move(member));
    }
    EnsembleSteps ensemble(std::move(members));
    const auto found = search(ensemble, Ids{pieces}, options_with(decoding)).at(0);

    const Language mean = [&](const Ids& prefix) {
      Distribution all{std::vector<double>(vocabulary), std::vector<double>(pieces + 1)};
      for (size_t m = 0; m < size; ++m) {
        const Distribution one = random_language(names[m], pieces, vocabulary)(prefix);
        for (size_t c = 0; c < all.log_p.size(); ++c)
          all.log_p[c] += std::exp(one.log_p[c]) / static_cast<double>(size);
        if (size == 3 && m == 1) continue;
        for (size_t j = 0; j < all.attention.size(); ++j) all.attention[j] += one.attention[j] / 2;
      }
      for (double& p : all.log_p) p = std::log(p);
      return all;
    };
    const auto expected =
        all_translations(pieces, mean, decoding, 0, 5, [](const Ids&) { return true; });
    ASSERT_EQ(found.size(), 40u);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].ids, expected[i].ids) << size << " models, rank " << i;
      EXPECT_NEAR(found[i].score, expected[i].score, 1e-4) << size << " models, rank " << i;
      EXPECT_NEAR(found[i].log_probability, expected[i].log_probability, 1e-4);
    }
  }
}

TEST_P(SearchTest, AModelWithItselfIsNoOther) {
  const Ids pieces = {9, 3, 14, 1};
  DecodingConfig decoding;
  decoding.beam_size = decoding.n_best = 4;
  decoding.no_repeat_ngram = 2;
  const SearchOptions options = options_with(decoding, true);
  const std::vector<uint64_t> names = {4, 5, 6, 7};
  RandomLanguage alone(pieces, 30, GetParam(), names);
  EnsembleSteps twice(members_of(pieces, 30, GetParam(), {names, names}));
  const auto expected = search(alone, pieces, options), found = search(twice, pieces, options);
  for (size_t s = 0; s < pieces.size(); ++s) expect_equal(found[s], expected[s]);
}

// Improbable pieces keep a logarithm: </s> may have to follow where it is one.
TEST_P(SearchTest, AnEnsembleKnowsHowImprobableAPieceIs) {
  // Logits that differ by 200 and, of the other model, by 210.
  class Certain : public StepModel {
   public:
    Certain(real margin, Device device) : margin_(margin), device_(device) {}
    Device device() const override { return device_; }
    Model::Step step(const Tensor& last, bool) override {
      std::vector<real> logits;
      for (int64_t row = 0; row < last.size(); ++row)
        logits.insert(logits.end(), {0, 0, 0, margin_});  // piece 3
      return {Tensor::from(logits, {last.size(), 4}, device_), Tensor()};
    }
    void reorder(const Tensor&) override {}

   private:
    real margin_;
    Device device_;
  };
  std::vector<std::unique_ptr<StepModel>> members;
  for (const real margin : {200, 210})
    members.push_back(std::make_unique<Certain>(margin, GetParam()));
  EnsembleSteps ensemble(std::move(members));
  DecodingConfig decoding;
  decoding.beam_size = 1;
  decoding.max_length = 2;
  const auto found = search(ensemble, Ids{2}, options_with(decoding)).at(0).at(0);
  EXPECT_THAT(found.ids, ElementsAre(3, 3));
  EXPECT_NEAR(found.log_probability, -200 + std::log((1 + std::exp(-10.0)) / 2), 1e-4);
}

TEST_P(SearchTest, AnEnsembleRefusesNaNOfAnyOfItsModels) {
  for (const size_t bad : {0, 1}) {
    std::vector<std::unique_ptr<StepModel>> members;
    for (size_t m = 0; m < 2; ++m) {
      auto member = std::make_unique<RandomLanguage>(Ids{30, 30}, 12, GetParam());
      if (m == bad) member->nan_at = 2;
      members.push_back(std::move(member));
    }
    EnsembleSteps ensemble(std::move(members));
    DecodingConfig decoding;
    decoding.min_length_ratio = 1;
    EXPECT_THAT(
        [&] {
          search(ensemble, Ids{30, 30}, options_with(decoding));
        },
        ThrowsMessage<Error>(HasSubstr("not numbers (NaN)")));
  }
}

TEST_P(SearchTest, ModelsOfDifferentVocabulariesAreNoEnsemble) {
  std::vector<std::unique_ptr<StepModel>> members;
  for (const int32_t vocabulary : {12, 13})
    members.push_back(std::make_unique<RandomLanguage>(Ids{3}, vocabulary, GetParam()));
  EnsembleSteps ensemble(std::move(members));
  EXPECT_THAT([&] { search(ensemble, Ids{3}, options_with({})); },
              ThrowsMessage<Error>(HasSubstr("the same vocabulary, not 12 and 13 pieces")));
}

TEST_P(SearchTest, StopsAsSoonAsEverySentenceIsDone) {
  DecodingConfig decoding;
  decoding.beam_size = 1;
  decoding.max_length = 200;
  RandomLanguage language({50, 50, 50}, 6, GetParam());
  size_t longest = 0;
  for (const auto& found : search(language, Ids{50, 50, 50}, options_with(decoding)))
    longest = std::max(longest, found[0].ids.size());
  EXPECT_LT(longest, 190u);
  const int needed = static_cast<int>(longest) + 1;
  EXPECT_GE(language.steps, needed);
  EXPECT_LT(language.steps, needed + (GetParam().on_gpu() ? 8 : 1)) << "looks every 8 steps";
}

TEST_P(SearchTest, AttentionFollowsTheHypothesis) {
  DecodingConfig decoding;
  decoding.beam_size = 5;
  decoding.n_best = 5;
  decoding.max_length = 15;
  for (const Hypothesis& hypothesis :
       search_one(6, 12, options_with(decoding, true), GetParam(), 3)) {
    ASSERT_EQ(hypothesis.attention.size(), hypothesis.ids.size() + 1);
    for (size_t t = 0; t <= hypothesis.ids.size(); ++t) {
      const Ids prefix(hypothesis.ids.begin(), hypothesis.ids.begin() + static_cast<int64_t>(t));
      EXPECT_EQ(hypothesis.attention[t], RandomLanguage::attention(3, prefix, 6));
    }
  }
}

}  // namespace
}  // namespace dragoman
