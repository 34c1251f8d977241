#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "ops/update.h"

namespace dragoman {

Optimizer::Optimizer(const Parameters& parameters, const TrainingConfig& config)
    : parameters_(parameters), config_(config) {
  const Tensor& values = parameters.values();
  mean_ = Tensor::zeros(values.shape(), DType::kReal, values.device());
  variance_ = Tensor::zeros(values.shape(), DType::kReal, values.device());
  if (config.ema_decay > 0) average_ = values.clone();
}

double Optimizer::update(int64_t step, double learning_rate, int64_t tokens) {
  const double per_token = 1 / static_cast<double>(tokens);
  const double norm = std::sqrt(squared_norm(parameters_.gradients())) * per_token;
  if (!std::isfinite(norm)) return norm;
  const bool clips = config_.clip_norm > 0 && norm > config_.clip_norm;
  adam_update({parameters_.values(), mean_, variance_, parameters_.low()}, parameters_.gradients(),
              {.step = step,
               .learning_rate = learning_rate,
               .gradient_scale = clips ? per_token * config_.clip_norm / norm : per_token,
               .beta1 = config_.beta1,
               .beta2 = config_.beta2,
               .epsilon = config_.epsilon,
               .weight_decay = config_.optimizer == "adamw" ? config_.weight_decay : 0});
  if (average_.defined()) {
    const auto t = static_cast<double>(step);
    average_update(average_, parameters_.values(), std::min(config_.ema_decay, (1 + t) / (10 + t)));
  }
  return norm;
}

UseAverage::UseAverage(const Parameters& parameters, const Optimizer& optimizer) {
  if (!optimizer.average().defined()) return;
  values_ = parameters.values();
  trained_ = values_.clone();
  values_.copy_from(optimizer.average());
}

UseAverage::~UseAverage() {
  if (trained_.defined()) values_.copy_from(trained_);
}

}  // namespace dragoman
