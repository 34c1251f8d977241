#pragma once

#include <vector>

#include "config/config.h"
#include "models/encoder_decoder.h"
#include "nn/recurrent.h"

namespace dragoman {

/// A stack of LSTM or GRU layers, in one direction or in both (Schuster and Paliwal 1997; the
/// annotations of Bahdanau et al. 2015, section 3.2). Its summary is the state of the last layer
/// after the whole sentence, in each direction.
class RecurrentEncoder : public Encoder {
 public:
  RecurrentEncoder(const Scope& scope, const EncoderConfig& config);
  Memory encode(Tape& tape, const Variable& embedded, const Packing& packing,
                AttentionMaps* maps) const override;
  SideLimits limits() const override { return {.longest = 1 << 20, .in_time = true}; }

 private:
  struct Layer {
    std::vector<RecurrentLayer> directions;
  };

  real embedding_dropout_;
  real dropout_;
  bool residual_;
  bool bidirectional_;
  std::vector<Layer> layers_;
};

}  // namespace dragoman
