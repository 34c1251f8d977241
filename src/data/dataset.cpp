#include "data/dataset.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/check.h"
#include "hdf5/file.h"

namespace dragoman {

namespace {

/// Elements read at a time when the whole file is read.
constexpr int64_t kVerifyElements = 1 << 20;

/// A ragged array: rows of different lengths, one after the other.
template <class T>
class Ragged {
 public:
  Ragged(const hdf5::File& file, const std::string& values, const std::string& offsets)
      : values_(file, values), offsets_(file, offsets) {}

  int64_t rows() const { return offsets_.size() - 1; }
  int64_t values() const { return values_.size(); }

  /// The rows [begin, end), and where they begin and end in `values`.
  std::vector<T> read(int64_t begin, int64_t end, std::vector<int64_t>& offsets) const {
    offsets = offsets_.read(begin, end + 1);
    const int64_t first = offsets.front(), last = offsets.back();
    check(std::ranges::is_sorted(offsets) && first >= 0 && last <= values(),
          "the offsets are damaged");
    for (int64_t& offset : offsets) offset -= first;
    return values_.read(first, last);
  }

  /// Reads everything once. Throws when an element cannot be read or an offset is impossible.
  void verify() const {
    for (int64_t i = 0; i < values(); i += kVerifyElements)
      values_.read(i, std::min(i + kVerifyElements, values()));
    int64_t last = 0;
    for (int64_t i = 0; i < offsets_.size(); i += kVerifyElements) {
      for (const int64_t offset :
           offsets_.read(i, std::min(i + kVerifyElements, offsets_.size()))) {
        check(offset >= last, "the offsets are damaged");
        last = offset;
      }
    }
    check(last == values(), "the offsets do not fit the values");
  }

 private:
  hdf5::Reader<T> values_;
  hdf5::Reader<int64_t> offsets_;
};

/// One side of the corpus.
struct Side {
  Ragged<int32_t> tokens;
  std::optional<Ragged<uint8_t>> text;

  Side(const hdf5::File& file, const std::string& group)
      : tokens(file, group + "/tokens", group + "/offsets") {
    if (file.exists(group + "/text")) text.emplace(file, group + "/text", group + "/text_offsets");
  }

  void read(int64_t begin, int64_t end, Sentences& sentences,
            std::vector<std::string>& lines) const {
    std::vector<int64_t> offsets;
    sentences.ids = tokens.read(begin, end, offsets);
    sentences.offsets.assign(offsets.begin(), offsets.end());
    if (!text) return;
    const std::vector<uint8_t> bytes = text->read(begin, end, offsets);
    for (int64_t i = 0; i < end - begin; ++i)
      lines.emplace_back(bytes.begin() + offsets[i], bytes.begin() + offsets[i + 1]);
  }
};

hdf5::File open_dataset(const std::string& path) {
  hdf5::File file = hdf5::File::open(path);
  check(
      file.has_attribute("/", "format") && file.string_attribute("/", "format") == Dataset::kFormat,
      "{}: not a prepared corpus", path);
  const int64_t version = file.int_attribute("/", "version");
  check(version == Dataset::kVersion, "{}: has version {} of the format, not {}", path, version,
        Dataset::kVersion);
  return file;
}

}  // namespace

struct Dataset::Files {
  hdf5::File file;
  Side source;
  Side target;

  explicit Files(const std::string& path)
      : file(open_dataset(path)), source(file, "/source"), target(file, "/target") {}
};

Dataset::Dataset(const std::string& path) : path_(path), files_(std::make_unique<Files>(path)) {
  const auto& [file, source, target] = *files_;
  description_.counts = {file.int_attribute("/", "pairs"), file.int_attribute("/", "empty"),
                         file.int_attribute("/", "too_long")};
  description_.max_length = file.int_attribute("/", "max_length");
  description_.inputs = file.string_attribute("/", "inputs");
  description_.source_tokens = source.tokens.values();
  description_.target_tokens = target.tokens.values();
  description_.has_text = source.text && target.text;
  for (const Side* side : {&source, &target}) {
    check(side->tokens.rows() == size() && (!side->text || side->text->rows() == size()),
          "{}: is damaged: a side does not have the {} sentences it should", path, size());
  }
}

Dataset::~Dataset() = default;

PairBlock Dataset::read(int64_t begin, int64_t end) const {
  check(begin >= 0 && begin <= end && end <= size(), "{}: has no pairs {} to {}", path_, begin,
        end);
  PairBlock block;
  try {
    files_->source.read(begin, end, block.source, block.source_text);
    files_->target.read(begin, end, block.target, block.target_text);
  } catch (const Error& error) {
    fail("{}: the prepared corpus is damaged; delete the file to have it made again ({})", path_,
         error.what());
  }
  return block;
}

void Dataset::verify() const {
  for (const Side* side : {&files_->source, &files_->target}) {
    side->tokens.verify();
    if (side->text) side->text->verify();
  }
}

DatasetDescription describe_dataset(const std::string& path) { return Dataset(path).description(); }

}  // namespace dragoman
