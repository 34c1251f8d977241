// What a layer of a stack is made of besides its mixers (Vaswani et al. 2017): the residual sum
// with its dropout and normalisation, and the feed-forward block.
#pragma once

#include "nn/layers.h"

namespace dragoman {

/// What the layers of a stack have in common.
struct BlockOptions {
  int64_t dim = 256;
  int64_t heads = 4;
  int64_t ffn_dim = 1024;
  bool pre_norm =
      true;  ///< Normalise what enters a block (Xiong et al. 2020), or the residual sum.
  Normalization::Kind normalization = Normalization::Kind::kLayerNorm;
  Activation activation = Activation::kRelu;
  real dropout = 0;             ///< Of what a block adds.
  real attention_dropout = 0;   ///< Of the attention weights.
  real activation_dropout = 0;  ///< Inside the feed-forward block.
};

/// What flows through a stack: the residual sum, and what the last block adds to it. The addition
/// is left to the norm that follows, which makes it in the same pass.
struct Stream {
  Variable x;
  Variable added = {};  ///< Undefined where nothing is left to add.
};

/// The frame around every block: x + dropout(f(norm(x))), or norm(x + dropout(f(x))).
class Residual {
 public:
  Residual() = default;
  Residual(const Scope& scope, const BlockOptions& options);

  /// `block` begins with matrix products, its argument's only readers where the norm comes first.
  template <class F>
  Stream operator()(Tape& tape, const Stream& in, F block) const {
    if (!pre_norm_) return {norm_(tape, in.x, block(in.x), dropout_, DType::kReal).normed};
    if (!in.added.defined()) return {in.x, block(norm_(tape, in.x, tape.products()))};
    const auto [sum, normed] = norm_(tape, in.x, in.added, dropout_, tape.products());
    return {sum, block(normed)};
  }

 private:
  Normalization norm_;
  bool pre_norm_ = true;
  real dropout_ = 0;
};

/// What a stack ends with: the norm of the whole sum, where the blocks' norms come first.
class StackEnd {
 public:
  StackEnd() = default;
  StackEnd(const Scope& scope, const BlockOptions& options);
  Variable operator()(Tape& tape, const Stream& stream, DType type) const;

 private:
  Normalization norm_;
  bool pre_norm_ = true;
  real dropout_ = 0;
};

/// activation(x W1 + b1) W2 + b2 (Vaswani et al. 2017, equation 2), with a gated activation if
/// asked for.
class FeedForward {
 public:
  FeedForward() = default;
  FeedForward(const Scope& scope, const BlockOptions& options);
  Variable operator()(Tape& tape, const Variable& x) const;

 private:
  Linear in_;
  Linear out_;
  Activation activation_ = Activation::kRelu;
  real dropout_ = 0;
};

}  // namespace dragoman
