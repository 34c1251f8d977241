#include "eval/bleu.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "core/check.h"
#include "eval/metric.h"
#include "eval/ngrams.h"
#include "eval/unicode.h"

namespace dragoman {
namespace {

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
  std::vector<double> percent;
  size_t orders;  ///< how many of them the score averages
};

Precisions smoothed_precisions(const BleuStatistics& statistics, const BleuOptions& options,
                               double smooth_value) {
  const size_t orders = statistics.total.size();
  Precisions precisions{std::vector<double>(orders), orders};
  double exp_matches = 1;
  for (size_t n = 0; n < orders; ++n) {
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

/// Adds numbers one by one.
void add_to(std::vector<int64_t>& sums, const std::vector<int64_t>& numbers) {
  if (sums.size() < numbers.size()) sums.resize(numbers.size());
  for (size_t n = 0; n < numbers.size(); ++n) sums[n] += numbers[n];
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
  add_to(correct, other.correct);
  add_to(total, other.total);
  return *this;
}

Bleu::Bleu(BleuOptions options)
    : options_(std::move(options)),
      tokenizer_(find_tokenizer(options_.tokenizer)),
      smooth_value_(
          options_.smooth_value.value_or(options_.smoothing == Smoothing::kFloor ? 0.1 : 1.0)) {
  if (options_.max_ngram_order < 1)
    fail_usage("the longest n-grams cannot have {} words", options_.max_ngram_order);
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
  const NgramText words = NgramText::words(tokens(hypothesis));
  std::vector<NgramText> reference_words;
  std::vector<int64_t> reference_lengths;
  for (const std::string& reference : references) {
    reference_words.push_back(NgramText::words(tokens(reference)));
    reference_lengths.push_back(reference_words.back().size());
  }
  BleuStatistics statistics;
  statistics.hypothesis_length = words.size();
  statistics.reference_length = closest_length(words.size(), reference_lengths);
  for (int n = 1; n <= options_.max_ngram_order; ++n) {
    NgramCounts most;
    for (const NgramText& reference : reference_words)
      keep_greatest(most, reference.ngrams(static_cast<size_t>(n)));
    statistics.correct.push_back(common_ngrams(words.ngrams(static_cast<size_t>(n)), most));
    statistics.total.push_back(std::max<int64_t>(0, words.size() - n + 1));
  }
  return statistics;
}

BleuScore Bleu::score(const Statistics& statistics) const {
  BleuScore score;
  score.name = "BLEU";
  score.hypothesis_length = statistics.hypothesis_length;
  score.reference_length = statistics.reference_length;
  score.precisions.resize(statistics.total.size());
  score.brevity_penalty = brevity_penalty(score.hypothesis_length, score.reference_length);
  if (score.reference_length > 0) {
    score.ratio =
        static_cast<double>(score.hypothesis_length) / static_cast<double>(score.reference_length);
  }
  if (std::any_of(statistics.correct.begin(), statistics.correct.end(),
                  [](int64_t count) { return count > 0; })) {
    Precisions precisions = smoothed_precisions(statistics, options_, smooth_value_);
    score.value = score.brevity_penalty *
                  geometric_mean(std::span(precisions.percent).first(precisions.orders));
    score.precisions = std::move(precisions.percent);
  }
  score.details = fmt::format("{:.1f} (BP = {:.3f} ratio = {:.3f} hyp_len = {} ref_len = {})",
                              fmt::join(score.precisions, "/"), score.brevity_penalty, score.ratio,
                              score.hypothesis_length, score.reference_length);
  return score;
}

Signature Bleu::signature(size_t reference_count) const {
  std::string smooth(smoothing_name(options_.smoothing));
  if (uses_value(options_.smoothing)) smooth += fmt::format("[{:.2f}]", smooth_value_);
  Signature signature{{"nrefs", std::to_string(reference_count)},
                      {"case", options_.lowercase ? "lc" : "mixed"},
                      {"eff", options_.effective_order ? "yes" : "no"},
                      {"tok", options_.tokenizer},
                      {"smooth", smooth}};
  if (options_.max_ngram_order != 4)
    signature.emplace_back("order", std::to_string(options_.max_ngram_order));
  signature.emplace_back("version", "dragoman-" DRAGOMAN_VERSION);
  return signature;
}

BleuScore corpus_bleu(std::span<const std::string> hypotheses,
                      std::span<const std::vector<std::string>> references,
                      const BleuOptions& options) {
  const Bleu bleu(options);
  BleuStatistics sum;
  for (const BleuStatistics& segment : segment_statistics(bleu, hypotheses, references))
    sum += segment;
  return bleu.score(sum);
}

BleuScore sentence_bleu(std::string_view hypothesis, std::span<const std::string> references,
                        BleuOptions options) {
  options.effective_order = true;
  const Bleu bleu(std::move(options));
  return bleu.score(bleu.segment(hypothesis, references));
}

}  // namespace dragoman
