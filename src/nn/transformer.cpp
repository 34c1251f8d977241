#include "nn/transformer.h"

#include <algorithm>
#include <cmath>

namespace dragoman {
namespace {

real attention_scale(int64_t dim, int64_t heads) {
  return static_cast<real>(1 / std::sqrt(static_cast<double>(dim / heads)));
}

}  // namespace

Residual::Residual(const Scope& scope, const BlockOptions& options)
    : norm_(scope / "norm", options.dim, options.normalization),
      pre_norm_(options.pre_norm),
      dropout_(options.dropout) {}

StackEnd::StackEnd(const Scope& scope, const BlockOptions& options)
    : pre_norm_(options.pre_norm), dropout_(options.dropout) {
  if (pre_norm_) norm_ = Normalization(scope / "norm", options.dim, options.normalization);
}

Variable StackEnd::operator()(Tape& tape, const Stream& stream, DType type) const {
  return pre_norm_ ? norm_(tape, stream.x, stream.added, dropout_, type).normed : stream.x;
}

void KeyValueCache::append(const Tensor& from, int64_t begin) {
  const int64_t added = from.rows(), columns = from.columns() - begin;
  if (!storage_.defined() || used_ + added > storage_.rows()) {
    // Doubling keeps the copies to one an element on average.
    const int64_t capacity = std::max(2 * used_, 16 * added);
    Tensor larger = Tensor::empty({capacity, columns}, from.dtype(), from.device());
    if (used_ > 0) larger.slice_rows(0, used_).copy_from(rows());
    storage_ = larger;
  }
  copy_columns(from, begin, storage_.slice_rows(used_, used_ + added), 0, columns);
  used_ += added;
}

SelfAttention::SelfAttention(const Scope& scope, const BlockOptions& options)
    : query_key_value_(scope / "query_key_value", options.dim, 3 * options.dim),
      output_(scope / "output", options.dim, options.dim),
      dim_(options.dim),
      heads_(options.heads),
      dropout_(options.attention_dropout) {}

AttentionOptions SelfAttention::options(const Tape& tape) const {
  return {.heads = heads_,
          .scale = attention_scale(dim_, heads_),
          .dropout = dropout_,
          .type = tape.products()};
}

Variable SelfAttention::operator()(Tape& tape, const Variable& x, const AttentionLayout& layout,
                                   bool causal, Tensor* weights) const {
  const Variable all = query_key_value_(tape, x, tape.products());
  AttentionOptions chosen = options(tape);
  chosen.causal = causal;
  chosen.weights = weights;
  return output_(
      tape,
      attention(tape, {all, 0, dim_}, {all, dim_, dim_}, {all, 2 * dim_, dim_}, layout, chosen),
      tape.products());
}

Variable SelfAttention::step(Tape& tape, const Variable& x, KeyValueCache& cache,
                             const AttentionLayout& layout) const {
  const Variable all = query_key_value_(tape, x, tape.products());
  cache.append(all.value(), dim_);
  const Variable rows(cache.rows());
  return output_(
      tape,
      attention(tape, {all, 0, dim_}, {rows, 0, dim_}, {rows, dim_, dim_}, layout, options(tape)),
      tape.products());
}

CrossAttention::CrossAttention(const Scope& scope, const BlockOptions& options)
    : query_(scope / "query", options.dim, options.dim),
      output_(scope / "output", options.dim, options.dim),
      dim_(options.dim),
      heads_(options.heads),
      dropout_(options.attention_dropout) {}

Variable CrossAttention::operator()(Tape& tape, const Variable& x, const Variable& key_values,
                                    int64_t begin, const AttentionLayout& layout,
                                    Tensor* weights) const {
  const AttentionOptions options{.heads = heads_,
                                 .scale = attention_scale(dim_, heads_),
                                 .dropout = dropout_,
                                 .type = tape.products(),
                                 .weights = weights};
  const Variable query = query_(tape, x, key_values.value().dtype());
  return output_(tape,
                 attention(tape, query, {key_values, begin, dim_}, {key_values, begin + dim_, dim_},
                           layout, options),
                 tape.products());
}

FeedForward::FeedForward(const Scope& scope, const BlockOptions& options)
    : in_(scope / "in", options.dim, (is_gated(options.activation) ? 2 : 1) * options.ffn_dim, true,
          is_gated(options.activation) ? 2 : 1),
      out_(scope / "out", options.ffn_dim, options.dim),
      activation_(options.activation),
      dropout_(options.activation_dropout) {}

Variable FeedForward::operator()(Tape& tape, const Variable& x) const {
  const DType type = tape.products();
  if (activation_ == "relu" && !(tape.training() && dropout_ > 0)) {
    return feed_forward(tape, x, in_.weight(), in_.bias(), out_.weight(), out_.bias(), type);
  }
  return out_(tape,
              activate(tape, activation_, in_(tape, x, type), {.dropout = dropout_, .type = type}),
              type);
}

}  // namespace dragoman
