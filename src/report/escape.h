// Text inside the languages that reports are written in.
#pragma once

#include <string>
#include <string_view>

namespace dragoman {

/// Text inside elements and quoted attributes of HTML and SVG. Control characters, which neither
/// may hold, become U+FFFD.
std::string escape_markup(std::string_view text);
/// JSON inside a <script> element, which nothing in it may end.
std::string escape_script(std::string_view json);
/// Text in LaTeX.
std::string escape_latex(std::string_view text);
/// A cell of a Markdown table.
std::string escape_markdown(std::string_view text);
/// A field of a CSV file (RFC 4180): in quotes where it has to be.
std::string escape_csv(std::string_view text);

}  // namespace dragoman
