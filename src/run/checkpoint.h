// A checkpoint: one HDF5 file that is a complete model (models/model_file.h) and, beside it, a
// complete run.
//
//     /optimizer
//       mean/<name>            Adam's mean of the gradients
//       variance/<name>        and of their squares
//     /training              attributes: how far the run is (TrainingState)
//       window                 attributes: sums since the last log line
//       latest, best           attributes: Scores
//
// Random numbers need no state of their own: they follow from the seed, which the configuration
// has, and from the step.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "models/model_file.h"
#include "run/state.h"

namespace dragoman {

/// The groups of the optimiser's numbers.
inline constexpr const char* kMeanGroup = "/optimizer/mean";
inline constexpr const char* kVarianceGroup = "/optimizer/variance";

/// Writes a checkpoint of a run, as save_model does.
void save_checkpoint(const std::filesystem::path& path, const Config& config,
                     const Vocabularies& vocabularies, const Parameters& layout,
                     const std::vector<StoredBuffer>& buffers, const TrainingState& state);

/// A checkpoint, open for reading.
class CheckpointReader : public ModelFile {
 public:
  explicit CheckpointReader(const std::filesystem::path& path);

  /// What is missing in a model that is no run's, such as an average of several.
  const std::optional<TrainingState>& state() const { return state_; }

 private:
  std::optional<TrainingState> state_;
};

}  // namespace dragoman
