// A model as a file (HDF5): all that translating takes.
//
//     /                      attributes: format, version
//     /config                the resolved configuration, YAML
//     /vocabulary            attribute: shared
//       source, target       uint8, sentencepiece models; no target where it is shared
//     /parameters/<name>     float32, by the name of their scope: "encoder.0.ffn.in.weight"
//     /average/<name>        the moving average of the parameters, with training.ema_decay
//
// All of it has checksums. A run's checkpoint (run/checkpoint.h) is such a file in which more
// stands beside the model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/vocabulary.h"
#include "hdf5/file.h"
#include "models/model.h"
#include "nn/parameters.h"

namespace dragoman {

/// Flat buffers laid out as a model's parameters, each with the group that it is stored in.
struct StoredBuffer {
  const char* group;
  Tensor values;
};

/// The groups of a model's numbers.
inline constexpr const char* kParametersGroup = "/parameters";
inline constexpr const char* kAverageGroup = "/average";

/// Writes a model in one step: `path` is the old file or the new one, whatever happens. `add`
/// writes what stands beside the model. Throws Error when it cannot be written, a full disk
/// included, and when a number is not finite.
void save_model(const std::filesystem::path& path, const Config& config,
                const Vocabularies& vocabularies, const Parameters& layout,
                const std::vector<StoredBuffer>& buffers,
                const std::function<void(hdf5::File&)>& add = {});

/// A model's file, open for reading. For one thread at a time.
class ModelFile {
 public:
  static constexpr const char* kFormat = "dragoman checkpoint";
  static constexpr int64_t kVersion = 1;

  /// Throws Error when the file is missing, truncated, not HDF5 or not a checkpoint.
  explicit ModelFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const Config& config() const { return config_; }
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
  /// Fills a flat buffer from `group`. Throws Error, with the name, when the file's parameters are
  /// not those of `layout`: one too many, one too few or one of another shape.
  void read(const char* group, const Parameters& layout, const Tensor& flat) const;

 protected:
  const hdf5::File& file() const { return file_; }

 private:
  hdf5::File file_;
  Config config_;
};

/// A model that is ready to translate.
struct LoadedModel {
  std::filesystem::path path;  ///< The file that it came from.
  Config config;
  Vocabularies vocabularies;
  std::unique_ptr<Model> model;
};

/// The file meant by a run directory (its best.h5, else its last.h5) or by a file. Throws Error
/// when there is none.
std::filesystem::path find_model(const std::filesystem::path& path);

/// Loads the model in a run directory or a file, with the moving average of its parameters if it
/// has one, onto a device. Throws as find_model and ModelFile do.
LoadedModel load_model(const std::filesystem::path& path, Device device);

}  // namespace dragoman
