#include "models/recurrent_encoder.h"

namespace dragoman {

RecurrentEncoder::RecurrentEncoder(const Scope& scope, const EncoderConfig& config)
    : embedding_dropout_(static_cast<real>(config.embedding_dropout)),
      dropout_(static_cast<real>(config.dropout)),
      residual_(config.residual),
      bidirectional_(config.bidirectional) {
  const RecurrentCell::Kind kind = cell_kind(config.type);
  for (int number = 0; number < config.layers; ++number) {
    const int64_t in = number == 0 ? config.embedding_dim : config.memory_width();
    Layer layer;
    layer.directions.emplace_back(scope / number / "forwards", kind, in, config.dim,
                                  config.layer_norm, false);
    if (bidirectional_) {
      layer.directions.emplace_back(scope / number / "backwards", kind, in, config.dim,
                                    config.layer_norm, true);
    }
    layers_.push_back(std::move(layer));
  }
}

Memory RecurrentEncoder::encode(Tape& tape, const Variable& embedded, const Packing& packing,
                                AttentionMaps* /*maps*/) const {
  const TimeOrder &forwards = packing.forwards, &backwards = packing.backwards;
  Variable x = dropout(tape, embedded, embedding_dropout_);
  std::vector<Permutation> orders = {forwards.packed()};
  if (bidirectional_) orders.push_back(backwards.packed());
  std::vector<Variable> outputs;
  for (size_t number = 0; number < layers_.size(); ++number) {
    outputs.clear();
    for (const RecurrentLayer& layer : layers_[number].directions) {
      outputs.push_back(layer(tape, x, layer.backwards() ? backwards : forwards));
    }
    Variable y = permute_rows(tape, outputs, orders);
    if (number + 1 < layers_.size()) y = dropout(tape, y, dropout_);
    x = residual_ && number > 0 ? add(tape, x, y) : y;
  }
  std::vector<Variable> ends = {gather_rows(tape, outputs[0], forwards.ends)};
  if (bidirectional_) ends.push_back(gather_rows(tape, outputs[1], backwards.ends));
  return {x, packing, bidirectional_ ? concat_columns(tape, ends) : ends[0]};
}

}  // namespace dragoman
