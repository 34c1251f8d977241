#pragma once

#include <vector>

#include "config/config.h"
#include "models/encoder_decoder.h"
#include "nn/recurrent.h"

namespace dragoman {

/// An LSTM or GRU decoder, with attention or without:
///
/// - none: the encoder's summary is an input of every step and of the readout (Cho et al. 2014,
///   section 2.2): one fixed vector for any sentence.
/// - additive: Bahdanau et al. 2015, equations 4 to 6 and appendix A. The state before the step is
///   the query; the context is an input of the step and of the readout.
/// - dot, general: Luong et al. 2015, equation 8. The state after the step asks; the context enters
///   the readout.
///
/// The readout sums products of state, embedded last token and context, then maxout, tanh or
/// nothing (Bahdanau et al. 2015, appendix A.2.2). With input feeding the last readout is an input
/// of the next step (Luong et al. 2015, section 3.3). The layers start from tanh(W summary).
class RecurrentDecoder : public Decoder {
 public:
  RecurrentDecoder(const Scope& scope, const DecoderConfig& config, int64_t memory_dim);

  Variable decode(Tape& tape, const Memory& memory, const Variable& embedded,
                  const Packing& packing, AttentionMaps* maps) const override;
  std::unique_ptr<DecoderState> start(Tape& tape, const Memory& memory) const override;
  DecoderStep step(Tape& tape, DecoderState& state, const Variable& embedded,
                   bool want_attention) const override;
  void reorder(DecoderState& state, const Tensor& rows) const override;
  bool has_attention() const override { return attention_ != AttentionKind::kNone; }
  SideLimits limits() const override { return {.longest = 1 << 20, .in_time = true}; }

 private:
  // What does not change from step to step.
  struct Context;
  // What does; the rows of all are the same hypotheses.
  struct Carried;
  struct State;

  // Of the sums that the first layer's cell reads.
  DType input_type(const Tape& tape) const;
  Context prepare(Tape& tape, const Memory& memory) const;
  Carried initial(Tape& tape, const Memory& memory) const;
  Carried first(Tape& tape, const Carried& carried, int64_t n) const;
  Variable attend(Tape& tape, const Context& context, const Variable& query, Tensor* weights) const;
  // One step: `from_embedding` is the first layer's product of the embedded tokens. Updates the
  // carried state; its readout is left for `read_out`, unless it is fed to the next step.
  void advance(Tape& tape, const Context& context, const Variable& from_embedding, Carried& carried,
               Tensor* weights) const;
  // From states and contexts (of one step or of all) to features for the output layer, before
  // their dropout.
  Variable read_out(Tape& tape, const Variable& state, const Variable& embedded,
                    const Variable& context) const;

  AttentionKind attention_;
  ReadoutKind readout_;
  bool input_feeding_;
  bool residual_;
  real embedding_dropout_;
  real dropout_;
  int64_t readout_dim_;
  std::vector<RecurrentCell> cells_;
  std::vector<Linear> from_below_;    // of each layer: its input from the embedding or layer below
  std::vector<Linear> bridges_;       // of each layer: its first hidden state from the summary
  std::vector<Linear> cell_bridges_;  // the same for the cells of an LSTM
  Linear from_context_;               // first layer, attention none and additive
  Linear from_readout_;               // first layer, input feeding
  Linear query_;                      // additive
  Linear key_;                        // additive and general
  Parameter alignment_;               // additive
  Linear read_state_, read_embedding_, read_context_;
};

}  // namespace dragoman
