#include "eval/tokenizers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/check.h"
#include "core/utf8.h"
#include "eval/unicode.h"

namespace dragoman {
namespace {

/// A new tokenizer is one row here.
constexpr std::array<std::pair<std::string_view, Tokenizer>, 5> kTokenizers{{
    {"13a", tokenize_13a},
    {"intl", tokenize_intl},
    {"char", tokenize_char},
    {"zh", tokenize_zh},
    {"none", tokenize_none},
}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_point(char c) { return c == '.' || c == ','; }

/// The ASCII punctuation that always stands alone; `.`, `,` and `-` depend on digits beside them
/// and the apostrophe never does.
bool always_alone(char c) {
  return (c >= '!' && c <= '/' && c != '\'' && c != ',' && c != '-' && c != '.') ||
         (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

/// Puts spaces around every character for which `always_alone` holds.
std::string split_punctuation(std::string_view text) {
  std::string out;
  out.reserve(2 * text.size());
  for (const char c : text) {
    if (always_alone(c)) {
      out.append({' ', c, ' '});
    } else {
      out += c;
    }
  }
  return out;
}

/// Goes through `text` once. Where `matches(a, b)` holds for two neighbours, both are taken
/// together and `write(out, a, b)` says what stands for them: b is not looked at again, as in a
/// regular expression that replaces pairs.
template <class Text, class Matches, class Write>
Text replace_pairs(const Text& text, Matches matches, Write write) {
  Text out;
  out.reserve(text.size() + text.size() / 2);
  size_t i = 0;
  while (i + 1 < text.size()) {
    if (matches(text[i], text[i + 1])) {
      write(out, text[i], text[i + 1]);
      i += 2;
    } else {
      out.push_back(text[i++]);
    }
  }
  if (i < text.size()) out.push_back(text[i]);
  return out;
}

constexpr auto kSplitSecond = [](auto& out, auto a, auto b) {
  out.insert(out.end(), {a, ' ', b, ' '});
};
constexpr auto kSplitFirst = [](auto& out, auto a, auto b) {
  out.insert(out.end(), {' ', a, ' ', b});
};

/// Splits full stops and commas off that do not stand between digits, and a dash after a digit. A
/// byte of a multi-byte character is neither digit nor punctuation, so that looking at bytes gives
/// what looking at characters would.
std::string split_points(std::string text) {
  text = replace_pairs(
      text, [](char a, char b) { return !is_digit(a) && is_point(b); }, kSplitSecond);
  text = replace_pairs(
      text, [](char a, char b) { return is_point(a) && !is_digit(b); }, kSplitFirst);
  return replace_pairs(
      text, [](char a, char b) { return is_digit(a) && b == '-'; }, kSplitSecond);
}

/// Undoes the four entities of SGML, in this order: "&amp;lt;" ends as "<".
std::string without_entities(std::string text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kEntities{{
      {"&quot;", "\""},
      {"&amp;", "&"},
      {"&lt;", "<"},
      {"&gt;", ">"},
  }};
  for (const auto& [entity, character] : kEntities)
    text = replace_all(std::move(text), entity, character);
  return text;
}

/// The first and the last code point of a range.
using Range = std::pair<int32_t, int32_t>;

template <size_t n>
bool is_in(const std::array<Range, n>& ranges, int32_t c) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](const Range& range) { return c >= range.first && c <= range.second; });
}

/// What tokenizer zh takes for Chinese. The second range is what sacreBLEU makes of its table,
/// where CJK extension B (U+20000 to U+2A6D6) is written with too few digits: it holds much
/// punctuation, from the dashes to the euro sign, and mathematics.
constexpr std::array<Range, 17> kChinese{{
    {0x3400, 0x4DB5},
    {0x2001, 0x2A6D},
    {0x4E00, 0x9FBB},
    {0xF900, 0xFA2D},
    {0xFA30, 0xFA6A},
    {0xFA70, 0xFAD9},
    {0xFF00, 0xFFEF},
    {0x2E80, 0x2EFF},
    {0x3000, 0x303F},
    {0x31C0, 0x31EF},
    {0x2F00, 0x2FDF},
    {0x2FF0, 0x2FFF},
    {0x3100, 0x312F},
    {0x31A0, 0x31BF},
    {0xFE10, 0xFE1F},
    {0xFE30, 0xFE4F},
    {0x3200, 0x33FF},
}};

/// What Tercom splits into characters: ideographs, strokes, radicals, compatibility forms. Words of
/// kana stay whole.
constexpr std::array<Range, 8> kTercomAsian{{
    {0x4E00, 0x9FFF},
    {0x3400, 0x4DBF},
    {0x31C0, 0x31EF},
    {0x2E80, 0x2EFF},
    {0x3300, 0x33FF},
    {0xF900, 0xFAFF},
    {0xFE30, 0xFE4F},
    {0x3200, 0x3F22},
}};

/// Asian and full-width punctuation.
constexpr std::array<Range, 11> kTercomAsianPunctuation{{
    {0x3001, 0x3002},
    {0x3008, 0x3011},
    {0x3014, 0x301F},
    {0xFF61, 0xFF65},
    {0x30FB, 0x30FB},
    {0xFF01, 0xFF02},
    {0xFF08, 0xFF09},
    {0xFF0C, 0xFF0C},
    {0xFF0E, 0xFF0E},
    {0xFF1A, 0xFF1B},
    {0xFF1F, 0xFF1F},
}};

bool is_asian_punctuation(int32_t c) { return is_in(kTercomAsianPunctuation, c); }

/// Puts spaces around every code point for which `alone` holds.
template <class Alone>
std::string split_characters(std::string_view text, Alone alone) {
  std::string out;
  for (const int32_t codepoint : decode_utf8(text)) {
    const bool split = alone(codepoint);
    if (split) out += ' ';
    append_utf8(out, codepoint);
    if (split) out += ' ';
  }
  return out;
}

/// The text without the code points for which `unwanted` holds.
template <class Unwanted>
std::string without_characters(std::string_view text, Unwanted unwanted) {
  std::string out;
  for (const int32_t codepoint : decode_utf8(text)) {
    if (!unwanted(codepoint)) append_utf8(out, codepoint);
  }
  return out;
}

}  // namespace

std::string tokenize_none(std::string_view line) { return normalize_spaces(line); }

std::string tokenize_char(std::string_view line) {
  std::string tokens;
  tokens.reserve(2 * line.size());
  for (const int32_t codepoint : decode_utf8(line)) {
    if (is_space(codepoint)) continue;
    if (!tokens.empty()) tokens += ' ';
    append_utf8(tokens, codepoint);
  }
  return tokens;
}

std::string tokenize_13a(std::string_view line) {
  std::string text = replace_all(std::string(line), "<skipped>", "");
  text =
      replace_all(std::move(text), "-\n", "");  // a dash at a line's end joins what it had parted
  text = without_entities(replace_all(std::move(text), "\n", " "));
  // The spaces at both ends give the first and the last character a neighbour that is no digit.
  return normalize_spaces(split_points(split_punctuation(" " + text + " ")));
}

std::string tokenize_intl(std::string_view line) {
  std::vector<int32_t> text = decode_utf8(line);
  text = replace_pairs(
      text, [](int32_t a, int32_t b) { return !is_number(a) && is_punctuation(b); }, kSplitSecond);
  text = replace_pairs(
      text, [](int32_t a, int32_t b) { return is_punctuation(a) && !is_number(b); }, kSplitFirst);
  std::string tokens;
  for (const int32_t codepoint : text) append_utf8(tokens, codepoint);
  return normalize_spaces(split_characters(tokens, is_symbol));
}

std::string tokenize_zh(std::string_view line) {
  // No spaces at the ends: a full stop there stays where it is, unlike with 13a.
  const std::string text = split_characters(
      normalize_spaces(line), [](int32_t codepoint) { return is_in(kChinese, codepoint); });
  return normalize_spaces(split_points(split_punctuation(text)));
}

std::string tokenize_tercom(std::string_view line, const TercomOptions& options) {
  std::string text = options.case_sensitive ? std::string(line) : lowercase(line);
  if (options.normalized) {
    text = replace_all(std::move(text), "\n-", "");
    text = without_entities(replace_all(std::move(text), "\n", " "));
    text = replace_all(split_punctuation(" " + text + " "), "'s ", " 's ");
    text = split_points(std::move(text));
    if (options.asian_support) {
      text = split_characters(
          text, [](int32_t c) { return is_in(kTercomAsian, c) || is_asian_punctuation(c); });
    }
  }
  if (options.no_punct) {
    text = without_characters(text, [&options](int32_t c) {
      constexpr std::string_view kUnwanted = ".,?:;!\"()";
      return (c < 0x80 && kUnwanted.find(static_cast<char>(c)) != kUnwanted.npos) ||
             (options.asian_support && is_asian_punctuation(c));
    });
  }
  return normalize_spaces(text);
}

Tokenizer find_tokenizer(std::string_view name) {
  for (const auto& [known, tokenizer] : kTokenizers) {
    if (known == name) return tokenizer;
  }
  fail_usage("unknown tokenizer '{}': choose one of {}", name, fmt::join(tokenizer_names(), ", "));
}

std::vector<std::string> tokenizer_names() {
  std::vector<std::string> names;
  for (const auto& row : kTokenizers) names.emplace_back(row.first);
  return names;
}

}  // namespace dragoman
