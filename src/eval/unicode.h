// The few questions about Unicode text that metrics ask, answered as Python answers them, because
// the scores we must reproduce were defined by Python programs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dragoman {

/// Whether Python's `str.isspace` holds: the Unicode white space and the four ASCII separators
/// U+001C to U+001F.
bool is_space(int32_t codepoint);

/// Whether a code point is in the Unicode category P, S or N, of which `\p{P}` and so on speak in
/// regular expressions. They are those of Unicode 15.0 with utf8proc 2.8.
bool is_punctuation(int32_t codepoint);
bool is_symbol(int32_t codepoint);
bool is_number(int32_t codepoint);

/// The words between white space of any kind, joined by one ASCII space: `" ".join(text.split())`.
std::string normalize_spaces(std::string_view text);

/// The string without white space at its end: `text.rstrip()`.
std::string_view strip_right(std::string_view text);

/// Python's `str.lower()`: one-to-one case mappings, U+0130 (capital I with dot) as two code
/// points, and capital sigma in its final form at the end of a word.
std::string lowercase(std::string_view text);

}  // namespace dragoman
