// What a translation model can do, whatever it is made of. Encoder and decoder are chosen apart
// from each other; embeddings and the output layer are theirs in common.
#pragma once

#include <memory>
#include <vector>

#include "config/config.h"
#include "data/batch.h"
#include "models/device_batch.h"
#include "nn/layers.h"
#include "nn/packing.h"
#include "nn/parameters.h"

namespace dragoman {

/// What the encoder made of a batch of sources.
struct Memory {
  Variable states;   ///< [source tokens, memory width]
  Packing packing;   ///< Of the source.
  Variable summary;  ///< [sentences, memory width]: each whole sentence in one vector; undefined
                     ///< where it is the mean of the sentence's states.
};

/// Where one layer attended to while it read a batch at once.
struct AttentionMap {
  enum class Kind {
    kEncoder,  ///< The source to itself.
    kDecoder,  ///< The target to what was before it.
    kCross,    ///< The target to the source.
  };
  Kind kind;
  int64_t layer = 0;  ///< Of its stack, from 0.
  Tensor weights;     ///< [tokens, heads, longest], zero after the end of a sentence.
};
using AttentionMaps = std::vector<AttentionMap>;

/// Reads sources.
class Encoder {
 public:
  virtual ~Encoder() = default;
  /// `embedded` is [source tokens, embedding width]. `maps`, if not null, gets the layers'
  /// attention, if they have any.
  virtual Memory encode(Tape& tape, const Variable& embedded, const Packing& packing,
                        AttentionMaps* maps) const = 0;
  /// How it reads them.
  virtual SideLimits limits() const = 0;
};

/// Where a decoder stands in its hypotheses: one row each. Only its decoder knows what is in it.
class DecoderState {
 public:
  virtual ~DecoderState() = default;
};

/// One more token of every hypothesis.
struct DecoderStep {
  Variable features;  ///< [hypotheses, output width]
  Tensor attention;  ///< [hypotheses, longest source]: weights over the source, zero after its end;
                     ///< undefined where they were not asked for or the decoder has none.
};

/// Writes targets.
class Decoder {
 public:
  virtual ~Decoder() = default;

  /// Teacher forcing: all steps at once. `embedded` is [target tokens, embedding width], the target
  /// sentences standing longest first. Returns [target tokens, output width]. `maps`, if not null,
  /// gets the layers' attention, if they have any.
  virtual Variable decode(Tape& tape, const Memory& memory, const Variable& embedded,
                          const Packing& packing, AttentionMaps* maps) const = 0;

  /// The state before the first token: one hypothesis a sentence. It may share the memory's
  /// tensors.
  virtual std::unique_ptr<DecoderState> start(Tape& tape, const Memory& memory) const = 0;
  /// Reads the last token of every hypothesis, embedded [hypotheses, embedding width].
  virtual DecoderStep step(Tape& tape, DecoderState& state, const Variable& embedded,
                           bool want_attention) const = 0;
  /// Hypothesis i goes on from what was hypothesis rows[i]; their number may change. `rows` is
  /// int32, on the model's device.
  virtual void reorder(DecoderState& state, const Tensor& rows) const = 0;

  /// Whether its steps can say where they attended to.
  virtual bool has_attention() const = 0;
  /// How it reads targets, of which it can write as long ones.
  virtual SideLimits limits() const = 0;
};

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

  /// Ids and their packing on this model's device.
  TokenBatch load(const Sentences& sentences) const;
  /// A batch on this model's device, in its own shapes.
  DeviceBatch load(const Batch& batch) const {
    return DeviceBatch(batch, exact_bucket(batch), device_);
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
