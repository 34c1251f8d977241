// What every metric has in common: a score with the line that shows it, and the signature that lets
// somebody else compute the same number.
//
// A metric is a class with
//   Statistics                                  sufficient statistics, which add up with +=
//   segment(hypothesis, references)             the statistics of one segment
//   score(statistics)                           the score of a sum of them
//   signature(reference_count)                  how the score was computed
// so that the score of any sample of segments, as a significance test draws them, needs the text to
// be read only once.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dragoman {

/// Names and values in the order in which they are written.
using Signature = std::vector<std::pair<std::string, std::string>>;

/// The signature as it is published: `nrefs:1|case:mixed|...`.
std::string to_string(const Signature& signature);

/// One number with its name.
struct Score {
  std::string name;     ///< as in "BLEU"
  double value = 0;     ///< in the unit in which the metric is published; BLEU: 0 to 100
  std::string details;  ///< what is shown after the number; may be empty

  /// `NAME|SIGNATURE = VALUE DETAILS`, the value with `width` decimals; without a signature,
  /// `NAME = VALUE DETAILS`.
  std::string line(int width = 2, const Signature& signature = {}) const;

  /// The value alone, with `width` decimals.
  std::string number(int width = 2) const;
};

}  // namespace dragoman
