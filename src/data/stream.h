// The endless stream of training batches.
#pragma once

#include <cstdint>
#include <memory>

#include "data/batch.h"
#include "data/dataset.h"
#include "data/vocabulary.h"

namespace dragoman {

/// How a BatchStream cuts batches.
struct BatchOptions {
  int64_t batch_tokens =
      2000;  ///< target tokens, `</s>` counted; a longer sentence is a batch alone
  uint64_t seed = 1;
  /// Vocabulary::encode_sampled's alpha, for a segmentation of its own in each epoch; 0 takes the
  /// stored one, as does a sentence that sampling makes longer than the dataset's max_length.
  double sampling = 0;
  int sampling_nbest = 64;
};

/// An endless stream of training batches from a dataset. An epoch goes through the corpus once, in
/// an order of its own that follows from the seed and its number:
///
/// 1. The corpus is cut into blocks of a few neighbouring sentences and these are shuffled,
///    since a corpus larger than memory cannot be read sentence by sentence. The cuts move from
///    epoch to epoch.
/// 2. A *pool* takes blocks until it holds about 100 batches. Its sentences are shuffled, sorted by
///    length and cut into batches, so that the sentences of a batch are about equally long.
/// 3. The batches of the pool are shuffled.
///
/// A thread reads ahead by a few batches.
class BatchStream {
 public:
  /// Starts at `position`. `vocabularies` are those that the dataset was made with. Throws Error
  /// when sampling is asked of a dataset without raw text.
  BatchStream(std::shared_ptr<const Dataset> dataset, Vocabularies vocabularies,
              const BatchOptions& options, const DataPosition& position = {});
  ~BatchStream();
  BatchStream(BatchStream&&) noexcept;

  /// The next batch. Throws what went wrong while it was being made.
  Batch next();

  int64_t sentences_per_epoch() const;

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

}  // namespace dragoman
