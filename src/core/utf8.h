// Code points of UTF-8 text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dragoman {

/// True when `text` is valid UTF-8: no form cut short or longer than need be, no surrogate, nothing
/// beyond U+10FFFF.
bool is_utf8(std::string_view text);

/// Puts the first code point of `text` into `codepoint` and returns how many bytes it takes; 0
/// where there is none or it is invalid.
size_t decode_front(std::string_view text, int32_t& codepoint);

/// The code points of a UTF-8 string. Throws Error with the byte offset of the first invalid byte.
std::vector<int32_t> decode_utf8(std::string_view text);

/// Appends the UTF-8 form of one code point.
void append_utf8(std::string& text, int32_t codepoint);

/// How many code points a text has. Of what is no UTF-8, how many bytes could begin one.
size_t count_codepoints(std::string_view text);

/// At most `count` code points from the front of a text. It need not be valid.
std::string_view first_codepoints(std::string_view text, size_t count);

}  // namespace dragoman
