// The training loop.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string_view>

#include "config/config.h"
#include "core/profile.h"
#include "core/progress.h"
#include "data/prepare.h"
#include "data/stream.h"
#include "models/model.h"
#include "run/checkpoint.h"
#include "run/evaluation.h"
#include "run/run_directory.h"
#include "run/state.h"
#include "train/schedule.h"
#include "train/updater.h"

namespace dragoman {

/// Shows how far a run is: the part that is done, where it stands, and the seconds left (negative:
/// unknown).
using ShowProgress =
    std::function<void(double fraction, std::string_view text, double seconds_left)>;

/// Trains one model in one run directory. All that follows from a state follows from its
/// checkpoint: a run that is killed and continued makes the same steps as one that is not.
class Trainer {
 public:
  /// A new run, at step 0, on config.training.device. `directory` must outlive the trainer. Without
  /// `show_progress` there is a progress bar of its own. Throws Error when the device cannot be
  /// had.
  Trainer(const Config& config, const TrainingData& data, RunDirectory& directory,
          ShowProgress show_progress = {});

  /// Goes on from a checkpoint of the same run. Throws Error when it does not fit.
  void resume(const CheckpointReader& checkpoint);

  /// Trains, validates and saves until a limit of the configuration, or until `stop` says so after
  /// a step; the state is then saved, and what ended it returned: nothing for `stop`. Throws Error
  /// when a loss or a gradient is not finite; the last checkpoint is then as it was.
  std::optional<std::string> train(const StopRequested& stop);

  const TrainingState& state() const { return state_; }
  const Model& model() const { return model_; }
  Precision precision() const { return updater_.precision(); }

 private:
  using Clock = std::chrono::steady_clock;

  void step();
  void finish_update();
  Batch next_batch();
  void validate(const StopRequested& stop);
  void save();
  void save_to(const std::filesystem::path& path) const;
  void log_steps();
  void report_end(const std::string& reason);
  void finish_profile();
  void report_progress();
  void show_samples(const std::vector<std::string>& hypotheses);
  double learning_rate(int64_t step) const;
  double seconds_left() const;
  /// Adds the time since the last call to the run's, and returns it in seconds.
  double lap();

  Config config_;
  TrainingData data_;
  RunDirectory& directory_;
  Model model_;
  Updater updater_;
  Schedule schedule_;
  Validator validator_;
  TrainingState state_;
  std::optional<BatchStream> stream_;
  std::optional<Updater::Begun> begun_;  // the last update, where a GPU is still at work on it
  int64_t saved_step_ = 0;
  bool unsaved_ = true;
  Clock::time_point lap_begin_;
  int64_t first_step_ = 0;  // of this session
  std::optional<Profile> profile_;
  Progress progress_;
  ShowProgress show_progress_;
};

}  // namespace dragoman
