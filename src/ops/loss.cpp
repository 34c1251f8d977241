// The loss over the vocabulary. Its logits are the widest matrix of a step: 2000 tokens x 8000
// pieces are 64 MB, which took longer to write and to read again than to compute. Hence the output
// layer is part of the operation: it is computed for a few tokens at a time, whose logits stay in
// the cache and become their gradient there. What is kept is that gradient, as products read it. A
// GPU's cache is too small for that: its logits are of the products' type, and the gradient takes
// their place.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "ops/products.h"
#include "tensor/launch.h"
#if defined(DRAGOMAN_KERNELS)
#include "ops/gpu/loss.h"
#endif

namespace dragoman {
namespace {

// Tokens at a time: with packed weights, and where each product would have to pack them again or a
// GPU wants more to do.
constexpr int64_t kFewTokens = 64;
constexpr int64_t kManyTokens = 2048;

// The loss of a row of logits, and their gradient if `gradient` is not null. The logits are lost.
template <class L, class T>
struct RowLoss {
  using Logit = L;
  L* logits;
  const int32_t* targets;
  real *losses, *log_probabilities;
  T* gradient;  // may be in the logits' place
  int64_t classes;
  real uniform, smoothing;

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    L* v = logits + row * classes;
    T* to = gradient ? gradient + row * classes : nullptr;
    const int64_t target = targets[row];
    if (target < 0) {
      lane.once([=, *this] { losses[row] = log_probabilities[row] = 0; });
      if (to) lane.each(classes, [=](int64_t c) { to[c] = real{0}; });
      return;
    }
    // Exponentials are made once and kept in the logits' place, unless that would round them.
    constexpr bool kKept = std::is_same_v<L, real>;
    const real at_target = v[target];  // before the exponentials, which a lane may begin early
    const real most = lane.max(classes, [=](int64_t c) { return static_cast<real>(v[c]); });
    const real total = lane.sum(classes, [=](int64_t c) { return static_cast<real>(v[c]); });
    const real exponentials = lane.sum(classes, [=](int64_t c) {
      const real made = exp_of(static_cast<real>(v[c]) - most);
      if constexpr (kKept) v[c] = made;
      return made;
    });
    const real log_total = most + std::log(exponentials);
    lane.once([=, *this] {
      log_probabilities[row] = at_target - log_total;
      losses[row] = -(1 - smoothing) * log_probabilities[row] +
                    uniform * (static_cast<real>(classes) * log_total - total);
    });
    if (!to) return;
    const real share = 1 / exponentials, spread = uniform;
    const auto gradient_of = [=](int64_t c) {
      const real value = v[c];
      return (kKept ? value : exp_of(value - most)) * share - spread;
    };
    const real hit = gradient_of(target) - (1 - smoothing);
    lane.each(classes, [=](int64_t c) { to[c] = gradient_of(c); });
    lane.once([=] { to[target] = hit; });
  }
};

// A row times a factor, which is nearly always one: the loss is what is differentiated.
template <class T>
struct ScaleRow {
  T* rows;
  const real* factor;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const real by = factor[0];
    if (by == 1) return;
    T* x = rows + row * columns;
    lane.each(columns, [=](int64_t c) { x[c] = by * x[c]; });
  }
};

Tensor sum_of(const Tensor& losses) {
  const Tensor loss = Tensor::empty({1}, DType::kReal, losses.device());
  const int64_t n = losses.size();
  const auto in = losses.data();
  const auto out = loss.data();
  launch::rows(losses.device(), 1, n, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t) {
    const real total = lane.sum(n, [=](int64_t row) { return in[row]; });
    lane.once([=] { out[0] = total; });
  });
  return loss;
}

}  // namespace

CrossEntropy cross_entropy(Tape& tape, const Variable& x, const Variable& weight,
                           const Variable& bias, const Tensor& targets, real smoothing) {
  check(smoothing >= 0 && smoothing < 1, "cross_entropy: the smoothing {} is not in [0, 1)",
        smoothing);
  check_columns("cross_entropy", "the weight", weight, x.columns());
  check_columns("cross_entropy", "the bias", bias, weight.rows());
  const int64_t n = x.rows(), classes = weight.rows();
  check_ids("cross_entropy", "the targets", targets, n);
  const Device device = x.value().device();
  const Tensor left = operand(tape, x), right = operand(tape, weight);
  const Tensor packed_right = packed(right, true);
  const bool differentiable =
      tape.recording() && (x.needs_gradient() || weight.needs_gradient() || bias.needs_gradient());
  const Tensor gradient =
      differentiable ? Tensor::empty({n, classes}, tape.products(), device) : Tensor();
  const DType type = device.on_gpu() ? tape.products() : DType::kReal;
  const bool in_place = differentiable && gradient.dtype() == type;
  // A GPU's cache holds too few logits to be worth several products.
  const int64_t most = in_place && device.on_gpu()
                           ? n
                           : std::min(n, packed_right.defined() ? kFewTokens : kManyTokens);
  const Tensor scratch = in_place ? Tensor() : Tensor::empty({most, classes}, type, device);
  const Tensor added = bias_as(bias, type);
  const Tensor losses = Tensor::empty({n}, DType::kReal, device), chosen = empty_like(losses);
  const real uniform = smoothing / static_cast<real>(classes);
  for (int64_t begin = 0; begin < n; begin += most) {
    const int64_t end = std::min(n, begin + most);
    const Tensor logits =
        in_place ? gradient.slice_rows(begin, end) : scratch.slice_rows(0, end - begin);
    product(tape.tf32(), left.slice_rows(begin, end), false, right, true, logits, {.bias = added},
            packed_right);
    visit(logits, [&]<class L>(L* from) {
      const auto run = [&]<class T>(T* to) {
        const RowLoss<L, T> loss{from,
                                 targets.data<int32_t>() + begin,
                                 losses.data() + begin,
                                 chosen.data() + begin,
                                 to,
                                 classes,
                                 uniform,
                                 smoothing};
#if defined(DRAGOMAN_KERNELS)
        if (device.on_gpu() && loss_detail::gpu::row_losses(device, end - begin, loss)) return;
#endif
        launch::rows(device, end - begin, classes, loss);
      };
      if (!differentiable) return run(static_cast<L*>(nullptr));
      if (in_place) return run(from);
      run(gradient.slice_rows(begin, end).template data<Bf16>());
    });
  }
  Variable loss =
      tape.record("cross_entropy", sum_of(losses), {x, weight, bias},
                  [=, x = x.gradient_only(), weight = weight.gradient_only(),
                   bias = bias.gradient_only(), tf32 = tape.tf32()](Tensor& d_loss) {
                    visit(gradient, [&]<class T>(T* rows) {
                      launch::rows(device, n, classes, ScaleRow<T>{rows, d_loss.data(), classes});
                    });
                    product_gradients(tf32, gradient, x, left, false, weight, right, true, bias);
                  });
  return {loss, chosen};
}

}  // namespace dragoman
