// `dragoman metrics`: scores a file of translations against references, as the sacrebleu command
// does.
#pragma once

#include <CLI/CLI.hpp>
#include <istream>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "eval/bleu.h"

namespace dragoman {

struct MetricsOptions {
  std::vector<std::string> references;  ///< one file a reference set, plain or gzip
  std::string input;                    ///< the hypotheses, plain or gzip; empty: standard input
  std::string metric = "bleu";
  BleuOptions bleu;
  std::string format = "text";  ///< or "json"
  int width = 1;                ///< decimals of the score
  bool sentence_level = false;  ///< a line for each segment, with effective order
  bool score_only = false;      ///< the number alone
  bool force = false;           ///< no warning about hypotheses that look tokenised
};

/// What the verb prints, line breaks included. Throws Error where a file is missing, is not UTF-8
/// or is not as long as the hypotheses, and UsageError for options that exclude one another.
std::string metrics_report(const MetricsOptions& options, std::istream& standard_input);

/// A score as sacreBLEU writes it to JSON: `name`, `score` rounded to `width` decimals,
/// `signature`, `verbose_score`, and then each field of the signature by its name.
nlohmann::ordered_json score_json(const Score& score, const Signature& signature, int width);

/// Replaces sacrebleu's short options of several letters (`-tok`, `-lc`, `-sl`, `-sv`), which the
/// parser would take for several short options, by their long forms. For the arguments after the
/// verb; everything from a `--` on is left as it is.
std::vector<std::string> expand_short_options(std::vector<std::string> arguments);

/// Adds the verb to the program.
void add_metrics(CLI::App& app);

}  // namespace dragoman
