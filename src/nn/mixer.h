// A layer that mixes the tokens of a sentence: what a token becomes depends on the others. One file
// a mechanism; make_mixer knows them all.
#pragma once

#include <memory>

#include "nn/blocks.h"
#include "nn/packing.h"

namespace dragoman {

/// Where hypotheses stand that are written token by token: the same for all layers of a stack. Each
/// hypothesis is one row of what a step reads.
struct Place {
  Tensor positions;  ///< int32 [hypotheses]: the position of the token that the step reads, from 0.
  /// Each hypothesis a group of one query, whose keys are the rows of its tokens, the step's own
  /// the last, among all rows that a cache was given: every step gives it one a hypothesis, in
  /// order.
  AttentionLayout history;
};

/// What one layer keeps of the tokens that hypotheses have had so far. Only its mixer knows what is
/// in it.
class MixerState {
 public:
  virtual ~MixerState() = default;
  /// Hypothesis i goes on from what was hypothesis rows[i] (int32); their number may change. The
  /// rows of Place::history are put in order by whoever keeps them.
  virtual void reorder(const Tensor& rows) = 0;
};

/// Stepping through a sentence gives what all of its tokens at once give, unless a token sees those
/// after it.
class Mixer {
 public:
  virtual ~Mixer() = default;
  /// All tokens of a batch at once: x [tokens, dim] -> [tokens, dim], as the tape's products.
  /// `weights`, if not null, receives how much each token took from which, [tokens, heads,
  /// longest], from a mixer that has such weights.
  virtual Variable operator()(Tape& tape, const Variable& x, const Packing& packing,
                              Tensor* weights) const = 0;
  /// The state before the first token of each of `hypotheses`.
  virtual std::unique_ptr<MixerState> start(int64_t hypotheses, Device device) const = 0;
  /// The next token of each hypothesis: x [hypotheses, dim] -> [hypotheses, dim].
  virtual Variable step(Tape& tape, const Variable& x, const Place& place,
                        MixerState& state) const = 0;
};

/// Which mixer.
enum class MixerKind { kAttention };

/// `causal`: a token sees those before it and itself, and no others.
std::unique_ptr<Mixer> make_mixer(MixerKind kind, const Scope& scope, const BlockOptions& options,
                                  bool causal);

}  // namespace dragoman
