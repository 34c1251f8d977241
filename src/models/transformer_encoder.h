#pragma once

#include "models/stack.h"

namespace dragoman {

/// The encoder of Vaswani et al. 2017, section 3.1. Its summary is the mean of the states.
class TransformerEncoder : public Encoder {
 public:
  TransformerEncoder(const Scope& scope, const EncoderConfig& config) : stack_(scope, config) {}

  Memory encode(Tape& tape, const Variable& embedded, const Packing& packing,
                AttentionMaps* maps) const override {
    return {stack_(tape, embedded, packing, nullptr, DType::kReal, maps), packing, {}};
  }
  SideLimits limits() const override { return {.longest = stack_.longest()}; }

 private:
  Stack stack_;
};

}  // namespace dragoman
