// Counting n-grams of words or of characters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace dragoman {

/// How often each n-gram occurs. The keys are views into the text that was counted.
using NgramCounts = std::unordered_map<std::string_view, int64_t>;

/// A text as a row of units, whose n-grams are substrings of it: nothing is copied. It must stay
/// where it is while their counts are used.
class NgramText {
 public:
  /// The units are words, which `text` holds with one space between them.
  static NgramText words(std::string text);
  /// The units are the code points of `text`. Throws Error for invalid UTF-8.
  static NgramText characters(std::string text);

  int64_t size() const { return static_cast<int64_t>(starts_.size()) - 1; }  ///< in units
  /// The n-grams of `n` units, 1 or more.
  NgramCounts ngrams(size_t n) const;

 private:
  NgramText(std::string text, size_t gap) : text_(std::move(text)), gap_(gap) {}

  std::string text_;
  size_t gap_;                  // bytes between two units
  std::vector<size_t> starts_;  // of each unit, and where another one would start
};

/// Keeps, for each n-gram, the greater of the counts in `most` and `counts`.
void keep_greatest(NgramCounts& most, const NgramCounts& counts);

/// The n-grams that two texts have in common, each as often as it occurs in both.
int64_t common_ngrams(const NgramCounts& a, const NgramCounts& b);

}  // namespace dragoman
