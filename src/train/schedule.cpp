#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dragoman {

Schedule::Schedule(const TrainingConfig& config, int64_t dim)
    : config_(config),
      dim_(static_cast<double>(dim)),
      warmup_(static_cast<double>(config.warmup_steps)),
      end_(static_cast<double>(config.schedule_steps != 0 ? config.schedule_steps
                                                          : config.max_steps)) {}

double Schedule::learning_rate(int64_t step, int64_t plateaus) const {
  const auto s = static_cast<double>(step);
  if (s <= warmup_ && config_.schedule != "noam") return config_.learning_rate * s / warmup_;
  const double rate = course(s, static_cast<double>(plateaus));
  const bool bounded = s > warmup_ && config_.schedule != "constant";
  return bounded ? std::max(rate, config_.minimum_learning_rate) : rate;
}

double Schedule::course(double step, double plateaus) const {
  const std::string& kind = config_.schedule;
  const double highest = config_.learning_rate;
  const double lowest = config_.minimum_learning_rate;
  if (kind == "inverse_sqrt") return highest * std::sqrt(warmup_ / step);
  if (kind == "noam") {
    return highest / std::sqrt(dim_) *
           std::min(1 / std::sqrt(step), step * std::pow(warmup_, -1.5));
  }
  if (kind == "plateau") return highest * std::pow(config_.plateau_factor, plateaus);
  if (kind == "constant") return highest;
  const double done = std::min((step - warmup_) / (end_ - warmup_), 1.0);
  const double share = kind == "linear" ? 1 - done : (1 + std::cos(std::numbers::pi * done)) / 2;
  return lowest + (highest - lowest) * share;
}

}  // namespace dragoman
