#include "ops/steps.h"

#include "tensor/launch.h"

namespace dragoman {

Tensor with_next_step(const Tensor& history, int64_t first) {
  const int64_t n = history.shape()[0], steps = history.shape()[1];
  Tensor longer = Tensor::empty({n, steps + 1}, DType::kInt32, history.device());
  const auto from = history.data<int32_t>();
  const auto to = longer.data<int32_t>();
  launch::map(longer.device(), longer.size(), [=] DRAGOMAN_HOST_DEVICE(int64_t i) {
    const int64_t hypothesis = i / (steps + 1), step = i % (steps + 1);
    to[i] =
        step < steps ? from[hypothesis * steps + step] : static_cast<int32_t>(first + hypothesis);
  });
  return longer;
}

Tensor mean_over_heads(const Tensor& weights) {
  const int64_t n = weights.shape()[0], heads = weights.shape()[1], keys = weights.shape()[2];
  Tensor mean = Tensor::empty({n, keys}, DType::kReal, weights.device());
  const auto from = weights.data();
  const auto to = mean.data();
  launch::map(mean.device(), mean.size(), [=] DRAGOMAN_HOST_DEVICE(int64_t i) {
    const int64_t row = i / keys, key = i % keys;
    real total = 0;
    for (int64_t h = 0; h < heads; ++h) total += from[(row * heads + h) * keys + key];
    to[i] = total / static_cast<real>(heads);
  });
  return mean;
}

}  // namespace dragoman
