#include "eval/ngrams.h"

#include <algorithm>

#include "core/utf8.h"

namespace dragoman {

NgramText NgramText::words(std::string text) {
  NgramText result(std::move(text), 1);
  const std::string& words = result.text_;
  for (size_t at = 0; at < words.size();) {
    result.starts_.push_back(at);
    at = std::min(words.find(' ', at), words.size() - 1) + 1;
  }
  result.starts_.push_back(words.size() + 1);
  return result;
}

NgramText NgramText::characters(std::string text) {
  NgramText result(std::move(text), 0);
  size_t at = 0;
  std::string unit;
  for (const int32_t codepoint : decode_utf8(result.text_)) {
    result.starts_.push_back(at);
    unit.clear();
    append_utf8(unit, codepoint);
    at += unit.size();
  }
  result.starts_.push_back(at);
  return result;
}

NgramCounts NgramText::ngrams(size_t n) const {
  NgramCounts counts;
  for (size_t i = 0; i + n < starts_.size(); ++i) {
    const size_t length = starts_[i + n] - gap_ - starts_[i];
    ++counts[std::string_view(text_).substr(starts_[i], length)];
  }
  return counts;
}

void keep_greatest(NgramCounts& most, const NgramCounts& counts) {
  for (const auto& [ngram, count] : counts) {
    int64_t& greatest = most[ngram];
    greatest = std::max(greatest, count);
  }
}

int64_t common_ngrams(const NgramCounts& a, const NgramCounts& b) {
  int64_t common = 0;
  for (const auto& [ngram, count] : a) {
    const auto found = b.find(ngram);
    if (found != b.end()) common += std::min(count, found->second);
  }
  return common;
}

}  // namespace dragoman
