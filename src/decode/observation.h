// Where a model attends to while it reads a sentence and writes its translation.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "data/vocabulary.h"
#include "models/model.h"

namespace dragoman {

/// A sentence, its translation, and all attention between them.
struct Observation {
  std::vector<std::string> source;  ///< The pieces that the model read and `</s>`.
  std::vector<std::string> target;  ///< The pieces that it wrote and `</s>`.
  /// Of one sentence: the encoder's maps are [source][heads][source], the decoder's
  /// [target][heads][what was read: `<s>` and the target but for its `</s>`], those between them
  /// [target][heads][source].
  AttentionMaps maps;
};

/// Translates `line` as `decoding` says and has the model read the best translation at once, with
/// all weights written down. A line that is too long for the model is cut off. Throws Error for a
/// blank line, which no model reads.
Observation observe(const Model& model, const Vocabularies& vocabularies,
                    const DecodingConfig& decoding, const std::string& line);

}  // namespace dragoman
