#include "eval/bleu.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <unordered_map>
#include <utility>

#include "core/check.h"
#include "eval/unicode.h"

namespace dragoman {
namespace {

constexpr size_t kOrders = BleuStatistics::kOrders;

constexpr std::array<std::pair<std::string_view, Smoothing>, 4> kSmoothings{{
    {"exp", Smoothing::kExp},
    {"floor", Smoothing::kFloor},
    {"add-k", Smoothing::kAddK},
    {"none", Smoothing::kNone},
}};

std::string_view smoothing_name(Smoothing smoothing) {
  return std::find_if(kSmoothings.begin(), kSmoothings.end(),
                      [smoothing](const auto& row) { return row.second == smoothing; })
      ->first;
}

bool uses_value(Smoothing smoothing) {
  return smoothing == Smoothing::kFloor || smoothing == Smoothing::kAddK;
}

/// How often each n-gram occurs, by order. The keys are views into the text that was counted: one
/// space stands between tokens, so an n-gram is a substring and nothing is copied.
using NgramCounts = std::array<std::unordered_map<std::string_view, int64_t>, kOrders>;

/// Counts the n-grams of a tokenised line into `counts` and returns its number of tokens.
int64_t count_ngrams(std::string_view tokens, NgramCounts& counts) {
  std::vector<size_t> starts;
  for (size_t at = 0; at < tokens.size();) {
    starts.push_back(at);
    at = std::min(tokens.find(' ', at), tokens.size() - 1) + 1;
  }
  const size_t length = starts.size();
  starts.push_back(tokens.size() + 1);  // where a next token would start
  for (size_t n = 1; n <= kOrders; ++n) {
    for (size_t i = 0; i + n <= length; ++i) {
      ++counts[n - 1][tokens.substr(starts[i], starts[i + n] - 1 - starts[i])];
    }
  }
  return static_cast<int64_t>(length);
}

/// Keeps, for each n-gram, the greater of the counts in `most` and `counts`.
void keep_greatest(NgramCounts& most, const NgramCounts& counts) {
  for (size_t n = 0; n < kOrders; ++n) {
    for (const auto& [ngram, count] : counts[n]) {
      int64_t& greatest = most[n][ngram];
      greatest = std::max(greatest, count);
    }
  }
}

/// The length closest to that of the hypothesis; the shorter one of two equally close.
int64_t closest_length(int64_t hypothesis, const std::vector<int64_t>& references) {
  return *std::min_element(references.begin(), references.end(), [hypothesis](auto a, auto b) {
    return std::pair(std::abs(a - hypothesis), a) < std::pair(std::abs(b - hypothesis), b);
  });
}

double brevity_penalty(int64_t hypothesis_length, int64_t reference_length) {
  if (hypothesis_length >= reference_length) return 1;
  if (hypothesis_length == 0) return 0;
  return std::exp(1 -
                  static_cast<double>(reference_length) / static_cast<double>(hypothesis_length));
}

struct Precisions {
  std::array<double, kOrders> percent{};
  size_t orders = kOrders;  ///< how many of them the score averages
};

Precisions smoothed_precisions(const BleuStatistics& statistics, const BleuOptions& options,
                               double smooth_value) {
  Precisions precisions;
  double exp_matches = 1;
  for (size_t n = 0; n < kOrders; ++n) {
    const double added = options.smoothing == Smoothing::kAddK && n > 0 ? smooth_value : 0;
    const double correct = static_cast<double>(statistics.correct[n]) + added;
    const double total = static_cast<double>(statistics.total[n]) + added;
    if (total == 0) break;
    if (options.effective_order) precisions.orders = n + 1;
    if (correct > 0) {
      precisions.percent[n] = 100 * correct / total;
    } else if (options.smoothing == Smoothing::kExp) {
      exp_matches *= 2;
      precisions.percent[n] = 100 / (exp_matches * total);
    } else if (options.smoothing == Smoothing::kFloor) {
      precisions.percent[n] = 100 * smooth_value / total;
    }
  }
  return precisions;
}

/// Zero if any of them is.
double geometric_mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

}  // namespace

Smoothing find_smoothing(std::string_view name) {
  for (const auto& [known, smoothing] : kSmoothings) {
    if (known == name) return smoothing;
  }
  fail_usage("unknown smoothing '{}': choose one of {}", name, fmt::join(smoothing_names(), ", "));
}

std::vector<std::string> smoothing_names() {
  std::vector<std::string> names;
  for (const auto& row : kSmoothings) names.emplace_back(row.first);
  return names;
}

BleuStatistics& BleuStatistics::operator+=(const BleuStatistics& other) {
  hypothesis_length += other.hypothesis_length;
  reference_length += other.reference_length;
  for (size_t n = 0; n < kOrders; ++n) {
    correct[n] += other.correct[n];
    total[n] += other.total[n];
  }
  return *this;
}

Bleu::Bleu(BleuOptions options)
    : options_(std::move(options)),
      tokenizer_(find_tokenizer(options_.tokenizer)),
      smooth_value_(
          options_.smooth_value.value_or(options_.smoothing == Smoothing::kFloor ? 0.1 : 1.0)) {
  if (!options_.smooth_value) return;
  if (!uses_value(options_.smoothing)) {
    fail_usage(
        "smoothing '{}' takes no value; leave the smoothing value out or choose floor or add-k",
        smoothing_name(options_.smoothing));
  }
  if (!(smooth_value_ >= 0 && std::isfinite(smooth_value_))) {
    fail_usage("the smoothing value is {}; it must be a number from 0 up", smooth_value_);
  }
}

std::string Bleu::tokens(std::string_view line) const {
  if (options_.lowercase) return tokenizer_(strip_right(lowercase(line)));
  return tokenizer_(strip_right(line));
}

BleuStatistics Bleu::segment(std::string_view hypothesis,
                             std::span<const std::string> references) const {
  check(!references.empty(), "BLEU needs at least one reference");

  std::vector<std::string> reference_tokens;  // holds the text that the keys of the counts view
  for (const std::string& reference : references) reference_tokens.push_back(tokens(reference));
  NgramCounts reference_counts;
  std::vector<int64_t> reference_lengths;
  for (const std::string& line : reference_tokens) {
    NgramCounts counts;
    reference_lengths.push_back(count_ngrams(line, counts));
    keep_greatest(reference_counts, counts);
  }

  const std::string hypothesis_tokens = tokens(hypothesis);
  NgramCounts hypothesis_counts;
  BleuStatistics statistics;
  statistics.hypothesis_length = count_ngrams(hypothesis_tokens, hypothesis_counts);
  statistics.reference_length = closest_length(statistics.hypothesis_length, reference_lengths);
  for (size_t n = 0; n < kOrders; ++n) {
    for (const auto& [ngram, count] : hypothesis_counts[n]) {
      statistics.total[n] += count;
      const auto found = reference_counts[n].find(ngram);
      if (found != reference_counts[n].end())
        statistics.correct[n] += std::min(count, found->second);
    }
  }
  return statistics;
}

std::vector<BleuStatistics> Bleu::segments(
    std::span<const std::string> hypotheses,
    std::span<const std::vector<std::string>> references) const {
  check(!hypotheses.empty(), "BLEU needs at least one segment; the hypotheses are empty");
  for (size_t set = 0; set < references.size(); ++set) {
    check(references[set].size() == hypotheses.size(),
          "reference set {} has {} segments and the hypotheses have {}; they must be as many",
          set + 1, references[set].size(), hypotheses.size());
  }
  std::vector<BleuStatistics> statistics;
  statistics.reserve(hypotheses.size());
  std::vector<std::string> segment_references(references.size());
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    for (size_t set = 0; set < references.size(); ++set)
      segment_references[set] = references[set][i];
    statistics.push_back(segment(hypotheses[i], segment_references));
  }
  return statistics;
}

BleuScore Bleu::score(const Statistics& statistics) const {
  BleuScore score;
  score.name = "BLEU";
  score.hypothesis_length = statistics.hypothesis_length;
  score.reference_length = statistics.reference_length;
  score.brevity_penalty = brevity_penalty(score.hypothesis_length, score.reference_length);
  if (score.reference_length > 0) {
    score.ratio =
        static_cast<double>(score.hypothesis_length) / static_cast<double>(score.reference_length);
  }
  if (std::any_of(statistics.correct.begin(), statistics.correct.end(),
                  [](int64_t count) { return count > 0; })) {
    const Precisions precisions = smoothed_precisions(statistics, options_, smooth_value_);
    score.precisions = precisions.percent;
    score.value = score.brevity_penalty *
                  geometric_mean(std::span(precisions.percent).first(precisions.orders));
  }
  score.details = fmt::format("{:.1f} (BP = {:.3f} ratio = {:.3f} hyp_len = {} ref_len = {})",
                              fmt::join(score.precisions, "/"), score.brevity_penalty, score.ratio,
                              score.hypothesis_length, score.reference_length);
  return score;
}

Signature Bleu::signature(size_t reference_count) const {
  std::string smooth(smoothing_name(options_.smoothing));
  if (uses_value(options_.smoothing)) smooth += fmt::format("[{:.2f}]", smooth_value_);
  return {{"nrefs", std::to_string(reference_count)},
          {"case", options_.lowercase ? "lc" : "mixed"},
          {"eff", options_.effective_order ? "yes" : "no"},
          {"tok", options_.tokenizer},
          {"smooth", smooth},
          {"version", "dragoman-" DRAGOMAN_VERSION}};
}

BleuScore corpus_bleu(std::span<const std::string> hypotheses,
                      std::span<const std::vector<std::string>> references,
                      const BleuOptions& options) {
  const Bleu bleu(options);
  BleuStatistics sum;
  for (const BleuStatistics& segment : bleu.segments(hypotheses, references)) sum += segment;
  return bleu.score(sum);
}

BleuScore sentence_bleu(std::string_view hypothesis, std::span<const std::string> references,
                        BleuOptions options) {
  options.effective_order = true;
  const Bleu bleu(std::move(options));
  return bleu.score(bleu.segment(hypothesis, references));
}

}  // namespace dragoman
