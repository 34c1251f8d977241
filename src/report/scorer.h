// Scores of systems on any sample of a test corpus' sentences; a system's score is the mean over
// its seeds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/metric.h"
#include "eval/significance.h"
#include "report/results.h"

namespace dragoman {

/// The numbers of some lines of a test corpus; one may be there several times.
using Lines = std::vector<uint32_t>;

/// Lines 0 to count - 1.
Lines all_lines(size_t count);

/// All translations of one test corpus, read by one metric.
class Scorer {
 public:
  Scorer(const Metric& metric, const Measurements& measured, size_t test, const Sampling& sampling);

  /// The metric's name and signature.
  const std::string& name() const { return name_; }
  const std::string& signature() const { return signature_; }
  size_t systems() const { return first_.size() - 1; }

  /// The score of each run of a system on some lines, one at least.
  std::vector<double> run_scores(size_t system, std::span<const uint32_t> lines) const;
  /// Their mean.
  double score(size_t system, std::span<const uint32_t> lines) const;
  /// The mean on each of the bootstrap samples of some lines, which are the same for all systems.
  std::vector<double> resampled(size_t system, const Lines& lines) const;

 private:
  Sampling sampling_;
  SampleScore score_;          // of samples of all runs' lines, which are numbered through
  uint32_t count_;             // lines of a run
  std::vector<size_t> first_;  // run of each system; at the end, the number of runs
  std::string name_, signature_;
};

/// The middle 95% of the values.
ConfidenceInterval middle_95(std::vector<double> values);

/// a - b, element by element.
std::vector<double> minus(std::vector<double> a, const std::vector<double>& b);

}  // namespace dragoman
