// What every metric has in common: a score with the line that shows it, and the signature that lets
// somebody else compute the same number.
//
// A metric is a class with
//   Statistics                                  sufficient statistics, which add up with +=
//   segment(hypothesis, references)             the statistics of one segment
//   score(statistics)                           the score of a sum of them
//   signature(reference_count)                  how the score was computed
// so that the score of any sample of segments, as a significance test draws them, needs the text to
// be read only once. Metric (eval/metric.h) holds any of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dragoman {

/// Names and values in the order in which they are written.
using Signature = std::vector<std::pair<std::string, std::string>>;

/// The signature as it is published: `nrefs:1|case:mixed|...`.
std::string to_string(const Signature& signature);

/// The middle 95 % of the scores that bootstrap resamples of a text have.
struct Interval {
  double mean = 0;
  double half_width = 0;
};

/// One number with its name.
struct Score {
  std::string name;                  ///< as in "BLEU"
  double value = 0;                  ///< in the metric's own unit; BLEU: 0 to 100
  std::string details;               ///< what is shown after the number; may be empty
  std::optional<Interval> interval;  ///< where it was estimated

  /// `NAME|SIGNATURE = VALUE DETAILS`, the value as `text` has it; without a signature,
  /// `NAME = VALUE DETAILS`.
  std::string line(int width = 2, const Signature& signature = {}) const;

  /// The value with `width` decimals, and the interval where there is one: `33.2 (μ = 33.1 ± 1.5)`.
  std::string text(int width = 2) const;

  /// The value alone, with `width` decimals.
  std::string number(int width = 2) const;
};

}  // namespace dragoman
