// The hypotheses of a beam search, which live on the device: what a step changes there is neither
// brought to the host nor waited for.
#pragma once

#include <cstdint>
#include <vector>

#include "decode/topk.h"
#include "tensor/tensor.h"

namespace dragoman {

/// What a search allows.
struct BeamLimits {
  int64_t width = 1;              ///< Hypotheses that a sentence goes on with.
  std::vector<int32_t> shortest;  ///< Of each sentence: the fewest pieces of a translation,
  std::vector<int32_t> longest;   ///< and the most.
  int64_t no_repeat_ngram = 0;    ///< N-grams of this length come up once at most; 0: any.
};

/// A hypothesis that has ended.
struct Ended {
  std::vector<int32_t> ids;    ///< Pieces, without `<s>` and `</s>`.
  std::vector<int32_t> rows;   ///< Its row when it had t pieces, for t = 0, ..., all.
  double log_probability = 0;  ///< Natural; of the pieces and `</s>`.
};

/// Hypotheses of a batch of sentences. At the t-th step (from 0) all that go on have t pieces, and
/// a row each: at first one a sentence, then `width`. Rows are filled with dead ones where fewer go
/// on, and where a sentence is done, until `look` finds it so.
///
/// They are kept as back-pointers: what a row's last token is, and which row of the step before it
/// goes on from.
class Beams {
 public:
  /// One hypothesis without pieces for each sentence.
  Beams(const BeamLimits& limits, Device device);

  int64_t step() const { return step_; }
  /// The last token of each row, `<s>` at first: int32 [rows].
  Tensor last() const;
  /// The tokens that no hypothesis may go on with, as best_tokens takes them.
  Tensor bans() const;
  /// Lets the best ways to go on end or go on: `best` says what may follow each row, `width` + 1
  /// tokens if there are so many. See `search` for who ends and who goes on.
  void advance(const BestTokens& best);
  /// Waits for the device and drops the rows of sentences that are done. Returns whether there are
  /// others. Throws Error where probabilities were NaN.
  bool look();
  /// Which row of the step before each row goes on from: int32 [rows]; undefined where every row
  /// goes on from the row of its own number.
  Tensor parents() const;

  /// What has ended of each sentence, first that which ended first. Waits for the device.
  std::vector<std::vector<Ended>> ended() const;

 private:
  int64_t rows() const { return static_cast<int64_t>(going_on_.size()) * rows_each_; }

  BeamLimits limits_;
  Device device_;
  int64_t step_ = 0;
  int64_t rows_each_ = 1;  // of a sentence
  bool moved_ = false;     // whether a row may go on from another

  std::vector<int32_t> going_on_;  // the sentences that have rows, as of the last look
  Tensor sentences_;               // the same on the device

  // Of each step and row; a step's rows are the first of as many as there may be.
  Tensor parents_;
  Tensor tokens_;
  Tensor log_probabilities_;  // of this step's rows; minus infinity for dead ones

  // Of each sentence.
  Tensor shortest_, longest_;
  Tensor states_;      // beam.cpp: State
  Tensor ended_;       // how many hypotheses have,
  Tensor ended_step_;  // [sentences, 2 width] at which step,
  Tensor ended_row_;   // in which row,
  Tensor ended_log_probability_;
};

}  // namespace dragoman
