// The edits that TER counts.
#pragma once

#include <cstdint>
#include <span>

namespace dragoman {

/// The words that must be inserted, deleted or replaced, and the rows of words that must be moved,
/// to make `hypothesis` into `reference`, found greedily: as long as it makes the edit distance
/// smaller, the row of words is moved whose move makes it smallest (Snover et al. 2006, algorithm
/// 1). A word is any number that stands for it. Which moves are tried, in which order, and how far
/// from the diagonal the edit distance looks are limited as in sacreBLEU, which follows Tercom.
/// Memory grows as the product of their lengths: Error above 2^26, 8000 words each.
int64_t translation_edits(std::span<const int32_t> hypothesis, std::span<const int32_t> reference);

}  // namespace dragoman
