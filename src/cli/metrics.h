// `dragoman metrics`: scores files of translations against references, as the sacrebleu command
// does.
#pragma once

#include <CLI/CLI.hpp>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "cli/metrics_report.h"
#include "eval/metric.h"
#include "eval/significance.h"

namespace dragoman {

struct MetricsOptions {
  std::vector<std::string> references;  ///< one file a reference set, plain or gzip
  std::vector<std::string> inputs;      ///< one file a system, plain or gzip; none: standard input
  std::vector<std::string> metrics{"bleu"};
  MetricOptions settings;
  bool sentence_level = false;  ///< a line for each segment, with effective order
  bool force = false;           ///< no warning about hypotheses that look tokenised

  std::string paired;               ///< the test: "bs", "ar", or empty for none
  std::optional<int> paired_bs_n;   ///< resamples of the test "bs"
  std::optional<int> paired_ar_n;   ///< trials of the test "ar"
  bool confidence = false;          ///< confidence intervals, which the test "bs" gives anyway
  std::optional<int> confidence_n;  ///< resamples for them
  uint64_t seed = Sampling().seed;

  ReportFormat format;
};

/// What the verb prints, line breaks included. Throws Error where a file is missing, is not UTF-8
/// or is not as long as the others, and UsageError for options that exclude one another.
std::string metrics_report(const MetricsOptions& options);

/// Replaces sacrebleu's short options of several letters (`-tok`, `-lc`, ...), which the parser
/// would take for several short options, by their long forms, and other spellings that sacrebleu
/// knows by ours. For the arguments after the verb; everything from a `--` on is left as it is.
std::vector<std::string> expand_short_options(std::vector<std::string> arguments);

/// Adds -m/--metrics, which sets the names of metrics.
CLI::Option* add_metric_names(CLI::App& verb, std::vector<std::string>& names);

/// Those of the named metrics, each once, in the order of metric_names().
std::vector<Metric> find_metrics(const std::vector<std::string>& names,
                                 const MetricOptions& options = {});

/// Adds the verb to the program.
void add_metrics(CLI::App& app);

}  // namespace dragoman
