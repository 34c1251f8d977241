#include "eval/tokenizers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <utility>

#include "core/check.h"
#include "eval/unicode.h"

namespace dragoman {
namespace {

/// A new tokenizer is one row here.
constexpr std::array<std::pair<std::string_view, Tokenizer>, 3> kTokenizers{{
    {"13a", tokenize_13a},
    {"char", tokenize_char},
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
/// regular expression that replaces pairs. A byte of a multi-byte character is neither digit nor
/// punctuation, so that looking at bytes gives what looking at characters would.
template <class Matches, class Write>
std::string replace_pairs(std::string_view text, Matches matches, Write write) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  size_t i = 0;
  while (i + 1 < text.size()) {
    if (matches(text[i], text[i + 1])) {
      write(out, text[i], text[i + 1]);
      i += 2;
    } else {
      out += text[i++];
    }
  }
  if (i < text.size()) out += text[i];
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
  // The order matters: "&amp;lt;" ends as "<", and a dash at a line's end joins what it had parted.
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kReplacements{{
      {"<skipped>", ""},
      {"-\n", ""},
      {"\n", " "},
      {"&quot;", "\""},
      {"&amp;", "&"},
      {"&lt;", "<"},
      {"&gt;", ">"},
  }};
  std::string text(line);
  for (const auto& [from, to] : kReplacements) text = replace_all(std::move(text), from, to);

  // The spaces at both ends give the first and the last character a neighbour that is no digit.
  text = split_punctuation(" " + text + " ");
  text = replace_pairs(
      text, [](char a, char b) { return !is_digit(a) && is_point(b); },
      [](std::string& out, char a, char b) {
        out.append({a, ' ', b, ' '});
      });
  text = replace_pairs(
      text, [](char a, char b) { return is_point(a) && !is_digit(b); },
      [](std::string& out, char a, char b) {
        out.append({' ', a, ' ', b});
      });
  text = replace_pairs(
      text, [](char a, char b) { return is_digit(a) && b == '-'; },
      [](std::string& out, char a, char b) {
        out.append({a, ' ', b, ' '});
      });
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
