// What a search asks of a model, or of several that translate together.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "data/sentences.h"
#include "models/model.h"

namespace dragoman {

/// Says what follows each of a batch of hypotheses, a row each, one a sentence at first. Some rows
/// may stand for none: what follows them is not looked at.
class StepModel {
 public:
  virtual ~StepModel() = default;
  /// Where tokens, rows, logits and attention are.
  virtual Device device() const = 0;
  /// Gives every hypothesis its last token, `<s>` at first (int32 [hypotheses]), and asks what
  /// follows. The logits are the caller's to overwrite.
  virtual Model::Step step(const Tensor& last, bool want_attention) = 0;
  /// Hypothesis i goes on from what was hypothesis rows[i] (int32); their number may change.
  virtual void reorder(const Tensor& rows) = 0;
};

/// One model.
class ModelSteps : public StepModel {
 public:
  /// Reads a batch of sources (pieces and `</s>`). Model and tape must outlive this.
  ModelSteps(const Model& model, Tape& tape, const Sentences& source);
  Device device() const override { return model_.device(); }
  Model::Step step(const Tensor& last, bool want_attention) override;
  void reorder(const Tensor& rows) override;

 private:
  const Model& model_;
  Tape& tape_;
  std::unique_ptr<DecoderState> state_;
};

/// Several models that write one translation together: the probability of what follows is the mean
/// of what they give, p(y | x) = 1/M sum_m p_m(y | x), as in fairseq (Ott et al. 2019,
/// `EnsembleModel`). It is a distribution again, as the product of the models' probabilities, which
/// others take (Marian's sum of log-probabilities), is not. Attention is the mean over those models
/// that have any.
class EnsembleSteps : public StepModel {
 public:
  /// At least one, all on one device and at the same sentences. They may be of any kind, but must
  /// write the same vocabulary: `step` throws Error where their logits differ in shape.
  explicit EnsembleSteps(std::vector<std::unique_ptr<StepModel>> members);
  Device device() const override { return members_.front()->device(); }
  /// The logits are logarithms of sums of probabilities.
  Model::Step step(const Tensor& last, bool want_attention) override;
  void reorder(const Tensor& rows) override;

 private:
  std::vector<std::unique_ptr<StepModel>> members_;
};

/// Steps of one model or of an ensemble, each of which reads the sources. Models and tape must
/// outlive them.
std::unique_ptr<StepModel> make_steps(std::span<const Model* const> models, Tape& tape,
                                      const Sentences& source);

}  // namespace dragoman
