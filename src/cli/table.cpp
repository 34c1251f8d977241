#include "cli/table.h"

#include <algorithm>
#include <sstream>

#include "core/utf8.h"

namespace dragoman {
namespace {

using Row = std::vector<std::string>;

std::vector<std::string> lines_of(const std::string& cell) {
  std::vector<std::string> lines;
  std::istringstream stream(cell);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

size_t width_of(const std::string& line) { return count_codepoints(line); }

std::vector<size_t> column_widths(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const std::string& title : rows.front()) widths.push_back(width_of(title) + 2);
  for (const Row& row : rows) {
    for (size_t column = 0; column < row.size(); ++column) {
      for (const std::string& line : lines_of(row[column]))
        widths[column] = std::max(widths[column], width_of(line));
    }
  }
  return widths;
}

/// A line between rows, from its left end, what it is made of, its crossings and its right end.
std::string rule(const std::vector<size_t>& widths, const std::string& left,
                 const std::string& dash, const std::string& crossing, const std::string& right) {
  std::string text = left;
  for (size_t column = 0; column < widths.size(); ++column) {
    if (column > 0) text += crossing;
    for (size_t i = 0; i < widths[column] + 2; ++i) text += dash;
  }
  return text + right + '\n';
}

std::string row_text(const Row& row, const std::vector<size_t>& widths) {
  std::vector<std::vector<std::string>> cells;
  size_t height = 1;
  for (const std::string& cell : row) {
    cells.push_back(lines_of(cell));
    height = std::max(height, cells.back().size());
  }
  std::string text;
  for (size_t i = 0; i < height; ++i) {
    for (size_t column = 0; column < cells.size(); ++column) {
      const std::string line = i < cells[column].size() ? cells[column][i] : "";
      const size_t space = widths[column] - width_of(line);
      const size_t before = column == 0 ? space : space / 2;
      text += "│ " + std::string(before, ' ') + line + std::string(space - before + 1, ' ');
    }
    text += "│\n";
  }
  return text;
}

}  // namespace

std::string format_table(const std::vector<Row>& rows) {
  const std::vector<size_t> widths = column_widths(rows);
  std::string text = rule(widths, "╒", "═", "╤", "╕") + row_text(rows.front(), widths) +
                     rule(widths, "╞", "═", "╪", "╡");
  for (size_t i = 1; i < rows.size(); ++i) {
    if (i > 1) text += rule(widths, "├", "─", "┼", "┤");
    text += row_text(rows[i], widths);
  }
  return text + rule(widths, "╘", "═", "╧", "╛");
}

}  // namespace dragoman
