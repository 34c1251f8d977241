#include "report/escape.h"

namespace dragoman {
namespace {

// Replaces each character for which `replacement` is not null.
template <class F>
std::string replace_each(std::string_view text, F replacement) {
  std::string result;
  for (const char c : text) {
    if (const char* const other = replacement(c)) {
      result += other;
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace

std::string escape_markup(std::string_view text) {
  return replace_each(text, [](char c) -> const char* {
    switch (c) {
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return "&quot;";
      case '\'':
        return "&#39;";
      case '\t':
      case '\n':
        return nullptr;
      default:
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? "\xEF\xBF\xBD" : nullptr;
    }
  });
}

std::string escape_script(std::string_view json) {
  return replace_each(json, [](char c) -> const char* { return c == '<' ? "\\u003c" : nullptr; });
}

std::string escape_latex(std::string_view text) {
  return replace_each(text, [](char c) -> const char* {
    switch (c) {
      case '\\':
        return "\\textbackslash{}";
      case '{':
        return "\\{";
      case '}':
        return "\\}";
      case '$':
        return "\\$";
      case '&':
        return "\\&";
      case '#':
        return "\\#";
      case '%':
        return "\\%";
      case '_':
        return "\\_";
      case '^':
        return "\\textasciicircum{}";
      case '~':
        return "\\textasciitilde{}";
      case '<':
        return "\\textless{}";
      case '>':
        return "\\textgreater{}";
      case '|':
        return "\\textbar{}";
      case '"':
        return "\\textquotedbl{}";
      case '\n':
        return " ";
      default:
        return nullptr;
    }
  });
}

std::string escape_markdown(std::string_view text) {
  return replace_each(text, [](char c) -> const char* {
    switch (c) {
      case '|':
        return "\\|";
      case '\\':
        return "\\\\";
      case '*':
        return "\\*";
      case '_':
        return "\\_";
      case '`':
        return "\\`";
      case '<':
        return "&lt;";
      case '\n':
        return " ";
      default:
        return nullptr;
    }
  });
}

std::string escape_csv(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  return '"' + replace_each(text, [](char c) { return c == '"' ? "\"\"" : nullptr; }) + '"';
}

}  // namespace dragoman
