// A checkpoint: one HDF5 file that is a complete model and, while it trains, a complete run.
//
//     /                      attributes: format, version
//     /config                the resolved configuration, YAML
//     /vocabulary            attribute: shared
//       source, target       uint8, sentencepiece models; no target where it is shared
//     /parameters/<name>     float32, by the name of their scope: "encoder.0.ffn.in.weight"
//     /average/<name>        the moving average of the parameters, with training.ema_decay
//     /optimizer             only in the checkpoints of a run:
//       mean/<name>            Adam's mean of the gradients
//       variance/<name>        and of their squares
//     /training              attributes: how far the run is (TrainingState)
//       window                 attributes: sums since the last log line
//       latest, best           attributes: Scores
//
// All of it has checksums. Random numbers need no state of their own: they follow from the seed,
// which the configuration has, and from the step.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/vocabulary.h"
#include "hdf5/file.h"
#include "models/model.h"
#include "nn/parameters.h"
#include "run/state.h"

namespace dragoman {

/// Flat buffers laid out as a model's parameters, each with the group that it is stored in.
struct StoredBuffer {
  const char* group;
  Tensor values;
};

/// The groups of a checkpoint.
inline constexpr const char* kParametersGroup = "/parameters";
inline constexpr const char* kAverageGroup = "/average";
inline constexpr const char* kMeanGroup = "/optimizer/mean";
inline constexpr const char* kVarianceGroup = "/optimizer/variance";

/// Writes a checkpoint in one step: `path` is the old file or the new one, whatever happens.
/// Without `state` it is a model that cannot be trained on. Throws Error when it cannot be written,
/// a full disk included, and when a parameter is not finite.
void save_checkpoint(const std::filesystem::path& path, const Config& config,
                     const Vocabularies& vocabularies, const Parameters& layout,
                     const std::vector<StoredBuffer>& buffers,
                     const TrainingState* state = nullptr);

/// A checkpoint, open for reading.
class CheckpointReader {
 public:
  static constexpr const char* kFormat = "dragoman checkpoint";
  static constexpr int64_t kVersion = 1;

  /// Throws Error when the file is missing, truncated, not HDF5 or not a checkpoint.
  explicit CheckpointReader(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const Config& config() const { return config_; }
  /// What is missing in a checkpoint that is no run's, such as an average of several.
  const std::optional<TrainingState>& state() const { return state_; }
  bool has(const char* group) const { return file_.exists(group); }
  /// The group that translations are made with: the moving average where there is one, since that
  /// was validated.
  const char* model_group() const { return has(kAverageGroup) ? kAverageGroup : kParametersGroup; }

  Vocabularies vocabularies() const;
  /// The names of the stored parameters, sorted, and the shape of one.
  std::vector<std::string> parameter_names() const { return file_.list(kParametersGroup); }
  hdf5::Shape parameter_shape(const std::string& name) const;
  /// The CRC-32 of all parameters, in the order of their names: another one where a bit differs.
  uint32_t checksum() const;
  /// Fills a flat buffer from `group`. Throws Error, with the name, when the checkpoint's
  /// parameters are not those of `layout`: one too many, one too few or one of another shape.
  void read(const char* group, const Parameters& layout, const Tensor& flat) const;

 private:
  hdf5::File file_;
  Config config_;
  std::optional<TrainingState> state_;
};

/// A model that is ready to translate.
struct LoadedModel {
  std::filesystem::path path;  ///< The checkpoint that it came from.
  Config config;
  Vocabularies vocabularies;
  std::unique_ptr<Model> model;
};

/// The checkpoint meant by a run directory (its best.h5, else its last.h5) or a checkpoint file.
/// Throws Error when there is none.
std::filesystem::path find_checkpoint(const std::filesystem::path& model_path);

/// Loads the model in a run directory or a checkpoint file, with the moving average of its
/// parameters if it has one, onto a device. Throws as find_checkpoint and CheckpointReader do.
LoadedModel load_model(const std::filesystem::path& model_path, Device device);

}  // namespace dragoman
