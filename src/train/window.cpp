#include "train/window.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace dragoman {

void Window::add(const Totals& totals, double gradient_norm, double seconds) {
  loss_ += totals.loss;
  log_probability_ += totals.log_probability;
  source_tokens_ += totals.source_tokens;
  target_tokens_ += totals.target_tokens;
  gradient_norms_ += gradient_norm;
  seconds_ += seconds;
  ++steps_;
}

double Window::perplexity() const {
  return std::exp(-log_probability_ / static_cast<double>(target_tokens_));
}

std::string Window::line(double learning_rate) const {
  return fmt::format(
      "loss {:.4f}  ppl {:.2f}  lr {:.3g}  gradient {:.3f}  source {:.0f} tok/s  target {:.0f} "
      "tok/s",
      loss(), perplexity(), learning_rate, gradient_norm(), source_speed(), target_speed());
}

nlohmann::ordered_json Window::json(double learning_rate) const {
  return {{"loss", loss()},
          {"perplexity", perplexity()},
          {"learning_rate", learning_rate},
          {"gradient_norm", gradient_norm()},
          {"source_tokens_per_second", source_speed()},
          {"target_tokens_per_second", target_speed()}};
}

}  // namespace dragoman
