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

namespace {

bool matches(std::string_view choice, std::string_view value) {
  if (!choice.ends_with(":N")) return choice == value;
  choice.remove_suffix(1);
  if (!value.starts_with(choice) || value == choice) return false;
  value.remove_prefix(choice.size());
  return std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool Rule::allows(std::string_view value) const {
  if (!choices.empty()) {
    return std::ranges::any_of(choices,
                               [=](const std::string& choice) { return matches(choice, value); });
  }
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
