#include "ops/update.h"

#include <cmath>
#include <numeric>

#include "tensor/launch.h"

namespace dragoman {
namespace {

// Elements that are summed in the engine's own precision; the sums are then added in double. A
// piece is one thread's, so that the result is the same for any number of threads.
constexpr int64_t kPiece = 4096;

}  // namespace

double squared_norm(const Tensor& x) {
  const int64_t n = x.size();
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  const Tensor sums = Tensor::empty({pieces}, DType::kReal, x.device());
  const auto from = x.data();
  const auto to = sums.data();
  launch::rows(x.device(), pieces, kPiece, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t piece) {
    const int64_t begin = piece * kPiece;
    const int64_t count = n - begin < kPiece ? n - begin : kPiece;
    const real total =
        lane.sum(count, [=](int64_t i) { return from[begin + i] * from[begin + i]; });
    lane.once([=] { to[piece] = total; });
  });
  const std::vector<real> partial = sums.to_host();
  return std::accumulate(partial.begin(), partial.end(), 0.0);
}

void adam_update(const AdamBuffers& buffers, const Tensor& gradients, const AdamStep& step) {
  const auto& [values, mean, variance, low] = buffers;
  check(gradients.size() == values.size() && mean.size() == values.size() &&
            variance.size() == values.size(),
        "adam_update: the sizes {}, {}, {} and {} differ", values.size(), gradients.size(),
        mean.size(), variance.size());
  const double t = static_cast<double>(step.step);
  const auto beta1 = static_cast<real>(step.beta1);
  const auto beta2 = static_cast<real>(step.beta2);
  // 1 - beta in double: the difference of the rounded beta would be off by 1e-5.
  const auto rest1 = static_cast<real>(1 - step.beta1);
  const auto rest2 = static_cast<real>(1 - step.beta2);
  const auto gradient_scale = static_cast<real>(step.gradient_scale);
  const auto rate = static_cast<real>(step.learning_rate / (1 - std::pow(step.beta1, t)));
  const auto variance_scale = static_cast<real>(1 / (1 - std::pow(step.beta2, t)));
  const auto epsilon = static_cast<real>(step.epsilon);
  const auto kept = static_cast<real>(1 - step.learning_rate * step.weight_decay);
  const auto value = values.data();
  const auto gradient = gradients.data();
  const auto m = mean.data();
  const auto v = variance.data();
  const auto update = [=] DRAGOMAN_HOST_DEVICE(int64_t i) {
    const real g = gradient_scale * gradient[i];
    m[i] = beta1 * m[i] + rest1 * g;
    v[i] = beta2 * v[i] + rest2 * g * g;
    return kept * value[i] - rate * m[i] / (std::sqrt(variance_scale * v[i]) + epsilon);
  };
  if (low.defined()) {
    const auto copy = low.data<Bf16>();
    launch::map(values.device(), values.size(), [=] DRAGOMAN_HOST_DEVICE(int64_t i) {
      const real next = update(i);
      value[i] = next;
      copy[i] = next;
    });
  } else {
    launch::map(values.device(), values.size(),
                [=] DRAGOMAN_HOST_DEVICE(int64_t i) { value[i] = update(i); });
  }
}

void average_update(const Tensor& average, const Tensor& values, double decay) {
  check(average.size() == values.size(), "average_update: the sizes {} and {} differ",
        average.size(), values.size());
  const auto to = average.data();
  const auto from = values.data();
  const auto rest = static_cast<real>(1 - decay);
  launch::map(values.device(), values.size(),
              [=] DRAGOMAN_HOST_DEVICE(int64_t i) { to[i] += rest * (from[i] - to[i]); });
}

}  // namespace dragoman
