#include "report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/utf8.h"
#include "report/axis.h"
#include "report/escape.h"
#include "report/page_files.h"

namespace dragoman {
namespace {

constexpr double kWidth = 480, kHeight = 320;
constexpr double kLabelsLeft = 34;  // of the y axis' numbers
constexpr double kLeft = 52, kRight = 16, kBottom = 46;
constexpr double kTitleHeight = 26, kLegendRow = 20;
constexpr double kKeyWidth = 30, kKeyGap = 6, kEntryGap = 16;
constexpr double kLetterWidth = 7.6;  // of the legend's font, on average and a little more
constexpr size_t kMostMarkers = 24;

constexpr std::array kDashes = {"", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 3", "6 2 1 2 1 2"};

// What lies above the drawing: the legend's entries, row by row.
struct Legend {
  struct Entry {
    const Series* series;
    double x;
    int row;
  };
  std::vector<Entry> entries;
  int rows = 0;
};

double text_width(const std::string& text) {
  return kLetterWidth * static_cast<double>(count_codepoints(text));
}

Legend lay_out_legend(const std::vector<const Series*>& series) {
  Legend legend;
  double x = kLeft;
  for (const Series* one : series) {
    if (one->faint) continue;
    const double width = kKeyWidth + kKeyGap + text_width(one->label);
    if (!legend.entries.empty() && x + width > kWidth - kRight) {
      x = kLeft;
      ++legend.rows;
    }
    legend.entries.push_back({one, x, legend.rows});
    x += width + kEntryGap;
  }
  if (!legend.entries.empty()) ++legend.rows;
  return legend;
}

std::string marker(size_t style, double x, double y) {
  constexpr double r = 4;
  const auto path = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string points;
    for (const auto& [dx, dy] : corners)
      points += fmt::format("{}{:.1f},{:.1f}", points.empty() ? "" : " ", x + r * dx, y + r * dy);
    return fmt::format("<polygon class=\"marker\" points=\"{}\"", points);
  };
  switch (style % 6) {
    case 0:
      return fmt::format("<circle class=\"marker\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"", x, y,
                         r - 0.4);
    case 1:
      return path({{-.85, -.85}, {.85, -.85}, {.85, .85}, {-.85, .85}});
    case 2:
      return path({{0, -1.1}, {1.05, .8}, {-1.05, .8}});
    case 3:
      return path({{0, -1.25}, {1.25, 0}, {0, 1.25}, {-1.25, 0}});
    case 4:
      return path({{0, 1.1}, {1.05, -.8}, {-1.05, -.8}});
    default:
      return path({{-.35, -1.1},
                   {.35, -1.1},
                   {.35, -.35},
                   {1.1, -.35},
                   {1.1, .35},
                   {.35, .35},
                   {.35, 1.1},
                   {-.35, 1.1},
                   {-.35, .35},
                   {-1.1, .35},
                   {-1.1, -.35},
                   {-.35, -.35}});
  }
}

std::string style_class(size_t style) { return fmt::format("s{}", style % kColours); }

std::string dashes(size_t style) {
  const char* const pattern = kDashes[style % kDashes.size()];
  return *pattern ? fmt::format(" stroke-dasharray=\"{}\"", pattern) : "";
}

std::string key(size_t style, double x, double y) {
  return fmt::format(
      "<g class=\"{}\"><line class=\"line\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" "
      "y2=\"{:.1f}\"{}/>{}/></g>",
      style_class(style), x, y, x + kKeyWidth, y, dashes(style),
      marker(style, x + kKeyWidth / 2, y));
}

// Where numbers are on the paper.
struct Frame {
  Ticks x_ticks, y_ticks;
  double top, left, right;

  static double place(const Ticks& ticks, double value, double from, double to) {
    const double low = ticks.values.front(), high = ticks.values.back();
    return from + (value - low) / (high - low) * (to - from);
  }
  double x(double value) const { return place(x_ticks, value, left, right); }
  double y(double value) const { return place(y_ticks, value, kHeight - kBottom, top); }
};

Frame make_frame(const std::vector<const Series*>& series, bool from_zero, double top) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double left = kInfinity, right = -kInfinity, low = from_zero ? 0 : kInfinity, high = -kInfinity;
  for (const Series* one : series) {
    for (const PlotPoint& point : one->points) {
      left = std::min(left, point.x);
      right = std::max(right, point.x);
      low = std::min({low, point.y, point.interval ? point.interval->low : point.y});
      high = std::max({high, point.y, point.interval ? point.interval->high : point.y});
    }
  }
  if (left > 0 && left < right / 2) left = 0;
  Frame frame{nice_ticks(left, right, 8), nice_ticks(low, high, 6), top, kLeft, kWidth - kRight};
  for (const double value : frame.y_ticks.values)
    frame.left = std::max(frame.left, kLabelsLeft + text_width(frame.y_ticks.label(value)));
  const std::string last = frame.x_ticks.label(frame.x_ticks.values.back());
  frame.right = std::min(frame.right, kWidth - 2 - text_width(last) / 2);
  return frame;
}

std::string axes(const Plot& plot, const Frame& frame) {
  std::string text;
  const double bottom = kHeight - kBottom;
  for (const double value : frame.y_ticks.values) {
    text += fmt::format(
        "<line class=\"grid\" x1=\"{}\" y1=\"{:.1f}\" x2=\"{}\" y2=\"{:.1f}\"/><text "
        "class=\"tick\" "
        "x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        frame.left, frame.y(value), frame.right, frame.y(value), frame.left - 7, frame.y(value) + 4,
        frame.y_ticks.label(value));
  }
  for (const double value : frame.x_ticks.values) {
    text += fmt::format(
        "<line class=\"axis\" x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\"/><text "
        "class=\"tick\" x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4}</text>\n",
        frame.x(value), bottom, bottom + 4, bottom + 17, frame.x_ticks.label(value));
  }
  text += fmt::format("<line class=\"axis\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n",
                      frame.left, bottom, frame.right, bottom);
  text +=
      fmt::format("<text class=\"label\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                  (frame.left + frame.right) / 2, kHeight - 8, escape_markup(plot.x_label));
  text += fmt::format(
      "<text class=\"label\" transform=\"translate(13 {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text>\n",
      (frame.top + bottom) / 2, escape_markup(plot.y_label));
  return text;
}

std::string band(const Series& series, const Frame& frame) {
  std::string upper, lower;
  for (const PlotPoint& point : series.points) {
    if (!point.interval) return "";
    upper += fmt::format("{:.1f},{:.1f} ", frame.x(point.x), frame.y(point.interval->high));
    lower = fmt::format("{:.1f},{:.1f} ", frame.x(point.x), frame.y(point.interval->low)) + lower;
  }
  return fmt::format("<polygon class=\"band\" points=\"{}{}\"/>\n", upper, lower);
}

std::string line(const Series& series, const Frame& frame) {
  std::string points;
  for (const PlotPoint& point : series.points)
    points += fmt::format("{:.1f},{:.1f} ", frame.x(point.x), frame.y(point.y));
  std::string text = fmt::format("<polyline class=\"{}\" points=\"{}\"{}/>\n",
                                 series.faint ? "faint" : "line", points, dashes(series.style));
  if (series.faint) return text;
  const size_t every = 1 + (series.points.size() - 1) / kMostMarkers;
  for (size_t i = 0; i < series.points.size(); i += every) {
    const PlotPoint& point = series.points[i];
    text += fmt::format("{}><title>{}</title></{}>\n",
                        marker(series.style, frame.x(point.x), frame.y(point.y)),
                        escape_markup(point.note), series.style % 6 == 0 ? "circle" : "polygon");
  }
  return text;
}

std::string open_svg(double width, double height, const std::string& label) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {} {}\" "
      "role=\"img\" aria-label=\"{}\">\n",
      width, height, escape_markup(label));
}

// What a variable of the page's style sheet is in the light theme.
std::string_view light_value(std::string_view variable) {
  const std::string start = fmt::format("--{}: ", variable);
  const size_t begin = kPageCss.find(start);
  check(begin != std::string_view::npos, "page.css: has no variable {}", variable);
  std::string_view value = kPageCss.substr(begin + start.size());
  constexpr std::string_view kBoth = "light-dark(";
  if (!value.starts_with(kBoth)) return value.substr(0, value.find(';'));
  value.remove_prefix(kBoth.size());
  return value.substr(0, value.find(','));
}

// A style sheet with the values of its variables: outside of browsers few programs know them.
std::string in_light(std::string_view css) {
  constexpr std::string_view kUse = "var(--";
  std::string text;
  while (true) {
    const size_t begin = css.find(kUse);
    text += css.substr(0, begin);
    if (begin == std::string_view::npos) return text;
    css.remove_prefix(begin + kUse.size());
    text += light_value(css.substr(0, css.find(')')));
    css.remove_prefix(css.find(')') + 1);
  }
}

}  // namespace

std::string draw(const Plot& plot) {
  std::vector<const Series*> drawn;
  for (const Series& series : plot.series) {
    if (!series.points.empty()) drawn.push_back(&series);
  }
  // Faint lines lie below the others.
  std::stable_partition(drawn.begin(), drawn.end(), [](const Series* s) { return s->faint; });
  std::string text = open_svg(kWidth, kHeight, plot.title);
  text += fmt::format("<text class=\"title\" x=\"{}\" y=\"16\">{}</text>\n", kLeft,
                      escape_markup(plot.title));
  if (drawn.empty()) {
    return text + fmt::format(
                      "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">There is "
                      "nothing to draw.</text>\n</svg>\n",
                      kWidth / 2, kHeight / 2);
  }
  const Legend legend = lay_out_legend(drawn);
  for (const Legend::Entry& entry : legend.entries) {
    const double y = kTitleHeight + kLegendRow * entry.row + 9;
    text += key(entry.series->style, entry.x, y);
    text += fmt::format("<text class=\"legend\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                        entry.x + kKeyWidth + kKeyGap, y + 4, escape_markup(entry.series->label));
  }
  const Frame frame =
      make_frame(drawn, plot.from_zero, kTitleHeight + kLegendRow * legend.rows + 10);
  text += axes(plot, frame);
  for (const Series* series : drawn) {
    text += fmt::format("<g class=\"series {}\">{}</g>\n", style_class(series->style),
                        series->faint ? "" : band(*series, frame));
  }
  for (const Series* series : drawn) {
    text += fmt::format("<g class=\"series {}\">{}</g>\n", style_class(series->style),
                        line(*series, frame));
  }
  return text + "</svg>\n";
}

std::string draw_file(const Plot& plot) {
  std::string svg = draw(plot);
  svg.insert(svg.find('>'), fmt::format(" width=\"{}\" height=\"{}\"", kWidth, kHeight));
  svg.insert(svg.find('>') + 2, fmt::format("<style>\n{}</style>\n<rect width=\"100%\" "
                                            "height=\"100%\" fill=\"{}\"/>\n",
                                            in_light(kPlotCss), light_value("paper")));
  return svg;
}

std::string draw_key(size_t style) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"key\" viewBox=\"0 0 {} 12\" "
      "aria-hidden=\"true\">{}</svg>",
      kKeyWidth, key(style, 0, 6));
}

}  // namespace dragoman
