#include "models/model_file.h"

#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>

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

hdf5::File open_model(const std::filesystem::path& path) {
  hdf5::File file = hdf5::File::open(path);
  check(file.has_attribute("/", "format") &&
            file.string_attribute("/", "format") == ModelFile::kFormat,
        "{}: is an HDF5 file but not a checkpoint: give a file that `dragoman train` or `dragoman "
        "average` wrote",
        path.string());
  const int64_t version = file.int_attribute("/", "version");
  check(version == ModelFile::kVersion,
        "{}: is a checkpoint of version {}, and this program reads version {}", path.string(),
        version, ModelFile::kVersion);
  return file;
}

Vocabulary read_vocabulary(const hdf5::File& file, const char* name) {
  const std::vector<uint8_t> bytes = file.read<uint8_t>(name);
  return Vocabulary(std::string(bytes.begin(), bytes.end()));
}

}  // namespace

void save_model(const std::filesystem::path& path, const Config& config,
                const Vocabularies& vocabularies, const Parameters& layout,
                const std::vector<StoredBuffer>& buffers,
                const std::function<void(hdf5::File&)>& add) {
  for (const StoredBuffer& buffer : buffers) {
    check(all_finite(buffer.values), "{}: not saved, because a number under {} is NaN or infinite",
          path.string(), buffer.group);
  }
  write_atomically(path, [&](const std::filesystem::path& temporary) {
    hdf5::File file = hdf5::File::create(temporary);
    file.set_attribute("/", "format", std::string(ModelFile::kFormat));
    file.set_attribute("/", "version", ModelFile::kVersion);
    file.write_string("/config", to_yaml(config));
    write_vocabularies(file, vocabularies);
    for (const StoredBuffer& buffer : buffers) write_buffer(file, buffer, layout);
    if (add) add(file);
    file.close();
  });
}

ModelFile::ModelFile(const std::filesystem::path& path)
    : file_(open_model(path)),
      config_(parse_config(file_.read_string("/config"), path.string() + "/config")) {}

Vocabularies ModelFile::vocabularies() const {
  const Vocabulary source = read_vocabulary(file_, "/vocabulary/source");
  const bool shared = file_.int_attribute("/vocabulary", "shared") != 0;
  return {source, shared ? source : read_vocabulary(file_, "/vocabulary/target")};
}

hdf5::Shape ModelFile::parameter_shape(const std::string& name) const {
  return file_.shape(join(kParametersGroup, name));
}

uint32_t ModelFile::checksum() const {
  uLong sum = ::crc32(0, nullptr, 0);
  for (const std::string& name : parameter_names()) {
    const std::vector<real> values = file_.read<real>(join(kParametersGroup, name));
    sum =
        ::crc32_z(sum, reinterpret_cast<const Bytef*>(values.data()), values.size() * sizeof(real));
  }
  return static_cast<uint32_t>(sum);
}

void ModelFile::read(const char* group, const Parameters& layout, const Tensor& flat) const {
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

std::filesystem::path find_model(const std::filesystem::path& path) {
  std::error_code error;
  check(std::filesystem::exists(path, error), "{}: no such run directory or checkpoint",
        path.string());
  if (!std::filesystem::is_directory(path, error)) return path;
  for (const char* name : {"best.h5", "last.h5"}) {
    if (std::filesystem::exists(path / name, error)) return path / name;
  }
  fail("{}: has neither best.h5 nor last.h5: give a run directory or a checkpoint file",
       path.string());
}

LoadedModel load_model(const std::filesystem::path& path, Device device) {
  const ModelFile file(find_model(path));
  LoadedModel loaded{file.path(), file.config(), file.vocabularies(), nullptr};
  loaded.model = std::make_unique<Model>(loaded.config.model, loaded.vocabularies.source.size(),
                                         loaded.vocabularies.target.size(),
                                         static_cast<uint64_t>(loaded.config.seed), device);
  const Parameters& parameters = loaded.model->parameters();
  file.read(file.model_group(), parameters, parameters.values());
  return loaded;
}

}  // namespace dragoman
