#include "models/transformer_decoder.h"

#include <numeric>

#include "models/transformer_encoder.h"
#include "tensor/launch.h"

namespace dragoman {

// Every layer's cache holds its rows in the same order, so one list of row numbers a hypothesis
// serves them all.
struct TransformerDecoder::State : DecoderState {
  Variable key_values;                        // of the memory, for all layers
  AttentionLayout cross;                      // which memory each hypothesis attends to
  std::vector<int32_t> segments;              // the same on the host
  std::vector<KeyValueCache> caches;          // of each layer
  std::vector<std::vector<int32_t>> history;  // of each hypothesis: its rows in the caches
  int32_t used_rows = 0;                      // in every cache
};

namespace {

// Hypotheses one query each, the keys of each the rows that its history lists.
AttentionLayout history_layout(const std::vector<std::vector<int32_t>>& history, Device device) {
  const auto n = static_cast<int64_t>(history.size());
  std::vector<int32_t> offsets = {0};
  std::vector<int32_t> rows;
  for (const std::vector<int32_t>& list : history) {
    rows.insert(rows.end(), list.begin(), list.end());
    offsets.push_back(static_cast<int32_t>(rows.size()));
  }
  return {.query_offsets = iota(n + 1, device),
          .key_offsets = Tensor::from(offsets, {n + 1}, device),
          .key_rows = Tensor::from(rows, {static_cast<int64_t>(rows.size())}, device),
          .longest_key = n > 0 ? static_cast<int64_t>(history[0].size()) : 0};
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
  const Variable key_values = key_values_(tape, memory.states);
  const Variable placed = positions_(tape, embedded, packing.positions, packing.longest);
  Stream stream{dropout(tape, placed, embedding_dropout_)};
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
  state->key_values = key_values_(tape, memory.states);
  state->cross = {.query_offsets = iota(n + 1, memory.packing.offsets.device()),
                  .key_offsets = memory.packing.offsets,
                  .longest_key = memory.packing.longest};
  state->segments.resize(static_cast<size_t>(n));
  std::iota(state->segments.begin(), state->segments.end(), 0);
  state->caches.resize(layers_.size());
  state->history.resize(static_cast<size_t>(n));
  return state;
}

DecoderStep TransformerDecoder::step(Tape& tape, DecoderState& base, const Variable& embedded,
                                     bool want_attention) const {
  auto& state = static_cast<State&>(base);
  const Device device = embedded.value().device();
  const auto place = static_cast<int32_t>(state.history[0].size());
  for (std::vector<int32_t>& rows : state.history) rows.push_back(state.used_rows++);
  const AttentionLayout self = history_layout(state.history, device);
  const std::vector<int32_t> places(state.history.size(), place);
  const Variable placed = positions_(tape, embedded, Tensor::from(places), place + 1);
  Stream stream{dropout(tape, placed, embedding_dropout_)};
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

void TransformerDecoder::reorder(DecoderState& base, const std::vector<int32_t>& rows) const {
  auto& state = static_cast<State&>(base);
  std::vector<std::vector<int32_t>> history;
  std::vector<int32_t> segments;
  for (const int32_t row : rows) {
    history.push_back(state.history[static_cast<size_t>(row)]);
    segments.push_back(state.segments[static_cast<size_t>(row)]);
  }
  state.history = std::move(history);
  state.segments = std::move(segments);
  const auto n = static_cast<int64_t>(rows.size());
  const Device device = state.cross.key_offsets.device();
  state.cross.query_offsets = iota(n + 1, device);
  state.cross.key_segments = Tensor::from(state.segments, {n}, device);
}

}  // namespace dragoman
