// Batches of sentences for a model, and the plain way of making them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/sentences.h"

namespace dragoman {

/// A place between two batches of training: what a checkpoint keeps, so that a run that continues
/// sees the batches that it would have seen. BatchStream gives the numbers their meaning.
struct DataPosition {
  int64_t epoch = 0;  ///< epochs completed
  int64_t block = 0;  ///< blocks of this epoch that lie before the current pool
  int64_t batch = 0;  ///< batches taken from the current pool

  bool operator==(const DataPosition&) const = default;
};

/// Sentence pairs for a training step, a loss or a score, longest target first.
struct Batch {
  Sentences source;              ///< pieces, `</s>`
  Sentences target_input;        ///< `<s>`, pieces
  Sentences target_output;       ///< pieces, `</s>`; as long as target_input
  std::vector<int64_t> indices;  ///< the place of each sentence in the corpus or in the input

  // Set by BatchStream only:
  int64_t epoch = 0;           ///< epochs completed before this batch
  int64_t sentences_done = 0;  ///< sentences of this epoch seen, those of this batch included
  bool ends_epoch = false;     ///< the last batch of its epoch
  DataPosition next;           ///< the place behind this batch

  int32_t size() const { return source.size(); }
  /// Adds a pair, given without `<s>` and `</s>`.
  void append(std::span<const int32_t> source_ids, std::span<const int32_t> target_ids,
              int64_t index);
};

/// Its sentences in two halves, neither of them empty, in their order. It has two at least.
std::pair<Batch, Batch> halves(const Batch& batch);

/// How large it is, for messages: "8 sentences, 120 source and 96 target tokens, the longest of
/// 20".
std::string size_text(const Batch& batch);

/// Source sentences for decoding, longest first.
struct SourceBatch {
  Sentences source;              ///< pieces, `</s>`
  std::vector<int64_t> indices;  ///< the place of each sentence in the input

  int32_t size() const { return source.size(); }
};

/// The same of source sentences.
std::pair<SourceBatch, SourceBatch> halves(const SourceBatch& batch);
std::string size_text(const SourceBatch& batch);

/// Batches over all pairs, given without `<s>` and `</s>`, longest targets first (then longest
/// sources, then by place). A batch holds at most `batch_tokens` target tokens, `</s>` counted; a
/// longer sentence is a batch alone. The same input gives the same batches.
std::vector<Batch> make_batches(const std::vector<std::vector<int32_t>>& sources,
                                const std::vector<std::vector<int32_t>>& targets,
                                int64_t batch_tokens);

/// Batches over all source sentences, given without `</s>`, longest first (then by place). A batch
/// holds at most `batch_sentences` sentences and `batch_tokens` tokens, `</s>` counted; a longer
/// sentence is a batch alone. The same input gives the same batches.
std::vector<SourceBatch> make_source_batches(const std::vector<std::vector<int32_t>>& sources,
                                             int64_t batch_sentences, int64_t batch_tokens);

}  // namespace dragoman
