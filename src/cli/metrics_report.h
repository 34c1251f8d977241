// Scores as people and programs read them, in the layout of the sacrebleu command.
#pragma once

#include <string>
#include <vector>

#include "eval/score.h"
#include "eval/significance.h"

namespace dragoman {

/// What one metric says of one or more systems.
struct MetricResult {
  Signature signature;
  std::vector<SystemResult> systems;
};

struct ReportFormat {
  bool json = false;
  int width = 1;            ///< decimals of the scores
  bool score_only = false;  ///< the numbers alone
};

/// The scores of one system: a line for each metric, or what sacrebleu writes to JSON (`name`,
/// `score` rounded to `width` decimals, `signature`, `verbose_score`, and then each field of the
/// signature by its name), an array of it where there are several metrics.
std::string system_report(const std::vector<MetricResult>& results, const ReportFormat& format);

/// The score of a sentence, on one line.
std::string sentence_line(const Score& score, const Signature& signature,
                          const ReportFormat& format);

/// The scores of several systems, which have the given names: a table, or a JSON array with an
/// object for each system. With a paired test, the scores in JSON are objects of `score`,
/// `p_value`, `mean` and `ci` in full precision; without one, they are text, as sacrebleu has it.
std::string systems_report(const std::vector<std::string>& names,
                           const std::vector<MetricResult>& results, const Sampling& sampling,
                           const ReportFormat& format);

}  // namespace dragoman
