#include "eval/significance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "core/parallel.h"
#include "core/rng.h"

namespace dragoman {
namespace {

/// The segments of one system among those that a metric has read.
struct Range {
  uint32_t first;
  uint32_t count;
};

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Without the lowest and the highest fortieth of them.
Interval interval_of(std::vector<double> scores) {
  std::ranges::sort(scores);
  const size_t lower = scores.size() / 40;
  return {mean(scores), 0.5 * (scores[scores.size() - 1 - lower] - scores[lower])};
}

/// The share of differences above the one that there is, which counts as one of them: an estimate
/// that is never zero.
double p_value(std::span<const double> differences, double difference) {
  if (difference == 0) return 1;  // sacreBLEU takes two equal texts for significantly different
  const auto above = std::ranges::count_if(differences, [=](double d) { return d > difference; });
  return static_cast<double>(above + 1) / static_cast<double>(differences.size() + 1);
}

double randomization_p_value(const SampleScore& score, Range baseline, Range system,
                             double difference, const Sampling& sampling) {
  std::vector<double> differences(static_cast<size_t>(sampling.trials));
  parallel_for(differences.size(), sampling.threads, [&](size_t trial) {
    Random random(sampling.seed, trial);
    std::vector<uint32_t> one(baseline.count), other(baseline.count);
    uint32_t word = 0;
    for (uint32_t i = 0; i < baseline.count; ++i) {
      if (i % 32 == 0) word = random.word();
      one[i] = baseline.first + i;
      other[i] = system.first + i;
      if (((word >> (i % 32)) & 1) != 0) std::swap(one[i], other[i]);
    }
    differences[trial] = std::abs(score(one).value - score(other).value);
  });
  return p_value(differences, difference);
}

void check_sampling(const Sampling& sampling) {
  if (sampling.resamples < 0 || (sampling.test == PairedTest::kBootstrap && sampling.resamples < 1))
    fail_usage("there cannot be {} bootstrap resamples", sampling.resamples);
  if (sampling.test == PairedTest::kRandomization && sampling.trials < 1)
    fail_usage("there cannot be {} trials of approximate randomisation", sampling.trials);
}

}  // namespace

std::vector<double> bootstrap_scores(const SampleScore& score, uint32_t first, uint32_t count,
                                     const Sampling& sampling) {
  std::vector<double> scores(static_cast<size_t>(sampling.resamples));
  parallel_for(scores.size(), sampling.threads, [&](size_t i) {
    Random random(sampling.seed, i);
    std::vector<uint32_t> sample(count);
    for (uint32_t& segment : sample) segment = first + static_cast<uint32_t>(random.below(count));
    scores[i] = score(sample).value;
  });
  return scores;
}

// The differences of resamples, less their mean: what they would be if there were none.
double bootstrap_p_value(std::span<const double> baseline, std::span<const double> system,
                         double difference) {
  std::vector<double> differences(baseline.size());
  for (size_t i = 0; i < differences.size(); ++i)
    differences[i] = std::abs(system[i] - baseline[i]);
  const double expected = mean(differences);
  for (double& value : differences) value -= expected;
  return p_value(differences, difference);
}

std::vector<SystemResult> compare_systems(const Metric& metric,
                                          std::span<const std::vector<std::string>> systems,
                                          std::span<const std::vector<std::string>> references,
                                          const Sampling& sampling) {
  check_sampling(sampling);
  const SampleScore score = metric.read(systems, references, sampling.threads);
  std::vector<SystemResult> results;
  std::vector<double> baseline_scores;
  for (const std::vector<std::string>& system : systems) {
    const auto count = static_cast<uint32_t>(system.size());
    const Range baseline{0, count};
    const Range range{static_cast<uint32_t>(results.size()) * count, count};
    std::vector<uint32_t> all(count);
    std::iota(all.begin(), all.end(), range.first);
    SystemResult result{score(all), std::nullopt};

    std::vector<double> scores = bootstrap_scores(score, range.first, range.count, sampling);
    if (!results.empty()) {
      const double difference = std::abs(results.front().score.value - result.score.value);
      if (sampling.test == PairedTest::kBootstrap)
        result.p_value = bootstrap_p_value(baseline_scores, scores, difference);
      if (sampling.test == PairedTest::kRandomization)
        result.p_value = randomization_p_value(score, baseline, range, difference, sampling);
    }
    if (!scores.empty()) result.score.interval = interval_of(scores);
    if (results.empty()) baseline_scores = std::move(scores);
    results.push_back(std::move(result));
  }
  return results;
}

Signature with_sampling(Signature signature, const Sampling& sampling) {
  Signature sampled;
  if (sampling.resamples > 0) sampled.emplace_back("bs", std::to_string(sampling.resamples));
  if (sampling.test == PairedTest::kRandomization)
    sampled.emplace_back("ar", std::to_string(sampling.trials));
  if (!sampled.empty()) sampled.emplace_back("seed", std::to_string(sampling.seed));
  signature.insert(signature.begin() + 1, sampled.begin(), sampled.end());
  return signature;
}

}  // namespace dragoman
