#pragma once

#include <vector>

#include "models/model.h"
#include "nn/transformer.h"

namespace dragoman {

/// The decoder of Vaswani et al. 2017, section 3.1. The attention that its steps report is that of
/// the last layer to the memory, the mean over the heads.
class TransformerDecoder : public Decoder {
 public:
  TransformerDecoder(const Scope& scope, const DecoderConfig& config, int64_t memory_dim);

  Variable decode(Tape& tape, const Memory& memory, const Variable& embedded,
                  const Packing& packing, AttentionMaps* maps) const override;
  std::unique_ptr<DecoderState> start(Tape& tape, const Memory& memory) const override;
  DecoderStep step(Tape& tape, DecoderState& state, const Variable& embedded,
                   bool want_attention) const override;
  void reorder(DecoderState& state, const Tensor& rows) const override;
  bool has_attention() const override { return true; }
  SideLimits limits() const override { return {.longest = positions_.limit()}; }

 private:
  struct Layer {
    Residual self_frame;
    SelfAttention self_attention;
    Residual cross_frame;
    CrossAttention cross_attention;
    Residual ffn_frame;
    FeedForward ffn;
  };
  struct State;

  // Layer `number`; attend(x) is its self-attention, over a batch or over a cache. `weights`, if
  // not null, receives those of its cross-attention.
  template <class Attend>
  Stream run_layer(Tape& tape, size_t number, const Stream& stream, Attend attend,
                   const Variable& key_values, const AttentionLayout& cross, Tensor* weights) const;

  real embedding_dropout_;
  int64_t dim_;
  Positions positions_;
  Linear key_values_;  // of the memory, for all layers: each has 2 * dim columns
  std::vector<Layer> layers_;
  StackEnd end_;
};

}  // namespace dragoman
