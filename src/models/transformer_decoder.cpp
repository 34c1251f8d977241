#include "models/transformer_decoder.h"

#include <numeric>

#include "models/transformer_encoder.h"
#include "tensor/launch.h"

namespace dragoman {

// Every layer's cache holds its rows in the same order, so one list of row numbers a hypothesis
// serves them all.
struct TransformerDecoder::State : DecoderState {
  std::vector<Variable> memories;             // of each layer: keys and values of the memory
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
      pre_norm_(config.norm == "pre"),
      positions_(make_positions(scope, config)) {
  const BlockOptions options = block_options(config);
  for (int number = 0; number < config.layers; ++number) {
    const Scope place = scope / number;
    layers_.push_back({Residual(place / "self", options), SelfAttention(place / "self", options),
                       Residual(place / "cross", options),
                       CrossAttention(place / "cross", options, memory_dim),
                       Residual(place / "ffn", options), FeedForward(place / "ffn", options)});
  }
  if (pre_norm_) final_norm_ = Normalization(scope / "norm", options.dim, options.normalization);
}

template <class Attend>
Variable TransformerDecoder::run_layer(Tape& tape, const Layer& layer, const Variable& x,
                                       Attend attend, const Variable& memory,
                                       const AttentionLayout& cross, Tensor* weights) const {
  Variable y = layer.self_frame(tape, x, attend);
  y = layer.cross_frame(tape, y, [&](const Variable& inner) {
    return layer.cross_attention(tape, inner, memory, cross, weights);
  });
  return layer.ffn_frame(tape, y, [&](const Variable& inner) { return layer.ffn(tape, inner); });
}

Variable TransformerDecoder::decode(Tape& tape, const Memory& memory, const Variable& embedded,
                                    const Packing& packing) const {
  const AttentionLayout self = self_layout(packing);
  const AttentionLayout cross = cross_layout(packing, memory.packing);
  Variable x = positions_(tape, embedded, packing.positions, packing.longest);
  x = dropout(tape, x, embedding_dropout_);
  for (const Layer& layer : layers_) {
    x = run_layer(
        tape, layer, x,
        [&](const Variable& inner) {
          return layer.self_attention(tape, inner, self, /*causal=*/true);
        },
        layer.cross_attention.prepare(tape, memory.states), cross, nullptr);
  }
  return pre_norm_ ? final_norm_(tape, x) : x;
}

std::unique_ptr<DecoderState> TransformerDecoder::start(Tape& tape, const Memory& memory) const {
  auto state = std::make_unique<State>();
  const int64_t n = memory.packing.sentences();
  for (const Layer& layer : layers_) {
    state->memories.push_back(layer.cross_attention.prepare(tape, memory.states));
  }
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
  Variable x = positions_(tape, embedded, Tensor::from(places), place + 1);
  x = dropout(tape, x, embedding_dropout_);
  Tensor weights;
  for (size_t number = 0; number < layers_.size(); ++number) {
    const Layer& layer = layers_[number];
    const bool last = number + 1 == layers_.size();
    x = run_layer(
        tape, layer, x,
        [&](const Variable& inner) {
          return layer.self_attention.step(tape, inner, state.caches[number], self);
        },
        state.memories[number], state.cross, last && want_attention ? &weights : nullptr);
  }
  return {pre_norm_ ? final_norm_(tape, x) : x,
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
