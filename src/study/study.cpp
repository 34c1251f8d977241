#include "study/study.h"

#include <fmt/format.h>

#include <numeric>
#include <vector>

#include "core/log.h"
#include "core/progress.h"
#include "run/run.h"
#include "run/stop_signals.h"
#include "study/comparison.h"
#include "study/run_log.h"

namespace dragoman {
namespace {

// How far all runs together are.
class StudyProgress {
 public:
  StudyProgress(size_t runs, double budget_minutes)
      : runs_(runs), budget_seconds_(60 * budget_minutes) {}

  /// The run `name` is begun.
  void begin(std::string name) { name_ = std::move(name); }
  /// It has ended after `minutes` of training.
  void end(double minutes) { seconds_.push_back(60 * minutes); }

  void show(double fraction, std::string_view text, double seconds_left) {
    const auto done = static_cast<double>(seconds_.size());
    const auto runs = static_cast<double>(runs_);
    double left = -1;
    const double whole = expected(fraction, seconds_left);
    if (seconds_left >= 0 && whole >= 0) left = seconds_left + (runs - done - 1) * whole;
    progress_.update((done + fraction) / runs,
                     fmt::format("run {} of {}: {}  {}", seconds_.size() + 1, runs_, name_, text),
                     left);
  }

  /// The time that the runs which are not yet begun will take; negative where nothing is known.
  double seconds_left() const {
    const double whole = expected(0, -1);
    return whole < 0 ? -1 : static_cast<double>(runs_ - seconds_.size()) * whole;
  }

 private:
  // Seconds of a run to come: as those that have ended took, or else as this one will.
  double expected(double fraction, double seconds_left) const {
    if (!seconds_.empty()) {
      return std::accumulate(seconds_.begin(), seconds_.end(), 0.0) /
             static_cast<double>(seconds_.size());
    }
    if (seconds_left >= 0 && fraction < 1) return seconds_left / (1 - fraction);
    return budget_seconds_ > 0 ? budget_seconds_ : -1;
  }

  size_t runs_;
  double budget_seconds_;
  std::string name_;
  std::vector<double> seconds_;  // of the runs that have ended
  Progress progress_;
};

// The device that all systems translate on, so that their speeds can be compared: the first one's.
// That every other's can be had should come to light now.
Device device_of(const StudyConfig& study) {
  for (const StudySystem& system : study.systems)
    find_device(system.config.training.device,
                fmt::format("system {}: training.device", system.name));
  return find_device(study.systems[0].config.training.device);
}

// Trains all runs; false when a signal ended it before.
bool train_all(const StudyConfig& study) {
  const size_t count = study.systems.size() * study.seeds.size();
  StudyProgress progress(count, study.budget.minutes);
  size_t number = 0;
  // All systems with the first seed come first: what there is early is a comparison.
  for (const int64_t seed : study.seeds) {
    for (const StudySystem& system : study.systems) {
      const std::string name = fmt::format("{}, seed {}", system.name, seed);
      const double left = progress.seconds_left();
      log::info("run {} of {}: {}{}", ++number, count, name,
                left >= 0 ? fmt::format("; about {} left", format_duration(left)) : "");
      progress.begin(name);
      const Config config = study.run(system, seed);
      const bool ended = run_training(config, [&](double fraction, std::string_view text,
                                                  double s) { progress.show(fraction, text, s); });
      log::close_file();
      if (!ended) return false;
      progress.end(read_run_log(config.run_directory()).minutes);
    }
  }
  return true;
}

}  // namespace

bool run_study(const StudyConfig& study) {
  const DataConfig& data = study.systems[0].config.data;
  const Device device = device_of(study);
  read_tests(data, study.tests);  // what is wrong with them should come to light now
  log::info("study {}: {} systems, {} seeds each, in {}; translating on {}", study.name,
            study.systems.size(), study.seeds.size(), study.directory().string(), describe(device));
  if (!train_all(study)) return false;
  std::vector<ComparedSystem> systems;
  for (const StudySystem& system : study.systems) {
    ComparedSystem& compared = systems.emplace_back();
    compared.name = system.name;
    for (const int64_t seed : study.seeds)
      compared.runs.push_back(study.run_directory(system, seed));
  }
  const StopSignals signals;
  return compare_runs(systems,
                      {.title = study.name,
                       .output = study.directory() / "report",
                       .data = data,
                       .tests = study.tests,
                       .baseline = study.baseline,
                       .target_bleu = study.target_bleu,
                       .sentences = study.sentences,
                       .device = device},
                      StopSignals::requested);
}

}  // namespace dragoman
