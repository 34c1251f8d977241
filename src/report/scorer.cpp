#include "report/scorer.h"

#include <algorithm>
#include <numeric>

namespace dragoman {

Lines all_lines(size_t count) {
  Lines lines(count);
  std::iota(lines.begin(), lines.end(), 0U);
  return lines;
}

Scorer::Scorer(const Metric& metric, const Measurements& measured, size_t test,
               const Sampling& sampling)
    : sampling_(sampling),
      count_(static_cast<uint32_t>(measured.tests[test].source.size())),
      first_({0}),
      signature_(to_string(metric.signature(1))) {
  std::vector<std::vector<std::string>> outputs;
  for (const MeasuredSystem& system : measured.systems) {
    for (const MeasuredRun& run : system.runs) outputs.push_back(run.outputs[test].hypotheses);
    first_.push_back(outputs.size());
  }
  const std::vector<std::vector<std::string>> references = {measured.tests[test].reference};
  score_ = metric.read(outputs, references, sampling.threads);
  name_ = score_(Lines{0}).name;
}

std::vector<double> Scorer::run_scores(size_t system, std::span<const uint32_t> lines) const {
  std::vector<double> values;
  Lines numbered(lines.size());
  for (size_t run = first_[system]; run < first_[system + 1]; ++run) {
    for (size_t i = 0; i < lines.size(); ++i)
      numbered[i] = static_cast<uint32_t>(run) * count_ + lines[i];
    values.push_back(score_(numbered).value);
  }
  return values;
}

double Scorer::score(size_t system, std::span<const uint32_t> lines) const {
  const std::vector<double> values = run_scores(system, lines);
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::vector<double> Scorer::resampled(size_t system, const Lines& lines) const {
  const SampleScore mean = [&](std::span<const uint32_t> sample) {
    Lines drawn(sample.size());
    for (size_t i = 0; i < sample.size(); ++i) drawn[i] = lines[sample[i]];
    return Score{.name = name_, .value = score(system, drawn)};
  };
  return bootstrap_scores(mean, 0, static_cast<uint32_t>(lines.size()), sampling_);
}

ConfidenceInterval middle_95(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double quantile) {
    const double place = quantile * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, values.size() - 1);
    const double part = place - static_cast<double>(below);
    return values[below] * (1 - part) + values[above] * part;
  };
  return {at(0.025), at(0.975)};
}

std::vector<double> minus(std::vector<double> a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

}  // namespace dragoman
