// How probable a model finds given translations.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/vocabulary.h"
#include "models/model.h"

namespace dragoman {

/// The probability of one translation.
struct PairScore {
  double log_probability = 0;  ///< log p(target pieces and `</s>` | source), natural.
  int64_t tokens = 0;          ///< Target pieces and `</s>`.
};

/// A score for every pair of lines, in their order. Throws Error, with the pair counted from
/// `first_line`, when a side has more pieces than the model can read. A batch that does not fit
/// into memory is halved; throws Error when a pair by itself does not.
std::vector<PairScore> score_pairs(const Model& model, const Vocabularies& vocabularies,
                                   std::span<const std::string> sources,
                                   std::span<const std::string> targets, int64_t first_line = 1);

}  // namespace dragoman
