// The files beside this one that a page is made from, as CMake puts them into the program.
#pragma once

#include <string_view>

namespace dragoman {

extern const std::string_view kPageHtml;
extern const std::string_view kPageCss;
extern const std::string_view kPlotCss;
extern const std::string_view kPageJs;

}  // namespace dragoman
