#include "run/checkpoint.h"

#include <string>
#include <utility>

namespace dragoman {
namespace {

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

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Config& config,
                     const Vocabularies& vocabularies, const Parameters& layout,
                     const std::vector<StoredBuffer>& buffers, const TrainingState& state) {
  save_model(path, config, vocabularies, layout, buffers, [&](hdf5::File& file) {
    TrainingState copy = state;  // the field list serves reading too
    visit_state<AttributeWriter>(file, copy);
  });
}

CheckpointReader::CheckpointReader(const std::filesystem::path& path) : ModelFile(path) {
  if (!has(kStateGroup)) return;
  visit_state<AttributeReader>(file(), state_.emplace());
}

}  // namespace dragoman
