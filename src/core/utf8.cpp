#include "core/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "core/check.h"

namespace dragoman {
namespace {

bool begins_codepoint(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

// Calls f(codepoint) for all of a text. Returns where it is invalid, or its size.
template <class F>
size_t for_each_codepoint(std::string_view text, F f) {
  size_t at = 0;
  while (at < text.size()) {
    int32_t codepoint = static_cast<unsigned char>(text[at]);
    size_t length = 1;
    if (codepoint >= 0x80) length = decode_front(text.substr(at), codepoint);
    if (length == 0) break;
    f(codepoint);
    at += length;
  }
  return at;
}

}  // namespace

size_t decode_front(std::string_view text, int32_t& codepoint) {
  const auto length =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(std::min<size_t>(text.size(), 4)), &codepoint);
  return length > 0 ? static_cast<size_t>(length) : 0;
}

bool is_utf8(std::string_view text) {
  return for_each_codepoint(text, [](int32_t) {}) == text.size();
}

std::vector<int32_t> decode_utf8(std::string_view text) {
  std::vector<int32_t> codepoints;
  codepoints.reserve(text.size());
  const size_t end = for_each_codepoint(text, [&](int32_t c) { codepoints.push_back(c); });
  check(end == text.size(), "invalid UTF-8 at byte {} of a text of {} bytes", end, text.size());
  return codepoints;
}

void append_utf8(std::string& text, int32_t codepoint) {
  std::array<utf8proc_uint8_t, 4> bytes;
  const auto length = utf8proc_encode_char(codepoint, bytes.data());
  text.append(bytes.begin(), bytes.begin() + length);
}

size_t count_codepoints(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, begins_codepoint));
}

std::string_view first_codepoints(std::string_view text, size_t count) {
  size_t end = 0;
  for (size_t begun = 0; end < text.size(); ++end)
    if (begins_codepoint(text[end]) && begun++ == count) break;
  return text.substr(0, end);
}

}  // namespace dragoman
