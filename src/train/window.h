// What is told of the steps since the last log line.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace dragoman {

/// Sums over the batches of a step.
struct Totals {
  double loss = 0;             ///< Label-smoothed, in nats.
  double log_probability = 0;  ///< Of the target tokens, not smoothed.
  int64_t source_tokens = 0;   ///< `</s>` counted.
  int64_t target_tokens = 0;
};

/// Sums over some steps. They are part of a run's state, so that the log of a run that is continued
/// tells the same as that of one that was not interrupted.
class Window {
 public:
  /// Adds a step that took `seconds`.
  void add(const Totals& totals, double gradient_norm, double seconds);

  /// Loss and perplexity a target token, `learning_rate`, the mean of the gradients' norms, and
  /// tokens a second.
  std::string line(double learning_rate) const;
  /// The same for machines.
  nlohmann::ordered_json json(double learning_rate) const;

  template <class Visitor>
  void fields(Visitor&& v) {
    v("loss", loss_);
    v("log_probability", log_probability_);
    v("source_tokens", source_tokens_);
    v("target_tokens", target_tokens_);
    v("gradient_norms", gradient_norms_);
    v("seconds", seconds_);
    v("steps", steps_);
  }

 private:
  double loss() const { return loss_ / static_cast<double>(target_tokens_); }
  double perplexity() const;
  double gradient_norm() const { return gradient_norms_ / static_cast<double>(steps_); }
  double source_speed() const { return static_cast<double>(source_tokens_) / seconds_; }
  double target_speed() const { return static_cast<double>(target_tokens_) / seconds_; }

  double loss_ = 0;
  double log_probability_ = 0;
  int64_t source_tokens_ = 0;
  int64_t target_tokens_ = 0;
  double gradient_norms_ = 0;
  double seconds_ = 0;
  int64_t steps_ = 0;
};

}  // namespace dragoman
