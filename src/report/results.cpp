#include "report/results.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "eval/metric.h"
#include "eval/significance.h"
#include "report/lengths.h"
#include "report/scorer.h"

namespace dragoman {
namespace {

MetricResults compare(const Scorer& metric, const Lines& lines, size_t baseline) {
  const std::vector<double> base = metric.resampled(baseline, lines);
  MetricResults result{.name = metric.name(), .signature = metric.signature()};
  for (size_t s = 0; s < metric.systems(); ++s) {
    const std::vector<double> scores = s == baseline ? base : metric.resampled(s, lines);
    SystemScore& system = result.systems.emplace_back();
    system.score = summarize(metric.run_scores(s, lines));
    system.interval = middle_95(scores);
    if (s == baseline) continue;
    system.difference = system.score.mean - metric.score(baseline, lines);
    system.difference_interval = middle_95(minus(scores, base));
    system.p_value = bootstrap_p_value(base, scores, std::abs(*system.difference));
  }
  return result;
}

// The score of each line in each system's first run.
std::vector<std::vector<double>> sentence_scores(const Scorer& metric, const Lines& lines) {
  std::vector<std::vector<double>> scores(metric.systems());
  for (size_t s = 0; s < metric.systems(); ++s) {
    for (const uint32_t line : lines) scores[s].push_back(metric.run_scores(s, Lines{line})[0]);
  }
  return scores;
}

void add_speed(const Measurements& measured, size_t t, TestResult& result) {
  for (const MeasuredSystem& system : measured.systems) {
    std::vector<double> sentences, tokens;
    for (const MeasuredRun& run : system.runs) {
      const TestOutput& output = run.outputs[t];
      sentences.push_back(static_cast<double>(output.hypotheses.size()) / output.seconds);
      tokens.push_back(static_cast<double>(output.target_tokens) / output.seconds);
    }
    result.sentences_per_second.push_back(summarize(std::move(sentences)));
    result.tokens_per_second.push_back(summarize(std::move(tokens)));
  }
}

void choose_target(Measurements& measured) {
  if (measured.target_bleu > 0) return;
  double best = 0;
  for (const MeasuredSystem& system : measured.systems) {
    for (const MeasuredRun& run : system.runs) best = std::max(best, run.best_validation_bleu);
  }
  measured.target_bleu = 0.9 * best;
}

}  // namespace

Summary summarize(std::vector<double> values) {
  check(!values.empty(), "there is no value to take the mean of");
  Summary summary{.values = std::move(values)};
  const auto n = static_cast<double>(summary.values.size());
  summary.mean = std::accumulate(summary.values.begin(), summary.values.end(), 0.0) / n;
  if (n < 2) return summary;
  double squares = 0;
  for (const double value : summary.values)
    squares += (value - summary.mean) * (value - summary.mean);
  summary.deviation = std::sqrt(squares / (n - 1));
  return summary;
}

std::optional<Summary> summarize_all(const std::vector<std::optional<double>>& values) {
  std::vector<double> present;
  for (const std::optional<double>& value : values) {
    if (!value) return std::nullopt;
    present.push_back(*value);
  }
  return present.empty() ? std::nullopt : std::optional(summarize(std::move(present)));
}

std::optional<double> MeasuredRun::minutes_to(double bleu) const {
  for (const CurvePoint& point : validation_bleu) {
    if (point.value >= bleu) return point.minutes;
  }
  return std::nullopt;
}

Results score(Measurements measured, int threads, int resamples) {
  check(!measured.systems.empty() && !measured.tests.empty(),
        "a comparison needs a system and a test corpus");
  choose_target(measured);
  Results results{.measured = std::move(measured), .resamples = resamples, .tests = {}};
  const Measurements& m = results.measured;
  const Sampling sampling{.resamples = resamples, .threads = threads};
  for (size_t t = 0; t < m.tests.size(); ++t) {
    TestResult& result = results.tests.emplace_back();
    const Lines lines = all_lines(m.tests[t].source.size());
    for (const std::string& name : metric_names()) {
      const Scorer scorer(find_metric(name), m, t, sampling);
      result.metrics.push_back(compare(scorer, lines, m.baseline));
      result.metrics.back().lower_is_better = name == "ter";
      if (name == "bleu") result.lengths = by_length(scorer, m.tests[t], m.baseline);
      if (name != "chrf") continue;
      result.sentence_metric = scorer.name();
      result.sentences = sentence_scores(scorer, lines);
    }
    add_speed(m, t, result);
  }
  return results;
}

}  // namespace dragoman
