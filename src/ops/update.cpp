#include "ops/update.h"

#include <algorithm>
#include <cmath>

#include "tensor/launch.h"

namespace dragoman {
namespace {

// Elements that are summed in the engine's own precision; the sums are then added in double. A
// piece is one thread's, so that the result is the same for any number of threads.
constexpr int64_t kPiece = 4096;

// The sum of squares of each piece.
Tensor squares_of_pieces(const Tensor& x) {
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
  return sums;
}

// Whether a kernel finds that there is to be no update. Where the host knows it, it launches none.
DRAGOMAN_HOST_DEVICE inline bool is_off(const DeviceValue<int32_t>& wanted) {
  return !wanted.known() && wanted.get() == 0;
}

#if defined(DRAGOMAN_CUDA) || defined(DRAGOMAN_EMULATED_GPU)
// The host must not take what it does not know for a 0, which would be "no update": no test but on
// a GPU would show it.
constexpr int32_t kSomewhere = 0;
static_assert(!DeviceValue<int32_t>::at(&kSomewhere).known() && DeviceValue<int32_t>(1).known());
#endif

struct Adam {
  real *value, *mean, *variance;
  const real* gradient;
  real beta1, rest1, beta2, rest2, epsilon;

  struct Loaded {
    real value, mean, variance, gradient;
  };
  DRAGOMAN_HOST_DEVICE Loaded load(int64_t i) const {
    return {value[i], mean[i], variance[i], gradient[i]};
  }
  DRAGOMAN_HOST_DEVICE real next(int64_t i, const Loaded& old, const StepInputs& inputs,
                                 real scale) const {
    const real g = scale * old.gradient;
    const real m = beta1 * old.mean + rest1 * g, v = beta2 * old.variance + rest2 * g * g;
    mean[i] = m;
    variance[i] = v;
    return inputs.kept * old.value -
           inputs.learning_rate * m / (std::sqrt(inputs.variance_scale * v) + epsilon);
  }
};

struct AdamEach {
  Adam adam;
  DeviceValue<StepInputs> inputs;
  DeviceValue<int32_t> finite;
  DeviceValue<real> scale;
  DRAGOMAN_HOST_DEVICE Adam::Loaded load(int64_t i) const { return adam.load(i); }
  DRAGOMAN_HOST_DEVICE void store(int64_t i, const Adam::Loaded& old) const {
    if (is_off(finite)) return;
    adam.value[i] = adam.next(i, old, inputs.get(), scale.get());
  }
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { store(i, load(i)); }
};
// The same with the copy that products read.
struct AdamEachBf16 {
  AdamEach each;
  Bf16* bf16_copy;
  DRAGOMAN_HOST_DEVICE Adam::Loaded load(int64_t i) const { return each.load(i); }
  DRAGOMAN_HOST_DEVICE void store(int64_t i, const Adam::Loaded& old) const {
    if (is_off(each.finite)) return;
    const real next = each.adam.next(i, old, each.inputs.get(), each.scale.get());
    each.adam.value[i] = next;
    bf16_copy[i] = next;
  }
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { store(i, load(i)); }
};

struct AverageEach {
  real* to;
  const real* from;
  DeviceValue<real> share;
  DeviceValue<int32_t> wanted;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const {
    if (is_off(wanted)) return;
    to[i] += share.get() * (from[i] - to[i]);
  }
};

}  // namespace

void add_loss(const CrossEntropy& batch, bool first, const Record<StepResult>& result) {
  const int64_t n = batch.log_probabilities.size();
  const auto from = batch.log_probabilities.data();
  const auto loss = batch.loss.data();
  const auto to = result.address();
  launch::rows(
      result.device(), 1, std::max(n, kPiece), [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t) {
        const double log_probability = lane.sum_in_double(n, [=](int64_t i) { return from[i]; });
        lane.once([=] {
          to->loss = first ? loss[0] : to->loss + loss[0];
          to->log_probability = first ? log_probability : to->log_probability + log_probability;
        });
      });
}

void measure_gradients(const Tensor& gradients, const Record<StepInputs>& inputs,
                       const Record<StepResult>& result) {
  const Tensor sums = squares_of_pieces(gradients);
  const int64_t pieces = sums.size();
  const auto parts = sums.data();
  const auto say = inputs.address();
  const auto to = result.address();
  launch::rows(
      result.device(), 1, std::max(pieces, kPiece), [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t) {
        const double squares = lane.sum_in_double(pieces, [=](int64_t i) { return parts[i]; });
        lane.once([=] {
          const double share = say->gradient_share, limit = say->clip_norm;
          const double norm = std::sqrt(squares) * share;
          const bool clips = limit > 0 && norm > limit;
          to->norm = norm;
          to->finite = norm - norm == 0;
          to->gradient_scale = static_cast<real>(clips ? share * limit / norm : share);
        });
      });
}

StepInputs adam_inputs(const AdamOptions& options, int64_t step, double learning_rate) {
  const auto t = static_cast<double>(step);
  return {.step = static_cast<uint32_t>(step),
          .learning_rate = static_cast<real>(learning_rate / (1 - std::pow(options.beta1, t))),
          .variance_scale = static_cast<real>(1 / (1 - std::pow(options.beta2, t))),
          .kept = static_cast<real>(1 - learning_rate * options.weight_decay)};
}

void adam_update(const AdamBuffers& buffers, const Tensor& gradients, const AdamOptions& options,
                 const Record<StepInputs>& inputs, const Record<StepResult>& result) {
  const auto& [values, mean, variance, bf16_copy] = buffers;
  check(gradients.size() == values.size() && mean.size() == values.size() &&
            variance.size() == values.size(),
        "adam_update: the sizes {}, {}, {} and {} differ", values.size(), gradients.size(),
        mean.size(), variance.size());
  const DeviceValue<int32_t> finite = result.device_value(&StepResult::finite);
  if (finite.known() && !finite.get()) return;
  // 1 - beta in double: the difference of the rounded beta would be off by 1e-5.
  const Adam adam{values.data(),
                  mean.data(),
                  variance.data(),
                  gradients.data(),
                  static_cast<real>(options.beta1),
                  static_cast<real>(1 - options.beta1),
                  static_cast<real>(options.beta2),
                  static_cast<real>(1 - options.beta2),
                  static_cast<real>(options.epsilon)};
  const AdamEach each{adam, inputs.device_value(), finite,
                      result.device_value(&StepResult::gradient_scale)};
  if (bf16_copy.defined()) {
    launch::map(values.device(), values.size(), AdamEachBf16{each, bf16_copy.data<Bf16>()});
  } else {
    launch::map(values.device(), values.size(), each);
  }
}

void average_update(const Tensor& average, const Tensor& values, DeviceValue<real> share,
                    DeviceValue<int32_t> wanted) {
  check(average.size() == values.size(), "average_update: the sizes {} and {} differ",
        average.size(), values.size());
  if (wanted.known() && !wanted.get()) return;
  launch::map(values.device(), values.size(),
              AverageEach{average.data(), values.data(), share, wanted});
}

}  // namespace dragoman
