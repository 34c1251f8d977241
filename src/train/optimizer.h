// From the gradients of a model to its next parameters.
#pragma once

#include <cstdint>
#include <functional>

#include "config/config.h"
#include "nn/parameters.h"
#include "ops/update.h"

namespace dragoman {

/// Adam or AdamW over the flat buffers of a model, with clipping by norm and, if wanted, a moving
/// average of the parameters.
class Optimizer {
 public:
  /// The parameters must be allocated and must outlive it.
  Optimizer(const Parameters& parameters, const TrainingConfig& config);

  /// What the device is to be told of step `step` (from 1), whose loss is summed over `tokens`
  /// tokens; what is descended is its mean.
  StepInputs inputs(int64_t step, double learning_rate, int64_t tokens) const;

  /// Makes the step from the gradients. The result gets the norm of the mean's gradient before
  /// clipping. When that is not finite, nothing is changed.
  void update(const Record<StepInputs>& inputs, const Record<StepResult>& result);

  /// Adam's mean of the gradients and of their squares, laid out as the parameters.
  const Tensor& mean() const { return mean_; }
  const Tensor& variance() const { return variance_; }
  /// The moving average of the parameters; undefined without ema_decay. After step t its decay is
  /// min(ema_decay, (1 + t) / (10 + t)), so that the start is soon forgotten.
  const Tensor& average() const { return average_; }

 private:
  const Parameters& parameters_;
  TrainingConfig config_;
  AdamOptions adam_;
  Tensor mean_;
  Tensor variance_;
  Tensor average_;
};

/// Does `work` while the parameters, and the copy that products read, are their moving average;
/// without one, as they are.
void with_average(Parameters& parameters, const Optimizer& optimizer,
                  const std::function<void()>& work);

}  // namespace dragoman
