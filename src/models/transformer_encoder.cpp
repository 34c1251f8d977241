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
      positions_(make_positions(scope, config)) {
  const BlockOptions options = block_options(config);
  for (int number = 0; number < config.layers; ++number) {
    const Scope place = scope / number;
    layers_.push_back({Residual(place / "attention", options),
                       SelfAttention(place / "attention", options),
                       Residual(place / "ffn", options), FeedForward(place / "ffn", options)});
  }
  end_ = StackEnd(scope, options);
}

Memory TransformerEncoder::encode(Tape& tape, const Variable& embedded, const Packing& packing,
                                  AttentionMaps* maps) const {
  const AttentionLayout layout = self_layout(packing);
  Stream stream{positions_(tape, embedded, packing.positions, packing.longest, embedding_dropout_)};
  for (const Layer& layer : layers_) {
    Tensor weights;
    stream = layer.attention_frame(tape, stream, [&](const Variable& x) {
      return layer.attention(tape, x, layout, /*causal=*/false, maps ? &weights : nullptr);
    });
    if (maps) maps->push_back({AttentionMap::Kind::kEncoder, &layer - layers_.data(), weights});
    stream = layer.ffn_frame(tape, stream, [&](const Variable& x) { return layer.ffn(tape, x); });
  }
  const Variable states = end_(tape, stream, DType::kReal);
  return {states, packing, {}};
}

}  // namespace dragoman
