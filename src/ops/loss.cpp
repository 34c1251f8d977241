// The loss over the vocabulary. It is the widest matrix of a step (2000 tokens x 8000 pieces are
// 64 MB), so it is read once forward, where only the logarithm of each row's total is kept, and
// once backward, where the gradient overwrites it.
#include <cmath>

#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// The gradient of a row of logits, which may take their place.
template <class T>
struct LossGradient {
  const real* logits;
  const int32_t* targets;
  const real* log_totals;
  const real* d_loss;
  T* out;
  int64_t classes;
  real uniform, smoothing;

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const real* v = logits + row * classes;
    T* to = out + row * classes;
    const int64_t target = targets[row];
    if (target < 0) {
      lane.each(classes, [=](int64_t c) { to[c] = real{0}; });
      return;
    }
    const real log_total = log_totals[row], factor = d_loss[0], spread = uniform;
    const real at_target = factor * (exp_of(v[target] - log_total) - spread - (1 - smoothing));
    lane.each(classes, [=](int64_t c) { to[c] = factor * (exp_of(v[c] - log_total) - spread); });
    lane.once([=] { to[target] = at_target; });
  }
};

}  // namespace

CrossEntropy cross_entropy(Tape& tape, Variable logits, const Tensor& targets, real smoothing) {
  check(smoothing >= 0 && smoothing < 1, "cross_entropy: the smoothing {} is not in [0, 1)",
        smoothing);
  const int64_t n = logits.rows(), classes = logits.columns();
  check_ids("cross_entropy", "the targets", targets, n);
  const Device device = logits.value().device();
  const real uniform = smoothing / static_cast<real>(classes);
  Tensor log_totals = Tensor::empty({n}, DType::kReal, device);
  Tensor log_probabilities = Tensor::empty({n}, DType::kReal, device);
  Tensor losses = Tensor::empty({n}, DType::kReal, device);
  {
    const auto in = logits.data();
    const auto ids = targets.data<int32_t>();
    const auto saved = log_totals.data();
    const auto chosen = log_probabilities.data();
    const auto out = losses.data();
    launch::rows(device, n, classes, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const real* v = in + row * classes;
      const int64_t target = ids[row];
      if (target < 0) {
        lane.once([=] { saved[row] = chosen[row] = out[row] = 0; });
        return;
      }
      const real most = lane.max(classes, [=](int64_t c) { return v[c]; });
      const real log_total =
          most + std::log(lane.sum(classes, [=](int64_t c) { return exp_of(v[c] - most); }));
      const real total = lane.sum(classes, [=](int64_t c) { return v[c]; });
      lane.once([=] {
        saved[row] = log_total;
        chosen[row] = v[target] - log_total;
        out[row] = -(1 - smoothing) * chosen[row] +
                   uniform * (static_cast<real>(classes) * log_total - total);
      });
    });
  }
  Tensor loss = Tensor::empty({1}, DType::kReal, device);
  {
    const auto in = losses.data();
    const auto out = loss.data();
    launch::rows(device, 1, n, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t) {
      const real total = lane.sum(n, [=](int64_t row) { return in[row]; });
      lane.once([=] { out[0] = total; });
    });
  }
  Variable result = tape.record("cross_entropy", loss, {logits}, [=](Tensor& d_loss) {
    Sink& sink = *logits.sink();
    const bool in_place = sink.preferred == DType::kReal;
    Tensor gradient = in_place ? logits.value() : Tensor::empty(sink.shape, sink.preferred, device);
    visit(gradient, [&]<class T>(T* to) {
      launch::rows(device, n, classes,
                   LossGradient<T>{logits.data(), targets.data<int32_t>(), log_totals.data(),
                                   d_loss.data(), to, classes, uniform, smoothing});
    });
    if (sink.written) {
      logits.add_gradient(gradient);
    } else {
      sink.gradient = gradient;
      sink.written = true;
    }
  });
  return {result, log_probabilities};
}

}  // namespace dragoman
