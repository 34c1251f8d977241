#pragma once

#include <vector>

#include "models/model.h"
#include "nn/transformer.h"

namespace dragoman {

/// What the blocks of an encoder or decoder stack are made with.
BlockOptions block_options(const StackConfig& config);
/// The positions that a stack adds to its input.
Positions make_positions(const Scope& scope, const StackConfig& config);

/// The encoder of Vaswani et al. 2017, section 3.1. Its summary is the mean of the states.
class TransformerEncoder : public Encoder {
 public:
  TransformerEncoder(const Scope& scope, const EncoderConfig& config);
  Memory encode(Tape& tape, const Variable& embedded, const Packing& packing,
                AttentionMaps* maps) const override;
  SideLimits limits() const override { return {.longest = positions_.limit()}; }

 private:
  struct Layer {
    Residual attention_frame;
    SelfAttention attention;
    Residual ffn_frame;
    FeedForward ffn;
  };

  real embedding_dropout_;
  Positions positions_;
  std::vector<Layer> layers_;
  StackEnd end_;
};

}  // namespace dragoman
