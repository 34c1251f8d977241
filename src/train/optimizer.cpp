#include "train/optimizer.h"

#include <algorithm>

namespace dragoman {

Optimizer::Optimizer(const Parameters& parameters, const TrainingConfig& config)
    : parameters_(parameters),
      config_(config),
      adam_{.beta1 = config.beta1,
            .beta2 = config.beta2,
            .epsilon = config.epsilon,
            .weight_decay = config.optimizer == "adamw" ? config.weight_decay : 0} {
  const Tensor& values = parameters.values();
  mean_ = Tensor::zeros(values.shape(), DType::kReal, values.device());
  variance_ = Tensor::zeros(values.shape(), DType::kReal, values.device());
  if (config.ema_decay > 0) average_ = values.clone();
}

UpdateOrders Optimizer::orders(int64_t step, double learning_rate, int64_t tokens) const {
  UpdateOrders orders = adam_orders(adam_, step, learning_rate);
  const auto t = static_cast<double>(step);
  const double decay = std::min(config_.ema_decay, (1 + t) / (10 + t));
  orders.average_share = static_cast<real>(1 - decay);
  orders.clip_norm = config_.clip_norm;
  orders.gradient_share = 1 / static_cast<double>(tokens);
  return orders;
}

void Optimizer::update(const Record<UpdateOrders>& orders, const Record<UpdateResult>& result) {
  measure_gradients(parameters_.gradients(), orders, result);
  adam_update({parameters_.values(), mean_, variance_, parameters_.low()}, parameters_.gradients(),
              adam_, orders, result);
  if (average_.defined()) {
    average_update(average_, parameters_.values(), orders.late(&UpdateOrders::average_share),
                   result.late(&UpdateResult::finite));
  }
}

void with_average(Parameters& parameters, const Optimizer& optimizer,
                  const std::function<void()>& work) {
  if (!optimizer.average().defined()) return work();
  const auto put = [&](const Tensor& values) {
    parameters.values().copy_from(values);
    if (parameters.low().defined()) parameters.make_low();
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
