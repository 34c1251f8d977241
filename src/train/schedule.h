// The course of the learning rate.
#pragma once

#include <cstdint>

#include "config/config.h"

namespace dragoman {

/// The learning rate of each step. With s the step (from 1), w = warmup_steps, r = learning_rate, m
/// = minimum_learning_rate and e the end of the schedule (schedule_steps, or max_steps):
///
///     warm-up (s <= w)   r s / w, but for noam
///     inverse_sqrt       r sqrt(w / s)                                        at least m
///     noam               r dim^-0.5 min(s^-0.5, s w^-1.5)                     after w at least m
///     linear             m + (r - m) (e - s) / (e - w)                        after e: m
///     cosine             m + (r - m) (1 + cos(pi (s - w) / (e - w))) / 2      after e: m
///     plateau            r plateau_factor^plateaus                            at least m
///     constant           r
///
/// noam: Vaswani et al. 2017, equation 3, with dim the decoder's; its warm-up is part of it.
/// cosine: Loshchilov and Hutter 2017, equation 5, without restarts.
class Schedule {
 public:
  Schedule(const TrainingConfig& config, int64_t dim);

  /// The learning rate of step `step`, after `plateaus` plateaus.
  double learning_rate(int64_t step, int64_t plateaus) const;

 private:
  double course(double step, double plateaus) const;

  TrainingConfig config_;
  double dim_;
  double warmup_;
  double end_;
};

}  // namespace dragoman
