// The hypotheses of a search, which live on the device: what a step changes there is neither
// brought to the host nor waited for.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace dragoman {

/// A hypothesis that has ended.
struct Ended {
  std::vector<int32_t> ids;    ///< Pieces, without `<s>` and `</s>`.
  std::vector<int32_t> rows;   ///< Its row when it had t pieces, for t = 0, ..., all.
  double log_probability = 0;  ///< Natural; of the pieces and `</s>`.
};

/// Hypotheses of a batch of sentences, and the rule by which they go on: that of a beam (Beams).
/// At the t-th step (from 0) all that go on have t pieces, and a row each: at first one a sentence,
/// then the same number of every sentence. Rows are filled with dead ones where fewer go on, and
/// where a sentence is done, until `look` finds it so.
///
/// What becomes of a sentence must not depend on its batch. A rule that draws at random is hence to
/// be given the number of each sentence's line when it is made (SourceBatch::indices, and where the
/// lines of that call of Translator::translate begin), and to draw from (seed, line, step).
class Hypotheses {
 public:
  virtual ~Hypotheses() = default;

  /// Of the last tokens.
  virtual int64_t step() const = 0;
  /// The last token of each row, `<s>` at first: int32 [rows].
  virtual Tensor last() const = 0;
  /// Lets hypotheses end or go on: `logits` [rows, vocabulary], which it may overwrite, say what
  /// may follow each row.
  virtual void advance(const Tensor& logits) = 0;
  /// Waits for the device and drops the rows of sentences that are done. Returns whether there are
  /// others. Throws Error where probabilities were NaN.
  virtual bool look() = 0;
  /// Which row of the step before each row goes on from: int32 [rows]; undefined where every row
  /// goes on from the row of its own number.
  virtual Tensor parents() const = 0;

  /// What has ended of each sentence, first that which ended first. Waits for the device.
  virtual std::vector<std::vector<Ended>> ended() const = 0;
};

}  // namespace dragoman
