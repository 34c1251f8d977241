// Sentences as the engine takes them: packed one after the other, never padded.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dragoman {

/// Sentences packed one after the other. Sentence i is ids[offsets[i]] up to ids[offsets[i + 1]].
struct Sentences {
  std::vector<int32_t> ids;
  std::vector<int32_t> offsets = {0};  ///< one entry more than there are sentences

  int32_t size() const { return static_cast<int32_t>(offsets.size()) - 1; }
  int32_t tokens() const { return offsets.back(); }
  int32_t length(int32_t i) const { return offsets[i + 1] - offsets[i]; }
  std::span<const int32_t> operator[](int32_t i) const {
    return std::span(ids).subspan(offsets[i], length(i));
  }
  /// The number of tokens in the longest sentence; 0 when there is none.
  int32_t max_length() const {
    int32_t longest = 0;
    for (int32_t i = 0; i < size(); ++i) longest = length(i) > longest ? length(i) : longest;
    return longest;
  }
  /// Adds a sentence at the end.
  void append(std::span<const int32_t> sentence) {
    ids.insert(ids.end(), sentence.begin(), sentence.end());
    offsets.push_back(static_cast<int32_t>(ids.size()));
  }
};

}  // namespace dragoman
