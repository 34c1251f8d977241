#pragma once

#include "models/stack.h"
#include "ops/steps.h"

namespace dragoman {

/// The decoder of Vaswani et al. 2017, section 3.1. The attention that its steps report is that of
/// the last layer to the memory, the mean over the heads.
class TransformerDecoder : public Decoder {
 public:
  TransformerDecoder(const Scope& scope, const DecoderConfig& config, int64_t memory_width)
      : stack_(scope, config, memory_width) {}

  Variable decode(Tape& tape, const Memory& memory, const Variable& embedded,
                  const Packing& packing, AttentionMaps* maps) const override {
    return stack_(tape, embedded, packing, &memory, tape.products(), maps);
  }
  std::unique_ptr<DecoderState> start(Tape& tape, const Memory& memory) const override {
    return stack_.start(tape, memory);
  }
  DecoderStep step(Tape& tape, DecoderState& state, const Variable& embedded,
                   bool want_attention) const override {
    Tensor weights;
    const Variable features =
        stack_.step(tape, state, embedded, want_attention ? &weights : nullptr);
    return {features, want_attention ? mean_over_heads(weights) : Tensor()};
  }
  void reorder(DecoderState& state, const Tensor& rows) const override {
    stack_.reorder(state, rows);
  }
  bool has_attention() const override { return true; }
  SideLimits limits() const override { return {.longest = stack_.longest()}; }

 private:
  Stack stack_;
};

}  // namespace dragoman
