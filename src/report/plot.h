// Line plots as SVG. Colours and fonts are classes that the page's style sheet gives a meaning, so
// that a plot follows its light and dark themes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/results.h"

namespace dragoman {

/// One value and what is known of it.
struct PlotPoint {
  double x = 0;
  double y = 0;
  std::optional<ConfidenceInterval> interval;  ///< Of y.
  std::string note;                            ///< Shown when the pointer is on it; may be empty.
};

/// One line.
struct Series {
  std::string label;  ///< In the legend, where each label stands once.
  size_t style = 0;   ///< Colour, dashes and marker.
  std::vector<PlotPoint> points;
  bool faint = false;  ///< One run behind the mean of several: thin, without markers and legend.
};

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool from_zero = false;  ///< Whether the y axis begins at 0.
  std::vector<Series> series;
};

/// The plot as an <svg> element. Series without points are left out; a plot without any says so.
std::string draw(const Plot& plot);

/// The same as a file that needs no page: on white, in the colours of the light theme.
std::string draw_file(const Plot& plot);

/// How many styles there are; after them colours come again with other dashes and markers.
inline constexpr size_t kColours = 8;

/// A short line with its marker, as legends have it, as an <svg> element.
std::string draw_key(size_t style);

}  // namespace dragoman
