#include "nn/blocks.h"

namespace dragoman {

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

FeedForward::FeedForward(const Scope& scope, const BlockOptions& options)
    : in_(scope / "in", options.dim, (is_gated(options.activation) ? 2 : 1) * options.ffn_dim, true,
          is_gated(options.activation) ? 2 : 1),
      out_(scope / "out", options.ffn_dim, options.dim),
      activation_(options.activation),
      dropout_(options.activation_dropout) {}

Variable FeedForward::operator()(Tape& tape, const Variable& x) const {
  const DType type = tape.products();
  if (activation_ == Activation::kRelu && !(tape.training() && dropout_ > 0)) {
    return feed_forward(tape, x, in_.weight(), in_.bias(), out_.weight(), out_.bias(), type);
  }
  return out_(tape,
              activate(tape, activation_, in_(tape, x, type), {.dropout = dropout_, .type = type}),
              type);
}

}  // namespace dragoman
