// The page of a comparison: one HTML file that needs nothing else.
#pragma once

#include <string>

#include "report/results.h"

namespace dragoman {

/// The page, from page.html, page.css, plot.css and page.js beside this file.
std::string make_page(const Results& results);

/// Writes index.html, results.json, results.csv, table.md, table.tex, and length-TEST.svg for each
/// test corpus that has groups of lengths, to a directory, which is made if need be. Throws Error
/// when it cannot be written.
void write_report(const Results& results, const std::string& directory);

}  // namespace dragoman
