// A stack of layers as transformers have them, for either side: each mixes the tokens of a
// sentence, reads the memory (a decoder's), and ends with a feed-forward block.
#pragma once

#include <memory>
#include <vector>

#include "config/config.h"
#include "models/encoder_decoder.h"
#include "nn/attention.h"
#include "nn/blocks.h"
#include "nn/mixer.h"

namespace dragoman {

class Stack {
 public:
  /// An encoder's: tokens see those after them too, and there is no memory.
  Stack(const Scope& scope, const EncoderConfig& config);
  /// A decoder's, which reads a memory that is `memory_width` wide.
  Stack(const Scope& scope, const DecoderConfig& config, int64_t memory_width);

  /// All tokens of a batch at once: embedded [tokens, dim] -> [tokens, dim], as `type`. `memory`
  /// is a decoder's. `maps`, if not null, gets where the layers attended to.
  Variable operator()(Tape& tape, const Variable& embedded, const Packing& packing,
                      const Memory* memory, DType type, AttentionMaps* maps) const;

  /// A decoder's state before the first token: one hypothesis a sentence.
  std::unique_ptr<DecoderState> start(Tape& tape, const Memory& memory) const;
  /// The next token of every hypothesis: embedded [hypotheses, dim] -> [hypotheses, dim].
  /// `weights`, if not null, receives the last layer's attention to the memory, [hypotheses, heads,
  /// longest].
  Variable step(Tape& tape, DecoderState& state, const Variable& embedded, Tensor* weights) const;
  /// As in Decoder.
  void reorder(DecoderState& state, const Tensor& rows) const;

  /// The longest sentence that it can read.
  int64_t longest() const { return positions_.limit(); }

 private:
  struct Layer {
    Residual mixer_frame;
    std::unique_ptr<Mixer> mixer;
    Residual cross_frame;  // with a memory only, as what follows
    std::unique_ptr<CrossAttention> cross;
    Residual ffn_frame;
    FeedForward ffn;
  };
  // What all layers read of the memory.
  struct Read {
    Variable key_values;  // [memory tokens, 2 dim layers]
    AttentionLayout layout;
  };
  struct State;

  Stack(const Scope& scope, const StackConfig& config);
  void add_layers(const Scope& scope, const StackConfig& config, bool with_memory);
  // One layer; mix(x) is its mixer, of a batch or of a step. `weights`, if not null, receives those
  // of its attention to the memory.
  template <class Mix>
  Stream run_layer(Tape& tape, size_t number, const Stream& stream, Mix mix, const Read* read,
                   Tensor* weights) const;

  int64_t dim_;
  real embedding_dropout_;
  Positions positions_;
  Linear key_values_;  // of the memory, for all layers: each has 2 dim columns
  std::vector<Layer> layers_;
  StackEnd end_;
};

}  // namespace dragoman
