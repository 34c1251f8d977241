#include "eval/score.h"

#include <fmt/format.h>

namespace dragoman {

std::string to_string(const Signature& signature) {
  std::string text;
  for (const auto& [name, value] : signature) {
    if (!text.empty()) text += '|';
    text += name + ':' + value;
  }
  return text;
}

std::string Score::line(int width, const Signature& signature) const {
  std::string line = name;
  if (!signature.empty()) line += '|' + to_string(signature);
  line += " = " + text(width);
  if (!details.empty()) line += ' ' + details;
  return line;
}

std::string Score::text(int width) const {
  if (!interval) return number(width);
  return fmt::format("{} (μ = {:.{}f} ± {:.{}f})", number(width), interval->mean, width,
                     interval->half_width, width);
}

std::string Score::number(int width) const { return fmt::format("{:.{}f}", value, width); }

}  // namespace dragoman
