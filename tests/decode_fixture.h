// A few lines, a vocabulary for them, and small random models.
#pragma once

#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/vocabulary.h"
#include "models/model.h"
#include "temporary_directory.h"

namespace dragoman {

inline const std::vector<std::string>& corpus() {
  static const std::vector<std::string> lines = {
      "a man in a blue shirt is standing on a ladder",
      "two young people are walking along the street",
      "a dog runs",
      "the girl with the red hair reads a book about old ships and the men who sailed them",
      "children play in the water near the beach while their parents watch them",
      "a woman holds a cup",
      "several men in hard hats are operating a giant pulley system",
      "he sleeps",
  };
  return lines;
}

inline const Vocabularies& vocabularies() {
  static const Vocabularies shared = [] {
    const TemporaryDirectory directory;
    const auto path = directory / "corpus.txt";
    std::ofstream out(path);
    for (const std::string& line : corpus()) out << line << '\n';
    out.close();
    VocabularyConfig config;
    config.size = 64;
    const Vocabulary vocabulary = Vocabulary::train(config, {path.string()});
    return Vocabularies{vocabulary, vocabulary};
  }();
  return shared;
}

using enum StackType;
using enum AttentionKind;
using enum PrecisionSetting;

struct Architecture {
  std::string name;
  StackType encoder;
  StackType decoder;
  AttentionKind attention;
  int max_positions = 0;  // of learned positions; 0: sinusoidal
};

inline void PrintTo(const Architecture& architecture, std::ostream* out) {
  *out << architecture.name;
}

// Of a small model; wild weights make its probabilities uneven.
inline ModelConfig config_of(const Architecture& architecture) {
  ModelConfig config;
  config.initializer = InitializerKind::kNormal;
  config.init_scale = 0.35;
  config.scale_embeddings = false;
  for (StackConfig* stack :
       {static_cast<StackConfig*>(&config.encoder), static_cast<StackConfig*>(&config.decoder)}) {
    stack->layers = 2;
    stack->dim = 32;
    stack->ffn_dim = 64;
    stack->embedding_dim = 32;
    if (architecture.max_positions > 0) {
      stack->positions = PositionKind::kLearned;
      stack->max_positions = architecture.max_positions;
    }
  }
  config.encoder.type = architecture.encoder;
  config.decoder.type = architecture.decoder;
  config.decoder.attention = architecture.attention;
  config.decoder.attention_dim = 16;
  config.decoder.readout_dim = 32;
  config.decoder.input_feeding = architecture.attention == kGeneral;
  return config;
}

// A random model.
inline Model make_model(const Architecture& architecture, Device device = {}, uint64_t seed = 7) {
  const int64_t size = vocabularies().source.size();
  return Model(config_of(architecture), size, size, seed, device);
}

inline DecodingConfig quick_decoding(Device device = {}) {
  DecodingConfig decoding;
  decoding.beam_size = 4;
  decoding.n_best = 4;
  // An emulated GPU is slow: steps enough that the search looks, and goes on.
  decoding.max_length = device.on_gpu() ? 12 : 30;
  return decoding;
}

}  // namespace dragoman
