#include "eval/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include "core/check.h"
#include "core/utf8.h"

namespace dragoman {
namespace {

constexpr int32_t kCapitalIWithDot = 0x130;
constexpr int32_t kCombiningDot = 0x307;
constexpr int32_t kCapitalSigma = 0x3A3;
constexpr int32_t kSmallSigma = 0x3C3;
constexpr int32_t kFinalSigma = 0x3C2;

/// Unicode's property Cased: the upper, lower and title case letters, Roman numerals, circled
/// and squared letters, and the two ordinal indicators.
bool is_cased(int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
      return true;
    default:
      return c == 0xAA || c == 0xBA || (c >= 0x2160 && c <= 0x217F) ||
             (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
             (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  }
}

/// Unicode's property Case_Ignorable: marks, format characters, modifiers, and the punctuation that
/// stands inside words, such as the apostrophe.
bool is_case_ignorable(int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default: {
      constexpr std::array<int32_t, 17> kInsideWords{'\'',   '.',    ':',    0xB7,   0x387,  0x55F,
                                                     0x5F4,  0x2018, 0x2019, 0x2024, 0x2027, 0xFE13,
                                                     0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
      return std::find(kInsideWords.begin(), kInsideWords.end(), c) != kInsideWords.end();
    }
  }
}

/// Whether the sigma at `at` closes a word: a cased letter stands before it and none after it,
/// looking past what case ignores (the Unicode Standard, table 3-17, Final_Sigma).
bool is_final_sigma(const std::vector<int32_t>& text, size_t at) {
  const auto sigma = text.begin() + static_cast<std::ptrdiff_t>(at);
  const auto before =
      std::find_if_not(std::make_reverse_iterator(sigma), text.rend(), is_case_ignorable);
  const auto after = std::find_if_not(sigma + 1, text.end(), is_case_ignorable);
  return before != text.rend() && is_cased(*before) && (after == text.end() || !is_cased(*after));
}

}  // namespace

bool is_space(int32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_punctuation(int32_t c) {
  const utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_symbol(int32_t c) {
  const utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO;
}

bool is_number(int32_t c) {
  const utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

std::string normalize_spaces(std::string_view text) {
  std::string words;
  words.reserve(text.size());
  bool between = false;
  for (const int32_t codepoint : decode_utf8(text)) {
    if (is_space(codepoint)) {
      between = true;
      continue;
    }
    if (between && !words.empty()) words += ' ';
    between = false;
    append_utf8(words, codepoint);
  }
  return words;
}

std::string_view strip_right(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size();) {
    int32_t codepoint = 0;
    const size_t length = decode_front(text.substr(at), codepoint);
    check(length > 0, "invalid UTF-8 at byte {} of a text of {} bytes", at, text.size());
    at += length;
    if (!is_space(codepoint)) end = at;
  }
  return text.substr(0, end);
}

std::string lowercase(std::string_view text) {
  const std::vector<int32_t> codepoints = decode_utf8(text);
  std::string lower;
  lower.reserve(text.size());
  for (size_t i = 0; i < codepoints.size(); ++i) {
    if (codepoints[i] == kCapitalIWithDot) {
      append_utf8(lower, 'i');
      append_utf8(lower, kCombiningDot);
    } else if (codepoints[i] == kCapitalSigma) {
      append_utf8(lower, is_final_sigma(codepoints, i) ? kFinalSigma : kSmallSigma);
    } else {
      append_utf8(lower, utf8proc_tolower(codepoints[i]));
    }
  }
  return lower;
}

}  // namespace dragoman
