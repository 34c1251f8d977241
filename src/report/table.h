// The table of a comparison, once, and how it is written in several languages.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/results.h"

namespace dragoman {

/// What a column holds.
struct Column {
  enum class Part { kBoth, kQuality, kCost };
  std::string key;    ///< For programs: "test.BLEU".
  std::string group;  ///< Printed once above neighbours that share it; may be empty.
  std::string title;
  std::string help;  ///< A sentence for the curious.
  Part part = Part::kBoth;
};

/// One number, or a word in its place.
struct Cell {
  std::optional<double> value;
  std::optional<double> deviation;  ///< Over seeds.
  int decimals = 0;
  std::string word;  ///< Shown where there is no value: a name, "not reached", ...
  std::string mark;  ///< Shown after the number: "*".
  bool best = false;
};

struct Table {
  std::vector<Column> columns;          ///< The first is the system's name.
  std::vector<std::vector<Cell>> rows;  ///< One a system.
  std::vector<std::string> notes;       ///< Below it: signatures, what marks mean.
};

/// One row a system: parameters, metrics with significance, times, speeds and memory.
Table make_table(const Results& results);

/// The columns of one part and of both, where all do not fit side by side.
Table part_of(const Table& table, Column::Part part);

/// A number with its decimals, thousands divided by `separator` where there are at least five
/// digits; with its deviation behind `plus_minus` where it has one.
std::string cell_text(const Cell& cell, const std::string& plus_minus = " ± ",
                      const std::string& separator = " ");

std::string to_html(const Table& table);
std::string to_markdown(const Table& table);
/// A LaTeX table that needs the package booktabs.
std::string to_latex(const Table& table);
/// One line a system; columns of numbers that differ with the seed have one named KEY.sd after
/// them.
std::string to_csv(const Table& table);

}  // namespace dragoman
