#include "config/fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace dragoman {

bool Rule::allows(double value) const {
  const bool above = low_open ? value > low : value >= low;
  const bool below = high_open ? value < high : value <= high;
  return above && below && std::isfinite(value);
}

bool Rule::allows(std::string_view value) const {
  if (!choices.empty()) return std::find(choices.begin(), choices.end(), value) != choices.end();
  return !filled || !value.empty();
}

std::string Rule::text() const {
  if (!choices.empty()) return fmt::format("one of {}", fmt::join(choices, ", "));
  if (filled) return "not empty";
  const std::string lower =
      std::isinf(low) ? "" : fmt::format("{} {}", low_open ? "above" : "at least", low);
  const std::string upper =
      std::isinf(high) ? "" : fmt::format("{} {}", high_open ? "below" : "at most", high);
  return lower + (lower.empty() || upper.empty() ? "" : ", ") + upper;
}

}  // namespace dragoman
