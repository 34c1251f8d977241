// Measuring runs that exist: translations of test corpora, attention, and what their logs tell.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "report/results.h"
#include "run/evaluation.h"
#include "tensor/device.h"

namespace dragoman {

/// The runs of one system, which differ in their seeds.
struct ComparedSystem {
  std::string name;
  std::vector<std::filesystem::path> runs;  ///< MeasuredRun directories.
};

/// What is compared, and how.
struct ComparisonOptions {
  std::string title;
  std::filesystem::path output;    ///< Gets the report, and the translations.
  DataConfig data;                 ///< Languages, and the directory of the test corpora.
  std::vector<std::string> tests;  ///< Corpora.
  std::string baseline;            ///< A system's name; empty: the first.
  double target_bleu = 0;          ///< 0: nine tenths of the best.
  std::vector<int64_t> sentences;  ///< Whose attention is shown, from 1; empty: chosen.
  Device device;                   ///< Translates.
};

/// Systems from run directories: runs whose configurations differ in the seed (and in where files
/// are, and in limits) only are one system, named as the configuration is; where two systems would
/// have one name, by the directory; and where that does not tell them apart, by its path. Throws
/// Error for a directory without a checkpoint, and UsageError when a directory is given twice.
std::vector<ComparedSystem> group_runs(const std::vector<std::filesystem::path>& runs);

/// Translates, scores and writes the report to `options.output`; translations made before by the
/// same checkpoints are taken from there. False when `stop` said so; the same call goes on. Throws
/// Error when something cannot be read or written, and UsageError for a baseline or a sentence that
/// does not exist.
bool compare_runs(const std::vector<ComparedSystem>& systems, const ComparisonOptions& options,
                  const StopRequested& stop);

/// The corpora as they are compared on. Throws Error where a file is missing.
std::vector<TestCorpus> read_tests(const DataConfig& data, const std::vector<std::string>& names);

}  // namespace dragoman
