#include "models/model.h"

#include <cmath>

#include "models/recurrent_decoder.h"
#include "models/recurrent_encoder.h"
#include "models/transformer_decoder.h"
#include "models/transformer_encoder.h"

namespace dragoman {
namespace {

std::unique_ptr<Encoder> make_encoder(const Scope& scope, const EncoderConfig& config) {
  switch (config.type) {
    case StackType::kTransformer:
      return std::make_unique<TransformerEncoder>(scope, config);
    case StackType::kLstm:
    case StackType::kGru:
      return std::make_unique<RecurrentEncoder>(scope, config);
  }
  fail_unknown(config.type);
}

std::unique_ptr<Decoder> make_decoder(const Scope& scope, const DecoderConfig& config,
                                      int64_t memory_dim) {
  switch (config.type) {
    case StackType::kTransformer:
      return std::make_unique<TransformerDecoder>(scope, config, memory_dim);
    case StackType::kLstm:
    case StackType::kGru:
      return std::make_unique<RecurrentDecoder>(scope, config, memory_dim);
  }
  fail_unknown(config.type);
}

}  // namespace

Model::Model(const ModelConfig& config, int64_t source_vocabulary, int64_t target_vocabulary,
             uint64_t seed, Device device)
    : device_(device),
      target_vocabulary_(target_vocabulary),
      scale_embeddings_(config.scale_embeddings) {
  const Scope scope(parameters_);
  const int64_t source_width = config.encoder.embedding_width();
  const int64_t target_width = config.decoder.embedding_width();
  check(!config.tie_source_target ||
            (source_vocabulary == target_vocabulary && source_width == target_width),
        "tied source and target embeddings need one vocabulary and one width, not {} x {} and "
        "{} x {}",
        source_vocabulary, source_width, target_vocabulary, target_width);
  target_embedding_ = (scope / "target_embedding")
                          .add("weight", {target_vocabulary, target_width}, Start::kWeights);
  source_embedding_ = config.tie_source_target
                          ? target_embedding_
                          : (scope / "source_embedding")
                                .add("weight", {source_vocabulary, source_width}, Start::kWeights);
  encoder_ = make_encoder(scope / "encoder", config.encoder);
  decoder_ = make_decoder(scope / "decoder", config.decoder, config.encoder.memory_width());
  output_weight_ =
      config.tie_output
          ? target_embedding_
          : (scope / "output")
                .add("weight", {target_vocabulary, config.decoder.output_width()}, Start::kWeights);
  output_bias_ = (scope / "output").add("bias", {target_vocabulary}, Start::kZeros);
  parameters_.allocate(device, seed, {.kind = config.initializer, .scale = config.init_scale});
}

TokenBatch Model::load(const Sentences& sources) const {
  return {Tensor::from(sources.ids, {sources.tokens()}, device_),
          pack(sources.offsets, encoder_->limits().in_time, device_)};
}

Variable Model::embed(Tape& tape, const Parameter& table, const Tensor& ids) const {
  const auto width = static_cast<double>((*table).columns());
  return embedding(tape, *table, ids,
                   scale_embeddings_ ? static_cast<real>(std::sqrt(width)) : real{1});
}

Variable Model::logits(Tape& tape, const Variable& features) const {
  return linear(tape, features, *output_weight_, *output_bias_);
}

Memory Model::encode(Tape& tape, const TokenBatch& source, AttentionMaps* maps) const {
  return encoder_->encode(tape, embed(tape, source_embedding_, source.ids), source.packing, maps);
}

Variable Model::features(Tape& tape, const Memory& memory, const TokenBatch& target_input,
                         AttentionMaps* maps) const {
  return decoder_->decode(tape, memory, embed(tape, target_embedding_, target_input.ids),
                          target_input.packing, maps);
}

Variable Model::decode(Tape& tape, const Memory& memory, const TokenBatch& target_input,
                       AttentionMaps* maps) const {
  return logits(tape, features(tape, memory, target_input, maps));
}

CrossEntropy Model::loss(Tape& tape, const DeviceBatch& batch, real label_smoothing) const {
  const Memory memory = encode(tape, batch.source());
  return cross_entropy(tape, features(tape, memory, batch.target_input(), nullptr), *output_weight_,
                       *output_bias_, batch.targets(), label_smoothing);
}

std::unique_ptr<DecoderState> Model::start(Tape& tape, const Memory& memory) const {
  return decoder_->start(tape, memory);
}

Model::Step Model::step(Tape& tape, DecoderState& state, const Tensor& ids,
                        bool want_attention) const {
  const DecoderStep step =
      decoder_->step(tape, state, embed(tape, target_embedding_, ids), want_attention);
  return {logits(tape, step.features).value(), step.attention};
}

void Model::reorder(DecoderState& state, const Tensor& rows) const {
  decoder_->reorder(state, rows);
}

}  // namespace dragoman
