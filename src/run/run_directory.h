// The directory of a run: what is where, and the logs that machines read.
//
//     config.yaml          the resolved configuration
//     train.log            lines for people
//     log.jsonl            the same for machines, one object a line
//     validation.tsv       one line a validation
//     validation/          its translations: step-<N>.<language>
//     events.out.tfevents.*  with training.tensorboard: the log for TensorBoard, a file a session
//     trace.json           with training.profile: where the time of some steps went
//     last.h5, best.h5     checkpoints; with training.keep also step-<N>.h5
//     test.json, test/     scores and translations of the test corpora by best.h5
//     vocabulary-*.h5, dataset-*.h5   the prepared corpus, unless data.cache says where else
//     known-*.h5           beside it: what files of text were found to hold
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "run/state.h"
#include "run/tensorboard.h"

namespace dragoman {

class RunDirectory {
 public:
  /// Makes the directory if need be and locks it until destruction. Throws Error when that is not
  /// possible, and when another process trains there.
  explicit RunDirectory(const std::filesystem::path& path);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path best() const { return path_ / "best.h5"; }
  std::filesystem::path last() const { return path_ / "last.h5"; }
  std::filesystem::path numbered(int64_t step) const {
    return path_ / fmt::format("step-{}.h5", step);
  }
  std::filesystem::path config() const { return path_ / "config.yaml"; }
  std::filesystem::path train_log() const { return path_ / "train.log"; }
  std::filesystem::path trace() const { return path_ / "trace.json"; }
  std::filesystem::path test_scores() const { return path_ / "test.json"; }

  /// Opens log.jsonl and validation.tsv, and an event file if `tensorboard`, for a run at `state`:
  /// what they tell of later steps, which a killed process made and which will be made again, is
  /// taken out, and so is the validation of this step where the state knows nothing of it, and an
  /// end at this step where last.h5 does not have the state, as `saved` says.
  void open_logs(const TrainingState& state, bool saved = true, bool tensorboard = false);
  /// Adds a line to log.jsonl and, unless it is of the type "end", its numbers to the event file.
  /// `entry` has a "step" and a "type".
  void log(const nlohmann::ordered_json& entry);
  /// Adds a text in Markdown to the event file, if there is one.
  void log_text(int64_t step, const std::string& tag, const std::string& text);
  /// Adds a line to validation.tsv.
  void log_validation(const TrainingState& state, bool best);

  /// Writes one translation a line to `<folder>/<name>.<language>`.
  void write_translations(const std::string& folder, const std::string& name,
                          const std::string& language, const std::vector<std::string>& lines) const;

  /// Removes all but the `keep` newest of the numbered checkpoints.
  void prune_numbered(int keep) const;

 private:
  std::filesystem::path path_;
  int lock_ = -1;
  std::ofstream log_;
  std::ofstream validations_;
  std::optional<TensorBoard> tensorboard_;
};

}  // namespace dragoman
