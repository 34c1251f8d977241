// Every architecture in small, for the tests that run through all of them, and batches for it.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/rng.h"
#include "data/batch.h"

namespace dragoman {

inline constexpr int64_t kVocabulary = 23;

// A small model of the architectures and options in a list of key=value.
inline ModelConfig small_model(const std::string& encoder, const std::string& decoder,
                               const std::vector<std::string>& sets = {}) {
  std::vector<std::string> all = {"model.encoder.type=" + encoder, "model.decoder.type=" + decoder,
                                  "model.encoder.layers=2",        "model.decoder.layers=2",
                                  "model.encoder.dim=12",          "model.decoder.dim=12",
                                  "model.tie_source_target=false", "model.tie_output=false"};
  for (const char* side : {"encoder", "decoder"}) {
    const std::string type = side == std::string("encoder") ? encoder : decoder;
    const std::string prefix = std::string("model.") + side + ".";
    if (type == "transformer") {
      all.push_back(prefix + "heads=3");
      all.push_back(prefix + "ffn_dim=16");
    } else {
      all.push_back(prefix + "embedding_dim=10");
      if (side == std::string("decoder")) all.push_back(prefix + "readout_dim=14");
    }
  }
  all.insert(all.end(), sets.begin(), sets.end());
  return parse_config("name: test", "test", all).model;
}

struct Architecture {
  std::string name;  ///< As the names of tests have it.
  ModelConfig config;

  friend std::ostream& operator<<(std::ostream& out, const Architecture& architecture) {
    return out << architecture.name;
  }
};

inline std::vector<Architecture> architectures() {
  const auto decoder = [](const std::string& key) { return "model.decoder." + key; };
  const auto encoder = [](const std::string& key) { return "model.encoder." + key; };
  std::vector<Architecture> list;
  for (const std::string reads : {"transformer", "lstm", "gru"}) {
    list.push_back({reads + "_transformer", small_model(reads, "transformer")});
    for (const std::string writes : {"lstm", "gru"}) {
      for (const std::string attention : {"none", "additive", "dot", "general"}) {
        std::vector<std::string> sets = {decoder("attention=" + attention)};
        // dot multiplies states and memory, which must be equally wide
        if (attention == "dot" && reads != "transformer") sets.push_back(encoder("dim=6"));
        list.push_back({reads + "_" + writes + "_" + attention, small_model(reads, writes, sets)});
      }
    }
  }
  list.push_back(
      {"transformer_post_norm",
       small_model("transformer", "transformer", {encoder("norm=post"), decoder("norm=post")})});
  list.push_back({"transformer_learned_rms_swiglu",
                  small_model("transformer", "transformer",
                              {encoder("positions=learned"), decoder("positions=learned"),
                               encoder("normalization=rms_norm"), decoder("normalization=rms_norm"),
                               encoder("activation=swiglu"), decoder("activation=swiglu")})});
  for (const std::string attention : {"additive", "dot", "general"}) {
    list.push_back({"input_feeding_" + attention,
                    small_model("gru", "lstm",
                                {decoder("attention=" + attention), decoder("input_feeding=true"),
                                 encoder("dim=6")})});
  }
  list.push_back({"recurrent_everything",
                  small_model("lstm", "gru",
                              {decoder("residual=true"), encoder("residual=true"),
                               decoder("layer_norm=true"), encoder("layer_norm=true"),
                               decoder("readout=maxout"), encoder("bidirectional=false")})});
  list.push_back({"linear_readout", small_model("gru", "gru", {decoder("readout=linear")})});
  return list;
}

inline Sentences random_sentences(const std::vector<int>& lengths, uint64_t seed) {
  Random random(seed);
  Sentences sentences;
  for (const int length : lengths) {
    std::vector<int32_t> ids;
    for (int i = 0; i < length; ++i) {
      ids.push_back(static_cast<int32_t>(3 + random.below(kVocabulary - 3)));
    }
    sentences.append(ids);
  }
  return sentences;
}

inline Batch batch_of(const Sentences& source, const Sentences& target) {
  Batch batch;
  for (int32_t s = 0; s < source.size(); ++s) batch.append(source[s], target[s], s);
  return batch;
}

}  // namespace dragoman
