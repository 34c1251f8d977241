#include "models/transformer_decoder.h"

#include "models/transformer_encoder.h"
#include "tensor/launch.h"

namespace dragoman {

// Every layer's cache holds its rows in the same order, so that one history serves them all.
struct TransformerDecoder::State : DecoderState {
  Variable key_values;                // of the memory, for all layers
  AttentionLayout cross;              // which sentence's memory each hypothesis attends to
  std::vector<KeyValueCache> caches;  // of each layer
  Tensor history;                     // int32 [hypotheses, steps]: the rows of each in the caches
  int64_t used_rows = 0;              // in every cache
};

namespace {

// A history [n, steps] and one more step, whose rows are `first`, first + 1, ...
Tensor with_next_step(const Tensor& history, int64_t first) {
  const int64_t n = history.shape()[0], steps = history.shape()[1];
  Tensor longer = Tensor::empty({n, steps + 1}, DType::kInt32, history.device());
  const auto from = history.data<int32_t>();
  const auto to = longer.data<int32_t>();
  launch::map(longer.device(), longer.size(), [=] DRAGOMAN_HOST_DEVICE(int64_t i) {
    const int64_t hypothesis = i / (steps + 1), step = i % (steps + 1);
    to[i] =
        step < steps ? from[hypothesis * steps + step] : static_cast<int32_t>(first + hypothesis);
  });
  return longer;
}

// [n, heads, keys] -> [n, keys].
Tensor mean_over_heads(const Tensor& weights) {
  const int64_t n = weights.shape()[0], heads = weights.shape()[1], keys = weights.shape()[2];
  Tensor mean = Tensor::empty({n, keys}, DType::kReal, weights.device());
  const auto from = weights.data();
  const auto to = mean.data();
  launch::map(mean.device(), mean.size(), [=] DRAGOMAN_HOST_DEVICE(int64_t i) {
    const int64_t row = i / keys, key = i % keys;
    real total = 0;
    for (int64_t h = 0; h < heads; ++h) total += from[(row * heads + h) * keys + key];
    to[i] = total / static_cast<real>(heads);
  });
  return mean;
}

}  // namespace

TransformerDecoder::TransformerDecoder(const Scope& scope, const DecoderConfig& config,
                                       int64_t memory_dim)
    : embedding_dropout_(static_cast<real>(config.embedding_dropout)),
      dim_(config.dim),
      positions_(make_positions(scope, config)),
      key_values_(scope / "memory" / "key_value", memory_dim, 2 * dim_ * config.layers, true,
                  2 * config.layers) {
  const BlockOptions options = block_options(config);
  for (int number = 0; number < config.layers; ++number) {
    const Scope place = scope / number;
    layers_.push_back({Residual(place / "self", options), SelfAttention(place / "self", options),
                       Residual(place / "cross", options), CrossAttention(place / "cross", options),
                       Residual(place / "ffn", options), FeedForward(place / "ffn", options)});
  }
  end_ = StackEnd(scope, options);
}

template <class Attend>
Stream TransformerDecoder::run_layer(Tape& tape, size_t number, const Stream& stream, Attend attend,
                                     const Variable& key_values, const AttentionLayout& cross,
                                     Tensor* weights) const {
  const Layer& layer = layers_[number];
  const int64_t begin = static_cast<int64_t>(number) * 2 * dim_;
  Stream next = layer.self_frame(tape, stream, attend);
  next = layer.cross_frame(tape, next, [&](const Variable& x) {
    return layer.cross_attention(tape, x, key_values, begin, cross, weights);
  });
  return layer.ffn_frame(tape, next, [&](const Variable& x) { return layer.ffn(tape, x); });
}

Variable TransformerDecoder::decode(Tape& tape, const Memory& memory, const Variable& embedded,
                                    const Packing& packing, AttentionMaps* maps) const {
  const AttentionLayout self = self_layout(packing);
  const AttentionLayout cross = cross_layout(packing, memory.packing);
  const Variable key_values = key_values_(tape, memory.states, tape.products());
  Stream stream{positions_(tape, embedded, packing.positions, packing.longest, embedding_dropout_)};
  for (size_t number = 0; number < layers_.size(); ++number) {
    Tensor self_weights, cross_weights;
    const auto attend = [&](const Variable& x) {
      return layers_[number].self_attention(tape, x, self, /*causal=*/true,
                                            maps ? &self_weights : nullptr);
    };
    stream =
        run_layer(tape, number, stream, attend, key_values, cross, maps ? &cross_weights : nullptr);
    if (!maps) continue;
    const auto layer = static_cast<int64_t>(number);
    maps->push_back({AttentionMap::Kind::kDecoder, layer, self_weights});
    maps->push_back({AttentionMap::Kind::kCross, layer, cross_weights});
  }
  return end_(tape, stream, tape.products());
}

std::unique_ptr<DecoderState> TransformerDecoder::start(Tape& tape, const Memory& memory) const {
  auto state = std::make_unique<State>();
  const int64_t n = memory.packing.sentences();
  state->key_values = key_values_(tape, memory.states, tape.products());
  const Device device = memory.packing.offsets.device();
  state->cross = {.query_offsets = iota(n + 1, device),
                  .key_offsets = memory.packing.offsets,
                  .key_segments = iota(n, device),
                  .longest_key = memory.packing.longest};
  state->caches.resize(layers_.size());
  state->history = Tensor::empty({n, 0}, DType::kInt32, device);
  return state;
}

DecoderStep TransformerDecoder::step(Tape& tape, DecoderState& base, const Variable& embedded,
                                     bool want_attention) const {
  auto& state = static_cast<State&>(base);
  const Device device = embedded.value().device();
  const int64_t n = embedded.rows();
  const auto place = static_cast<int32_t>(state.history.shape()[1]);
  state.history = with_next_step(state.history, state.used_rows);
  state.used_rows += n;
  // Each hypothesis is one query, whose keys are the rows that its history lists.
  const AttentionLayout self{.query_offsets = state.cross.query_offsets,
                             .key_offsets = iota(n + 1, device, 0, place + 1),
                             .key_rows = state.history,
                             .longest_key = place + 1};
  Stream stream{
      positions_(tape, embedded, iota(n, device, place, 0), place + 1, embedding_dropout_)};
  Tensor weights;
  for (size_t number = 0; number < layers_.size(); ++number) {
    const bool last = number + 1 == layers_.size();
    const auto attend = [&](const Variable& x) {
      return layers_[number].self_attention.step(tape, x, state.caches[number], self);
    };
    stream = run_layer(tape, number, stream, attend, state.key_values, state.cross,
                       last && want_attention ? &weights : nullptr);
  }
  return {end_(tape, stream, tape.products()),
          want_attention ? mean_over_heads(weights) : Tensor()};
}

void TransformerDecoder::reorder(DecoderState& base, const Tensor& rows) const {
  auto& state = static_cast<State&>(base);
  state.history = take_rows(state.history, rows);
  state.cross.key_segments = take_rows(state.cross.key_segments, rows);
  if (state.cross.groups() != rows.size())
    state.cross.query_offsets = iota(rows.size() + 1, rows.device());
}

}  // namespace dragoman
