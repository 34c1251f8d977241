// A study: systems that are trained with several seeds and compared on the same test corpora.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"

namespace dragoman {

/// What each run of a study may take; what it sets replaces the configurations' own limit.
struct BudgetConfig {
  double minutes = 0;
  int64_t steps = 0;
  int64_t epochs = 0;

  template <class Visitor>
  void fields(Visitor& v) {
    v("minutes", minutes, "training.max_minutes of every run; 0: as configured", at_least(0));
    v("steps", steps, "training.max_steps of every run; 0: as configured", at_least(0));
    v("epochs", epochs, "training.max_epochs of every run; 0: as configured", at_least(0));
  }
};

/// One of the systems that a study compares.
struct StudySystem {
  std::string name;
  Config config;  ///< Of all its runs, but for seed and output.
};

struct StudyConfig {
  std::string name = "study";
  std::string output;
  std::string base;
  std::vector<int64_t> seeds = {1, 2, 3};
  std::vector<std::string> tests;
  std::string baseline;
  double target_bleu = 0;
  std::vector<int64_t> sentences;
  BudgetConfig budget;
  /// In the order of the file. Read apart from the fields, since each holds a configuration.
  std::vector<StudySystem> systems;

  /// `output`, or studies/<name> where it is empty.
  std::filesystem::path directory() const;
  /// <directory>/runs/<system>/seed-<seed>.
  std::filesystem::path run_directory(const StudySystem& system, int64_t seed) const;
  /// The configuration of one run.
  Config run(const StudySystem& system, int64_t seed) const;

  template <class Visitor>
  void fields(Visitor& v) {
    v("name", name, "the study's name, for people", filled());
    v("output", output, "its directory; empty: studies/<name>");
    v("base", base, "configuration of all systems; a relative path starts at the study's file");
    v("seeds", seeds, "each system is trained once with each", Rule{.low = 0, .filled = true});
    v("tests", tests, "corpora of data.directory that all are compared on", filled());
    v("baseline", baseline, "the system that the others are tested against; empty: the first");
    v("target_bleu", target_bleu,
      "validation BLEU to which the time is told; 0: nine tenths of the best", between(0, 100));
    v("sentences", sentences,
      "lines of the first test corpus whose attention is shown, from 1; empty: chosen by length",
      at_least(1));
    v.section("budget", budget, "what each run may take");
  }
};

/// The study in a YAML file. Besides the fields above it has
///
///   settings:            settings of every system, over those of the base
///   systems:
///     NAME:              settings of the system NAME, over those: `model.decoder.attention: none`
///       config: FILE     its own configuration in the place of the base
///
/// A setting of base or `settings` that a system's own make idle is left out. `sets` are
/// "key=value", the key one of the study's, settings.KEY or systems.NAME.KEY. Throws UsageError
/// with file, line and key as load_config does, and Error where a file is missing.
StudyConfig load_study(const std::filesystem::path& path,
                       const std::vector<std::string>& sets = {});

}  // namespace dragoman
