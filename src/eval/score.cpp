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
  std::string text = name;
  if (!signature.empty()) text += '|' + to_string(signature);
  text += " = " + number(width);
  if (!details.empty()) text += ' ' + details;
  return text;
}

std::string Score::number(int width) const { return fmt::format("{:.{}f}", value, width); }

}  // namespace dragoman
