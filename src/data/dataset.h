// A prepared corpus: the pieces of its sentence pairs in one HDF5 file.
//
//     /                     attributes: format, version, inputs, max_length, pairs,
//                         empty, too_long
//     /source, /target
//       tokens              int32, all sentences one after the other, without <s> and </s>
//       offsets             int64, pairs + 1: sentence i is tokens[offsets[i]:offsets[i + 1]]
//       text, text_offsets  uint8 and int64, the raw lines likewise; only for subword sampling
//
// Chunked, deflated and with Fletcher32 checksums, so that a flipped bit is found and not trained
// on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/sentences.h"

namespace dragoman {

/// What preparing a corpus kept and what it left out.
struct CorpusCounts {
  int64_t pairs = 0;     ///< kept
  int64_t empty = 0;     ///< left out: a side has no piece
  int64_t too_long = 0;  ///< left out: a side has more pieces than the limit
};

/// Neighbouring sentence pairs of a dataset.
struct PairBlock {
  Sentences source;  ///< without `</s>`
  Sentences target;
  std::vector<std::string> source_text;  ///< raw lines; empty when the dataset has none
  std::vector<std::string> target_text;
};

/// What `dragoman inspect` shows of a dataset.
struct DatasetDescription {
  CorpusCounts counts;
  int64_t max_length = 0;  ///< most pieces on a side
  int64_t source_tokens = 0;
  int64_t target_tokens = 0;
  bool has_text = false;
  std::string inputs;  ///< the files and settings that it was made from, one a line
};

/// A prepared corpus, open for reading. Blocks may be read from any thread.
class Dataset {
 public:
  static constexpr const char* kFormat = "dragoman dataset";
  static constexpr int64_t kVersion = 1;

  /// Opens a dataset. Throws Error when it is missing, is not a dataset or is damaged.
  explicit Dataset(const std::string& path);
  ~Dataset();

  const std::string& path() const { return path_; }
  int64_t size() const { return description_.counts.pairs; }
  const DatasetDescription& description() const { return description_; }

  /// Reads the pairs `begin` up to `end`. Throws Error when the file cannot be read or is damaged.
  PairBlock read(int64_t begin, int64_t end) const;

  /// Reads the whole file once. Throws Error when a checksum is wrong or an offset makes no sense.
  void verify() const;

 private:
  struct Files;

  std::string path_;
  DatasetDescription description_;
  std::unique_ptr<Files> files_;
};

/// Describes the dataset in a file. Throws as Dataset does.
DatasetDescription describe_dataset(const std::string& path);

}  // namespace dragoman
