// Which word of a translation comes from which word of its source.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/real.h"

namespace dragoman {

/// The word that each piece belongs to, counted from 0: as sentencepiece marks spaces, a word
/// begins at each `▁`. `</s>` belongs to -1, no word.
std::vector<int32_t> words_of(const std::vector<std::string>& pieces);

/// Pairs (source word, target word), sorted, of words that are joined by a piece of the target
/// attending most to a piece of the source. Both lists of pieces end with `</s>`, which is never
/// joined; attention is [target pieces][source pieces].
std::vector<std::pair<int32_t, int32_t>> hard_alignment(
    const std::vector<std::string>& source_pieces, const std::vector<std::string>& target_pieces,
    const std::vector<std::vector<real>>& attention);

}  // namespace dragoman
