#include "decode/alignment.h"

#include <algorithm>
#include <string_view>

namespace dragoman {

std::vector<int32_t> words_of(const std::vector<std::string>& pieces) {
  constexpr std::string_view kSpace = "▁";
  std::vector<int32_t> words;
  int32_t word = 0;
  bool begun = false;  // whether the word has a letter: spaces alone make none
  for (const std::string& piece : pieces) {
    if (piece == "</s>") {
      words.push_back(-1);
      continue;
    }
    if (piece.starts_with(kSpace) && begun) {
      ++word;
      begun = false;
    }
    begun = begun || piece != kSpace;
    words.push_back(word);
  }
  return words;
}

std::vector<std::pair<int32_t, int32_t>> hard_alignment(
    const std::vector<std::string>& source_pieces, const std::vector<std::string>& target_pieces,
    const std::vector<std::vector<real>>& attention) {
  const std::vector<int32_t> source_words = words_of(source_pieces);
  const std::vector<int32_t> target_words = words_of(target_pieces);
  std::vector<std::pair<int32_t, int32_t>> pairs;
  for (size_t t = 0; t + 1 < target_pieces.size(); ++t) {
    const auto begin = attention[t].begin();
    const auto end = begin + std::ssize(source_pieces) - 1;
    if (begin == end) continue;
    const auto most = static_cast<size_t>(std::max_element(begin, end) - begin);
    pairs.emplace_back(source_words[most], target_words[t]);
  }
  std::ranges::sort(pairs);
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

}  // namespace dragoman
