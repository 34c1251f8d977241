#include "models/transformer_encoder.h"

namespace dragoman {

BlockOptions block_options(const StackConfig& config) {
  return {.dim = config.dim,
          .heads = config.heads,
          .ffn_dim = config.ffn_dim,
          .pre_norm = config.norm == "pre",
          .normalization = normalization_kind(config.normalization),
          .activation = config.activation,
          .dropout = static_cast<real>(config.dropout),
          .attention_dropout = static_cast<real>(config.attention_dropout),
          .activation_dropout = static_cast<real>(config.activation_dropout)};
}

Positions make_positions(const Scope& scope, const StackConfig& config) {
  if (config.positions == "sinusoidal") return Positions(config.dim);
  return Positions(scope / "positions", config.dim, config.max_positions);
}

TransformerEncoder::TransformerEncoder(const Scope& scope, const EncoderConfig& config)
    : embedding_dropout_(static_cast<real>(config.embedding_dropout)),
      pre_norm_(config.norm == "pre"),
      positions_(make_positions(scope, config)) {
  const BlockOptions options = block_options(config);
  for (int number = 0; number < config.layers; ++number) {
    const Scope place = scope / number;
    layers_.push_back({Residual(place / "attention", options),
                       SelfAttention(place / "attention", options),
                       Residual(place / "ffn", options), FeedForward(place / "ffn", options)});
  }
  if (pre_norm_) final_norm_ = Normalization(scope / "norm", options.dim, options.normalization);
}

Memory TransformerEncoder::encode(Tape& tape, const Variable& embedded,
                                  const Packing& packing) const {
  const AttentionLayout layout = self_layout(packing);
  Variable x = positions_(tape, embedded, packing.positions, packing.longest);
  x = dropout(tape, x, embedding_dropout_);
  for (const Layer& layer : layers_) {
    x = layer.attention_frame(tape, x, [&](const Variable& inner) {
      return layer.attention(tape, inner, layout, /*causal=*/false);
    });
    x = layer.ffn_frame(tape, x, [&](const Variable& inner) { return layer.ffn(tape, inner); });
  }
  if (pre_norm_) x = final_norm_(tape, x);
  return {x, packing, mean_rows(tape, x, packing.offsets)};
}

}  // namespace dragoman
