// The hypotheses of a beam search.
#pragma once

#include <cstdint>
#include <vector>

#include "decode/hypotheses.h"
#include "tensor/tensor.h"

namespace dragoman {

/// What a search allows.
struct BeamLimits {
  int64_t width = 1;              ///< Hypotheses that a sentence goes on with.
  std::vector<int32_t> shortest;  ///< Of each sentence: the fewest pieces of a translation,
  std::vector<int32_t> longest;   ///< and the most.
  int64_t no_repeat_ngram = 0;    ///< N-grams of this length come up once at most; 0: any.
};

/// The `width` best of each sentence. They are kept as back-pointers: what a row's last token is,
/// and which row of the step before it goes on from.
class Beams : public Hypotheses {
 public:
  /// One hypothesis without pieces for each sentence.
  Beams(const BeamLimits& limits, Device device);

  int64_t step() const override { return step_; }
  Tensor last() const override;
  /// See `search` for who ends and who goes on.
  void advance(const Tensor& logits) override;
  bool look() override;
  Tensor parents() const override;
  std::vector<std::vector<Ended>> ended() const override;

 private:
  // The tokens that no hypothesis may go on with, as best_tokens takes them.
  Tensor bans() const;
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
