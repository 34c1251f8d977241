// Multi-head softmax attention (Vaswani et al. 2017, section 3.2): of the tokens of a sentence to
// each other, and to the memory.
#pragma once

#include "nn/mixer.h"

namespace dragoman {

/// Softmax attention of a sentence to itself; queries, keys and values come from one product. Its
/// state is the keys and values of all hypotheses that there were: putting hypotheses in another
/// order changes the numbers of the rows that each reads (Place::history), and copies no keys.
class SelfAttention : public Mixer {
 public:
  SelfAttention(const Scope& scope, const BlockOptions& options, bool causal);

  Variable operator()(Tape& tape, const Variable& x, const Packing& packing,
                      Tensor* weights) const override;
  std::unique_ptr<MixerState> start(int64_t hypotheses, Device device) const override;
  Variable step(Tape& tape, const Variable& x, const Place& place,
                MixerState& state) const override;

 private:
  AttentionOptions options(const Tape& tape) const;

  Linear query_key_value_;
  Linear output_;
  int64_t dim_;
  int64_t heads_;
  real dropout_;
  bool causal_;
};

/// Softmax attention to the memory, whose keys and values are columns of one product for all the
/// layers of a stack.
class CrossAttention {
 public:
  CrossAttention(const Scope& scope, const BlockOptions& options);

  /// key_values [memory tokens, ...] holds this layer's keys from the column `begin` on, and its
  /// values after them. `weights`, if not null, receives [queries, heads, longest].
  Variable operator()(Tape& tape, const Variable& x, const Variable& key_values, int64_t begin,
                      const AttentionLayout& layout, Tensor* weights) const;

 private:
  Linear query_;
  Linear output_;
  int64_t dim_;
  int64_t heads_;
  real dropout_;
};

}  // namespace dragoman
