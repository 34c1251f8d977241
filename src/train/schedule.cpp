#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dragoman {

Schedule::Schedule(const TrainingConfig& config, int64_t dim)
    : config_(config),
      dim_(static_cast<double>(dim)),
      warmup_(static_cast<double>(config.warmup_steps)),
      end_(static_cast<double>(config.schedule_end())) {}

double Schedule::learning_rate(int64_t step, int64_t plateaus) const {
  const auto s = static_cast<double>(step);
  if (s <= warmup_ && config_.schedule != ScheduleKind::kNoam)
    return config_.learning_rate * s / warmup_;
  const double rate = course(s, static_cast<double>(plateaus));
  const bool bounded = s > warmup_ && config_.schedule != ScheduleKind::kConstant;
  return bounded ? std::max(rate, config_.minimum_learning_rate) : rate;
}

double Schedule::course(double step, double plateaus) const {
  const double highest = config_.learning_rate;
  const double lowest = config_.minimum_learning_rate;
  const auto falling = [&](auto share) {
    const double done = std::min((step - warmup_) / (end_ - warmup_), 1.0);
    return lowest + (highest - lowest) * share(done);
  };
  switch (config_.schedule) {
    case ScheduleKind::kInverseSqrt:
      return highest * std::sqrt(warmup_ / step);
    case ScheduleKind::kNoam:
      return highest / std::sqrt(dim_) *
             std::min(1 / std::sqrt(step), step * std::pow(warmup_, -1.5));
    case ScheduleKind::kLinear:
      return falling([](double done) { return 1 - done; });
    case ScheduleKind::kCosine:
      return falling([](double done) { return (1 + std::cos(std::numbers::pi * done)) / 2; });
    case ScheduleKind::kPlateau:
      return highest * std::pow(config_.plateau_factor, plateaus);
    case ScheduleKind::kConstant:
      return highest;
  }
  fail_unknown(config_.schedule);
}

}  // namespace dragoman
