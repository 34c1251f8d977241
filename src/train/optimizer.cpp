#include "train/optimizer.h"

#include <algorithm>

namespace dragoman {
namespace {

AdamOptions adam_options(const TrainingConfig& config) {
  AdamOptions options{
      .beta1 = config.beta1, .beta2 = config.beta2, .epsilon = config.epsilon, .weight_decay = 0};
  switch (config.optimizer) {
    case OptimizerKind::kAdam:
      return options;
    case OptimizerKind::kAdamw:
      options.weight_decay = config.weight_decay;
      return options;
  }
  fail_unknown(config.optimizer);
}

}  // namespace

Optimizer::Optimizer(const Parameters& parameters, const TrainingConfig& config)
    : parameters_(parameters), config_(config), adam_(adam_options(config)) {
  const Tensor& values = parameters.values();
  mean_ = Tensor::zeros(values.shape(), DType::kReal, values.device());
  variance_ = Tensor::zeros(values.shape(), DType::kReal, values.device());
  if (config.ema_decay > 0) average_ = values.clone();
}

StepInputs Optimizer::inputs(int64_t step, double learning_rate, int64_t tokens) const {
  StepInputs inputs = adam_inputs(adam_, step, learning_rate);
  const auto t = static_cast<double>(step);
  const double decay = std::min(config_.ema_decay, (1 + t) / (10 + t));
  inputs.average_share = static_cast<real>(1 - decay);
  inputs.clip_norm = config_.clip_norm;
  inputs.gradient_share = 1 / static_cast<double>(tokens);
  return inputs;
}

void Optimizer::update(const Record<StepInputs>& inputs, const Record<StepResult>& result) {
  measure_gradients(parameters_.gradients(), inputs, result);
  adam_update({parameters_.values(), mean_, variance_, parameters_.bf16_copy()},
              parameters_.gradients(), adam_, inputs, result);
  if (average_.defined()) {
    average_update(average_, parameters_.values(), inputs.device_value(&StepInputs::average_share),
                   result.device_value(&StepResult::finite));
  }
}

void with_average(Parameters& parameters, const Optimizer& optimizer,
                  const std::function<void()>& work) {
  if (!optimizer.average().defined()) return work();
  const auto put = [&](const Tensor& values) {
    parameters.values().copy_from(values);
    if (parameters.bf16_copy().defined()) parameters.make_bf16_copy();
  };
  const Tensor trained = parameters.values().clone();
  put(optimizer.average());
  try {
    work();
  } catch (...) {
    try {
      put(trained);
    } catch (const Error&) {
      // A GPU that failed: what is thrown tells why.
    }
    throw;
  }
  put(trained);
}

}  // namespace dragoman
