#include "run/checkpoint.h"

#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "autograd/tape.h"
#include "core/check.h"
#include "core/files.h"

namespace dragoman {
namespace {

std::string join(const std::string& group, const std::string& name) { return group + "/" + name; }

hdf5::Shape stored_shape(const Shape& shape) {
  hdf5::Shape stored;
  for (int axis = 0; axis < shape.rank(); ++axis) stored.push_back(shape[axis]);
  return stored;
}

std::string text_of(const hdf5::Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void write_buffer(hdf5::File& file, const StoredBuffer& buffer, const Parameters& layout) {
  for (const Parameters::Entry& entry : layout.entries()) {
    file.write<real>(join(buffer.group, entry.name),
                     Parameters::part(buffer.values, entry).to_host(), stored_shape(entry.shape));
  }
}

void write_vocabularies(hdf5::File& file, const Vocabularies& vocabularies) {
  const auto write = [&](const char* name, const Vocabulary& vocabulary) {
    const std::string& bytes = vocabulary.bytes();
    file.write<uint8_t>(name, std::vector<uint8_t>(bytes.begin(), bytes.end()));
  };
  const bool shared = vocabularies.source == vocabularies.target;
  file.set_attribute("/vocabulary", "shared", int64_t{shared});
  write("/vocabulary/source", vocabularies.source);
  if (!shared) write("/vocabulary/target", vocabularies.target);
}

// The visitors of TrainingState's fields.
class AttributeWriter {
 public:
  AttributeWriter(hdf5::File& file, const char* group) : file_(file), group_(group) {}
  template <class T>
  void operator()(const char* name, const T& value) {
    file_.set_attribute(group_, name, value);
  }

 private:
  hdf5::File& file_;
  const char* group_;
};

class AttributeReader {
 public:
  AttributeReader(const hdf5::File& file, const char* group) : file_(file), group_(group) {}
  void operator()(const char* name, int64_t& value) { value = file_.int_attribute(group_, name); }
  void operator()(const char* name, double& value) { value = file_.real_attribute(group_, name); }
  void operator()(const char* name, std::string& value) {
    value = file_.string_attribute(group_, name);
  }

 private:
  const hdf5::File& file_;
  const char* group_;
};

constexpr const char* kStateGroup = "/training";
constexpr const char* kWindowGroup = "/training/window";
constexpr const char* kLatestGroup = "/training/latest";
constexpr const char* kBestGroup = "/training/best";

template <class Visitor, class File>
void visit_state(File& file, TrainingState& state) {
  state.fields(Visitor(file, kStateGroup));
  state.window.fields(Visitor(file, kWindowGroup));
  state.latest.fields(Visitor(file, kLatestGroup));
  state.best.fields(Visitor(file, kBestGroup));
}

hdf5::File open_checkpoint(const std::filesystem::path& path) {
  hdf5::File file = hdf5::File::open(path);
  check(file.has_attribute("/", "format") &&
            file.string_attribute("/", "format") == CheckpointReader::kFormat,
        "{}: is an HDF5 file but not a checkpoint: give a file that `dragoman train` or `dragoman "
        "average` wrote",
        path.string());
  const int64_t version = file.int_attribute("/", "version");
  check(version == CheckpointReader::kVersion,
        "{}: is a checkpoint of version {}, and this program reads version {}", path.string(),
        version, CheckpointReader::kVersion);
  return file;
}

Vocabulary read_vocabulary(const hdf5::File& file, const char* name) {
  const std::vector<uint8_t> bytes = file.read<uint8_t>(name);
  return Vocabulary(std::string(bytes.begin(), bytes.end()));
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Config& config,
                     const Vocabularies& vocabularies, const Parameters& layout,
                     const std::vector<StoredBuffer>& buffers, const TrainingState* state) {
  for (const StoredBuffer& buffer : buffers) {
    check(all_finite(buffer.values), "{}: not saved, because a number under {} is NaN or infinite",
          path.string(), buffer.group);
  }
  write_atomically(path, [&](const std::filesystem::path& temporary) {
    hdf5::File file = hdf5::File::create(temporary);
    file.set_attribute("/", "format", std::string(CheckpointReader::kFormat));
    file.set_attribute("/", "version", CheckpointReader::kVersion);
    file.write_string("/config", to_yaml(config));
    write_vocabularies(file, vocabularies);
    for (const StoredBuffer& buffer : buffers) write_buffer(file, buffer, layout);
    if (state != nullptr) {
      TrainingState copy = *state;  // the field list serves reading too
      visit_state<AttributeWriter>(file, copy);
    }
    file.close();
  });
}

CheckpointReader::CheckpointReader(const std::filesystem::path& path)
    : file_(open_checkpoint(path)),
      config_(parse_config(file_.read_string("/config"), path.string() + "/config")) {
  if (!file_.exists(kStateGroup)) return;
  visit_state<AttributeReader>(std::as_const(file_), state_.emplace());
}

Vocabularies CheckpointReader::vocabularies() const {
  const Vocabulary source = read_vocabulary(file_, "/vocabulary/source");
  const bool shared = file_.int_attribute("/vocabulary", "shared") != 0;
  return {source, shared ? source : read_vocabulary(file_, "/vocabulary/target")};
}

hdf5::Shape CheckpointReader::parameter_shape(const std::string& name) const {
  return file_.shape(join(kParametersGroup, name));
}

uint32_t CheckpointReader::checksum() const {
  uLong sum = ::crc32(0, nullptr, 0);
  for (const std::string& name : parameter_names()) {
    const std::vector<real> values = file_.read<real>(join(kParametersGroup, name));
    sum =
        ::crc32_z(sum, reinterpret_cast<const Bytef*>(values.data()), values.size() * sizeof(real));
  }
  return static_cast<uint32_t>(sum);
}

void CheckpointReader::read(const char* group, const Parameters& layout, const Tensor& flat) const {
  const std::string where = path().string() + group;
  check(file_.is_group(group), "{}: is missing: the file is no complete checkpoint", where);
  std::vector<std::string> names = file_.list(group);
  for (const Parameters::Entry& entry : layout.entries()) {
    const auto found = std::find(names.begin(), names.end(), entry.name);
    check(found != names.end(), "{}: has no parameter {}, which the model needs", where,
          entry.name);
    names.erase(found);
    const std::string name = join(group, entry.name);
    const hdf5::Shape expected = stored_shape(entry.shape);
    const hdf5::Shape shape = file_.shape(name);
    check(shape == expected, "{}: the parameter {} has the shape {}, but the model's is {}", where,
          entry.name, text_of(shape), text_of(expected));
    Parameters::part(flat, entry).copy_from(Tensor::from(file_.read<real>(name), entry.shape));
  }
  check(names.empty(), "{}: has a parameter {} that the model does not know", where,
        names.empty() ? "" : names.front());
}

std::filesystem::path find_checkpoint(const std::filesystem::path& model_path) {
  std::error_code error;
  check(std::filesystem::exists(model_path, error), "{}: no such run directory or checkpoint",
        model_path.string());
  if (!std::filesystem::is_directory(model_path, error)) return model_path;
  for (const char* name : {"best.h5", "last.h5"}) {
    if (std::filesystem::exists(model_path / name, error)) return model_path / name;
  }
  fail("{}: has neither best.h5 nor last.h5: give a run directory or a checkpoint file",
       model_path.string());
}

LoadedModel load_model(const std::filesystem::path& model_path, Device device) {
  const CheckpointReader reader(find_checkpoint(model_path));
  LoadedModel loaded{reader.path(), reader.config(), reader.vocabularies(), nullptr};
  loaded.model = std::make_unique<Model>(loaded.config.model, loaded.vocabularies.source.size(),
                                         loaded.vocabularies.target.size(),
                                         static_cast<uint64_t>(loaded.config.seed), device);
  const Parameters& parameters = loaded.model->parameters();
  reader.read(reader.model_group(), parameters, parameters.values());
  return loaded;
}

}  // namespace dragoman
