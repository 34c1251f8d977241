// The languages that a Table is written in.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/escape.h"
#include "report/plot.h"
#include "report/table.h"

namespace dragoman {
namespace {

// A group and the number of columns that it spans.
struct Span {
  std::string group;
  size_t columns;
};

std::vector<Span> spans_of(const Table& table) {
  std::vector<Span> spans;
  for (const Column& column : table.columns) {
    if (spans.empty() || column.group.empty() || spans.back().group != column.group) {
      spans.push_back({column.group, 1});
    } else {
      ++spans.back().columns;
    }
  }
  return spans;
}

std::string full_title(const Column& column) {
  return column.group.empty() ? column.title : column.group + ": " + column.title;
}

bool varies(const Table& table, size_t c) {
  for (const auto& row : table.rows) {
    if (row[c].deviation) return true;
  }
  return false;
}

std::string latex_cell(const Cell& cell) {
  if (!cell.value) return escape_latex(cell.word);
  Cell plain = cell;
  plain.mark.clear();
  const std::string number = cell_text(plain, " \\pm ", "\\,");
  const std::string text =
      cell.best ? fmt::format("$\\mathbf{{{}}}$", number) : fmt::format("${}$", number);
  return cell.mark.empty() ? text : fmt::format("{}$^{{{}}}$", text, cell.mark);
}

}  // namespace

std::string to_html(const Table& table) {
  std::string text = "<table class=\"results\">\n<thead>\n<tr>";
  for (const auto& [group, columns] : spans_of(table)) {
    text += group.empty() ? "<td></td>"
                          : fmt::format("<th colspan=\"{}\" scope=\"colgroup\">{}</th>", columns,
                                        escape_markup(group));
  }
  text += "</tr>\n<tr>";
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const Column& column = table.columns[c];
    const bool first = c > 0 && column.group != table.columns[c - 1].group;
    text += fmt::format(
        "<th scope=\"col\"{}{}>{}</th>",
        column.help.empty() ? "" : fmt::format(" title=\"{}\"", escape_markup(column.help)),
        first ? " class=\"first\"" : "", escape_markup(column.title));
  }
  text += "</tr>\n</thead>\n<tbody>\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    text += fmt::format("<tr><th scope=\"row\">{}{}</th>", draw_key(r),
                        escape_markup(table.rows[r][0].word));
    for (size_t c = 1; c < table.columns.size(); ++c) {
      const Cell& cell = table.rows[r][c];
      Cell plain = cell;
      plain.deviation.reset();
      plain.mark.clear();
      const bool first = table.columns[c].group != table.columns[c - 1].group;
      std::string shown = escape_markup(cell_text(plain, "", "\u202F"));
      if (cell.best) shown = fmt::format("<b>{}</b>", shown);
      if (cell.deviation) {
        const Cell deviation{.value = cell.deviation, .decimals = cell.decimals};
        shown += fmt::format("<small> ± {}</small>", cell_text(deviation, "", "\u202F"));
      }
      if (!cell.mark.empty()) shown += fmt::format("<sup>{}</sup>", escape_markup(cell.mark));
      text += fmt::format("<td class=\"{}{}\">{}</td>", cell.value ? "number" : "word",
                          first ? " first" : "", shown);
    }
    text += "</tr>\n";
  }
  return text + "</tbody>\n</table>\n";
}

std::string to_markdown(const Table& table) {
  std::string head = "|", rule = "|", body;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    head += fmt::format(" {} |", escape_markdown(full_title(table.columns[c])));
    rule += c == 0 ? "---|" : "---:|";
  }
  for (const auto& row : table.rows) {
    body += "|";
    for (const Cell& cell : row) {
      const std::string text = escape_markdown(cell_text(cell));
      body += cell.best ? fmt::format(" **{}** |", text) : fmt::format(" {} |", text);
    }
    body += "\n";
  }
  std::string notes;
  for (const std::string& note : table.notes) notes += fmt::format("\n{}\n", escape_markdown(note));
  return fmt::format("{}\n{}\n{}{}", head, rule, body, notes);
}

std::string to_latex(const Table& table) {
  std::string groups, rules, titles, rows;
  size_t place = 1;
  for (const auto& [group, columns] : spans_of(table)) {
    groups += place == 1 ? "" : " & ";
    if (!group.empty()) {
      groups += fmt::format("\\multicolumn{{{}}}{{c}}{{{}}}", columns, escape_latex(group));
      rules += fmt::format("\\cmidrule(lr){{{}-{}}}", place, place + columns - 1);
    }
    place += columns;
  }
  for (const Column& column : table.columns) {
    std::string title = escape_latex(column.title);
    const auto replace = [&](const std::string& from, const std::string& to) {
      const size_t at = title.find(from);
      if (at != std::string::npos) title.replace(at, from.size(), to);
    };
    replace("Δ", "$\\Delta$");
    replace("↓", "$\\downarrow$");
    titles += fmt::format("{}{}", titles.empty() ? "" : " & ", title);
  }
  for (const auto& row : table.rows) {
    for (size_t c = 0; c < row.size(); ++c) {
      std::string text = latex_cell(row[c]);
      if (text == "–") text = "--";
      rows += fmt::format("{}{}", c == 0 ? "" : " & ", text);
    }
    rows += " \\\\\n";
  }
  std::string notes;
  for (const std::string& note : table.notes) notes += fmt::format("% {}\n", note);
  return fmt::format(
      "% \\usepackage{{booktabs}}\n{}\\begin{{tabular}}{{l{}}}\n\\toprule\n{} \\\\\n{}\n{} "
      "\\\\\n\\midrule\n{}\\bottomrule\n\\end{{tabular}}\n",
      notes, std::string(table.columns.size() - 1, 'r'), groups, rules, titles, rows);
}

std::string to_csv(const Table& table) {
  std::vector<std::string> head;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    head.push_back(escape_csv(table.columns[c].key));
    if (varies(table, c)) head.push_back(escape_csv(table.columns[c].key + ".sd"));
  }
  std::string text = fmt::format("{}\n", fmt::join(head, ","));
  for (const auto& row : table.rows) {
    std::vector<std::string> fields;
    for (size_t c = 0; c < row.size(); ++c) {
      // No value, no number: programs would stumble over "not reached".
      fields.push_back(c == 0         ? escape_csv(row[c].word)
                       : row[c].value ? fmt::format("{}", *row[c].value)
                                      : "");
      if (varies(table, c))
        fields.push_back(row[c].deviation ? fmt::format("{}", *row[c].deviation) : "");
    }
    text += fmt::format("{}\n", fmt::join(fields, ","));
  }
  return text;
}

}  // namespace dragoman
