#include "models/stack.h"

#include "ops/steps.h"

namespace dragoman {

struct Stack::State : DecoderState {
  Read read;                                        // which memory each hypothesis attends to
  std::vector<std::unique_ptr<MixerState>> layers;  // of each layer
  Tensor history;         // int32 [hypotheses, steps]: the number of each token of each hypothesis,
  int64_t used_rows = 0;  // which counts all tokens that there were
};

namespace {

BlockOptions block_options(const StackConfig& config) {
  return {.dim = config.dim,
          .heads = config.heads,
          .ffn_dim = config.ffn_dim,
          .pre_norm = config.norm == NormPlacement::kPre,
          .normalization = config.normalization,
          .activation = config.activation,
          .dropout = static_cast<real>(config.dropout),
          .attention_dropout = static_cast<real>(config.attention_dropout),
          .activation_dropout = static_cast<real>(config.activation_dropout)};
}

Positions make_positions(const Scope& scope, const StackConfig& config) {
  switch (config.positions) {
    case PositionKind::kSinusoidal:
      return Positions(config.dim);
    case PositionKind::kLearned:
      return Positions(scope / "positions", config.dim, config.max_positions);
  }
  fail_unknown(config.positions);
}

}  // namespace

Stack::Stack(const Scope& scope, const StackConfig& config)
    : dim_(config.dim),
      embedding_dropout_(static_cast<real>(config.embedding_dropout)),
      positions_(make_positions(scope, config)) {}

Stack::Stack(const Scope& scope, const EncoderConfig& config)
    : Stack(scope, static_cast<const StackConfig&>(config)) {
  add_layers(scope, config, /*with_memory=*/false);
}

Stack::Stack(const Scope& scope, const DecoderConfig& config, int64_t memory_width)
    : Stack(scope, static_cast<const StackConfig&>(config)) {
  const int64_t layers = config.layers;
  key_values_ =
      Linear(scope / "memory" / "key_value", memory_width, 2 * dim_ * layers, true, 2 * layers);
  add_layers(scope, config, /*with_memory=*/true);
}

void Stack::add_layers(const Scope& scope, const StackConfig& config, bool with_memory) {
  const BlockOptions options = block_options(config);
  for (int number = 0; number < config.layers; ++number) {
    const Scope place = scope / number, of_mixer = place / (with_memory ? "self" : "attention");
    Layer layer;
    layer.mixer_frame = Residual(of_mixer, options);
    layer.mixer = make_mixer(MixerKind::kAttention, of_mixer, options, /*causal=*/with_memory);
    if (with_memory) {
      layer.cross_frame = Residual(place / "cross", options);
      layer.cross = std::make_unique<CrossAttention>(place / "cross", options);
    }
    layer.ffn_frame = Residual(place / "ffn", options);
    layer.ffn = FeedForward(place / "ffn", options);
    layers_.push_back(std::move(layer));
  }
  end_ = StackEnd(scope, options);
}

template <class Mix>
Stream Stack::run_layer(Tape& tape, size_t number, const Stream& stream, Mix mix, const Read* read,
                        Tensor* weights) const {
  const Layer& layer = layers_[number];
  Stream next = layer.mixer_frame(tape, stream, mix);
  if (layer.cross) {
    const int64_t begin = static_cast<int64_t>(number) * 2 * dim_;
    next = layer.cross_frame(tape, next, [&](const Variable& x) {
      return (*layer.cross)(tape, x, read->key_values, begin, read->layout, weights);
    });
  }
  return layer.ffn_frame(tape, next, [&](const Variable& x) { return layer.ffn(tape, x); });
}

Variable Stack::operator()(Tape& tape, const Variable& embedded, const Packing& packing,
                           const Memory* memory, DType type, AttentionMaps* maps) const {
  using Kind = AttentionMap::Kind;
  Read read;
  if (memory) {
    read = {key_values_(tape, memory->states, tape.products()),
            cross_layout(packing, memory->packing)};
  }
  Stream stream{positions_(tape, embedded, packing.positions, packing.longest, embedding_dropout_)};
  for (size_t number = 0; number < layers_.size(); ++number) {
    Tensor weights, cross_weights;
    const auto mix = [&](const Variable& x) {
      return (*layers_[number].mixer)(tape, x, packing, maps ? &weights : nullptr);
    };
    stream = run_layer(tape, number, stream, mix, &read, maps ? &cross_weights : nullptr);
    const auto keep = [&](Kind kind, const Tensor& found) {
      if (found.defined()) maps->push_back({kind, static_cast<int64_t>(number), found});
    };
    keep(memory ? Kind::kDecoder : Kind::kEncoder, weights);
    keep(Kind::kCross, cross_weights);
  }
  return end_(tape, stream, type);
}

std::unique_ptr<DecoderState> Stack::start(Tape& tape, const Memory& memory) const {
  auto state = std::make_unique<State>();
  const int64_t n = memory.packing.sentences();
  const Device device = memory.packing.offsets.device();
  state->read = {key_values_(tape, memory.states, tape.products()),
                 {.query_offsets = iota(n + 1, device),
                  .key_offsets = memory.packing.offsets,
                  .key_segments = iota(n, device),
                  .longest_key = memory.packing.longest}};
  for (const Layer& layer : layers_) state->layers.push_back(layer.mixer->start(n, device));
  state->history = Tensor::empty({n, 0}, DType::kInt32, device);
  return state;
}

Variable Stack::step(Tape& tape, DecoderState& base, const Variable& embedded,
                     Tensor* weights) const {
  auto& state = static_cast<State&>(base);
  const Device device = embedded.value().device();
  const int64_t n = embedded.rows();
  const auto position = static_cast<int32_t>(state.history.shape()[1]);
  state.history = with_next_step(state.history, state.used_rows);
  state.used_rows += n;
  const Place place{.positions = iota(n, device, position, 0),
                    .history = {.query_offsets = state.read.layout.query_offsets,
                                .key_offsets = iota(n + 1, device, 0, position + 1),
                                .key_rows = state.history,
                                .longest_key = position + 1,
                                .queries_last = true}};
  Stream stream{positions_(tape, embedded, place.positions, position + 1, embedding_dropout_)};
  for (size_t number = 0; number < layers_.size(); ++number) {
    const bool last = number + 1 == layers_.size();
    const auto mix = [&](const Variable& x) {
      return layers_[number].mixer->step(tape, x, place, *state.layers[number]);
    };
    stream = run_layer(tape, number, stream, mix, &state.read, last ? weights : nullptr);
  }
  return end_(tape, stream, tape.products());
}

void Stack::reorder(DecoderState& base, const Tensor& rows) const {
  auto& state = static_cast<State&>(base);
  state.history = take_rows(state.history, rows);
  for (const auto& layer : state.layers) layer->reorder(rows);
  AttentionLayout& layout = state.read.layout;
  layout.key_segments = take_rows(layout.key_segments, rows);
  if (layout.groups() != rows.size()) layout.query_offsets = iota(rows.size() + 1, rows.device());
}

}  // namespace dragoman
