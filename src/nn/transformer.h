// The blocks of the transformer (Vaswani et al. 2017): attention and feed-forward, each with its
// residual sum, dropout and normalisation.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/layers.h"

namespace dragoman {

/// What the blocks of a stack have in common.
struct BlockOptions {
  int64_t dim = 256;
  int64_t heads = 4;
  int64_t ffn_dim = 1024;
  bool pre_norm =
      true;  ///< Normalise what enters a block (Xiong et al. 2020), or the residual sum.
  Normalization::Kind normalization = Normalization::Kind::kLayerNorm;
  std::string activation = "relu";
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

/// Keys and values of the tokens that hypotheses have had so far. Whoever appends keeps the numbers
/// of each hypothesis' rows, so that putting hypotheses in another order copies numbers and no
/// keys.
class KeyValueCache {
 public:
  /// Adds one row for each hypothesis: the columns from `begin` on of [hypotheses, ...].
  void append(const Tensor& from, int64_t begin);

  /// All rows, in the order in which they were added.
  Tensor rows() const { return storage_.slice_rows(0, used_); }

 private:
  Tensor storage_;
  int64_t used_ = 0;
};

/// Multi-head self-attention; queries, keys and values come from one product.
class SelfAttention {
 public:
  SelfAttention() = default;
  SelfAttention(const Scope& scope, const BlockOptions& options);

  /// Every token of a batch at once. `weights`, if not null, receives [tokens, heads, longest].
  Variable operator()(Tape& tape, const Variable& x, const AttentionLayout& layout, bool causal,
                      Tensor* weights = nullptr) const;
  /// The next token of each hypothesis, after those in the cache, which it joins. The layout names
  /// the rows of the cache that each sees, the new one included.
  Variable step(Tape& tape, const Variable& x, KeyValueCache& cache,
                const AttentionLayout& layout) const;

 private:
  AttentionOptions options(const Tape& tape) const;

  Linear query_key_value_;
  Linear output_;
  int64_t dim_ = 0;
  int64_t heads_ = 1;
  real dropout_ = 0;
};

/// Multi-head attention to the memory, whose keys and values are columns of one product for all the
/// layers of a stack.
class CrossAttention {
 public:
  CrossAttention() = default;
  CrossAttention(const Scope& scope, const BlockOptions& options);

  /// key_values [memory tokens, ...] holds this layer's keys from the column `begin` on, and its
  /// values after them. `weights`, if not null, receives [queries, heads, longest].
  Variable operator()(Tape& tape, const Variable& x, const Variable& key_values, int64_t begin,
                      const AttentionLayout& layout, Tensor* weights = nullptr) const;

 private:
  Linear query_;
  Linear output_;
  int64_t dim_ = 0;
  int64_t heads_ = 1;
  real dropout_ = 0;
};

/// activation(x W1 + b1) W2 + b2 (ibid., equation 2), with a gated activation if asked for.
class FeedForward {
 public:
  FeedForward() = default;
  FeedForward(const Scope& scope, const BlockOptions& options);
  Variable operator()(Tape& tape, const Variable& x) const;

 private:
  Linear in_;
  Linear out_;
  std::string activation_;
  real dropout_ = 0;
};

}  // namespace dragoman
