// A translation model, whatever it is made of: an encoder and a decoder, chosen apart from each
// other, with the embeddings and the output layer that are theirs in common.
#pragma once

#include <memory>

#include "config/config.h"
#include "data/batch.h"
#include "models/device_batch.h"
#include "models/encoder_decoder.h"
#include "nn/parameters.h"

namespace dragoman {

/// An encoder, a decoder, their embeddings and the output layer.
class Model {
 public:
  /// A model with initial weights that follow from `seed`. The vocabulary sizes are equal when
  /// source and target embeddings are tied.
  Model(const ModelConfig& config, int64_t source_vocabulary, int64_t target_vocabulary,
        uint64_t seed, Device device);

  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  Device device() const { return device_; }

  /// Sources and their packing on this model's device.
  TokenBatch load(const Sentences& sources) const;
  /// A batch on this model's device, in its own shapes.
  DeviceBatch load(const Batch& batch) const {
    return DeviceBatch(batch, exact_bucket(batch), device_);
  }
  /// Its own shapes.
  Bucket exact_bucket(const Batch& batch) const {
    return dragoman::exact_bucket(batch, encoder_->limits(), decoder_->limits());
  }
  /// Shapes for it that many batches share.
  Bucket rounded_bucket(const Batch& batch) const {
    return dragoman::rounded_bucket(batch, encoder_->limits(), decoder_->limits());
  }

  /// `maps`, if not null, gets where the encoder attended to.
  Memory encode(Tape& tape, const TokenBatch& source, AttentionMaps* maps = nullptr) const;
  /// Logits [target tokens, target vocabulary]: row i predicts what follows the i-th input token.
  /// `maps`, if not null, gets where the decoder attended to.
  Variable decode(Tape& tape, const Memory& memory, const TokenBatch& target_input,
                  AttentionMaps* maps = nullptr) const;
  /// The loss of a batch, summed over its target tokens. The rows of log_probabilities are those of
  /// its targets.
  CrossEntropy loss(Tape& tape, const DeviceBatch& batch, real label_smoothing) const;

  /// What one step gives.
  struct Step {
    Tensor logits;     ///< [hypotheses, target vocabulary]
    Tensor attention;  ///< As in DecoderStep.
  };
  std::unique_ptr<DecoderState> start(Tape& tape, const Memory& memory) const;
  /// `ids` is int32 [hypotheses]: the last token of each, `<s>` at first.
  Step step(Tape& tape, DecoderState& state, const Tensor& ids, bool want_attention = false) const;
  /// As in Decoder. Neither this nor a step waits for the device.
  void reorder(DecoderState& state, const Tensor& rows) const;

  bool has_attention() const { return decoder_->has_attention(); }
  int64_t longest_source() const { return encoder_->limits().longest; }
  int64_t longest_target() const { return decoder_->limits().longest; }
  int64_t target_vocabulary() const { return target_vocabulary_; }

 private:
  Variable embed(Tape& tape, const Parameter& table, const Tensor& ids) const;
  Variable features(Tape& tape, const Memory& memory, const TokenBatch& target_input,
                    AttentionMaps* maps) const;
  Variable logits(Tape& tape, const Variable& features) const;

  Parameters parameters_;
  Device device_;
  int64_t target_vocabulary_;
  bool scale_embeddings_;
  Parameter source_embedding_;
  Parameter target_embedding_;
  Parameter output_weight_;
  Parameter output_bias_;
  std::unique_ptr<Encoder> encoder_;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace dragoman
