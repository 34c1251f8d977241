// Normalisation of rows, of a matrix or of a residual sum that is made in the same pass. Forward
// keeps two numbers a row; backward computes the normalised values again from them.
#include "ops/batched_sums.h"
#include "ops/norm_kernel.h"
#include "ops/ops.h"
#if defined(DRAGOMAN_KERNELS)
#include "ops/gpu/norm.h"
#endif

namespace dragoman {
namespace {

using namespace norm_detail;

// Launches one of them for each row.
template <class F>
void launch_rows([[maybe_unused]] Device device, int64_t rows, int64_t columns, const F& f) {
#if defined(DRAGOMAN_KERNELS)
  if (device.on_gpu() && norm_detail::gpu::serves(columns)) {
    return norm_detail::gpu::rows(device, rows, columns, f);
  }
#endif
  launch::rows(device, rows, columns, f);
}

// The same for the gradient of rows. What sums for gain and bias come with it are partial ones.
template <class F>
PartialSums launch_gradients(Device device, int64_t rows, int64_t columns,
                             [[maybe_unused]] bool centred, const F& f) {
#if defined(DRAGOMAN_KERNELS)
  if (device.on_gpu() && norm_detail::gpu::serves(columns)) {
    return norm_detail::gpu::rows_and_sums(device, rows, columns, centred, f);
  }
#endif
  launch::rows(device, rows, columns, f);
  return {};
}

// What both kinds have in common; the root mean square is a deviation from a mean that is 0.
struct Norm {
  std::string_view operation;
  bool centred;
  Variable gain;
  Variable bias;  // defined if centred
  real epsilon;
  DType type;
};

void check_norm(const Norm& norm, const Variable& x) {
  check_columns(norm.operation, "the gain", norm.gain, x.columns());
  if (norm.centred) check_columns(norm.operation, "the bias", norm.bias, x.columns());
}

// Mean and 1 / deviation of each row of x, [n, 2], and the normalised rows.
struct Normalised {
  Tensor values;
  Tensor statistics;
};

template <class Before>
Normalised normalise(const Norm& norm, const Tensor& x, const Before& before) {
  const int64_t n = x.rows(), d = x.columns();
  Normalised made{Tensor::empty(x.shape(), norm.type, x.device()),
                  Tensor::empty({n, 2}, DType::kReal, x.device())};
  visit(made.values, [&]<class T>(T* out) {
    launch_rows(
        x.device(), n, d,
        NormaliseRow<T, Before>{before, x.data(), out, made.statistics.data(), norm.gain.data(),
                                norm.centred ? norm.bias.data() : nullptr, d, norm.epsilon});
  });
  return made;
}

// What is summed up for the gradient of the gain; for that of the bias it is d_out.
template <class D>
struct GainGradient {
  const D* d_out;
  const real *in, *statistics;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    const int64_t i = row * columns + c;
    return d_out[i] * (in[i] - statistics[2 * row]) * statistics[2 * row + 1];
  }
};

// Sums of partial sums.
using GainSums = BatchedSums<launch::Elements<real>, launch::Elements<real>>;

std::shared_ptr<GainSums> batched_sums(Tape& tape, const Norm& norm) {
  return norm.centred ? GainSums::of(tape, {norm.gain, norm.bias}) : nullptr;
}

// Adds the sums over n rows of what the functors say to the gradients of gain and bias.
template <class OfGain, class OfBias>
void add_sums(const Norm& norm, Device device, int64_t n, const OfGain& of_gain,
              const OfBias& of_bias) {
  const int64_t d = norm.gain.columns();
  const GradientWriter dg = norm.gain.gradient(), db = norm.bias.gradient();
  const launch::ColumnSums gain{dg.data(), dg.accumulate(), of_gain};
  const launch::ColumnSums bias{db.data(), db.accumulate(), of_bias};
  if (dg && db) {
    launch::sum_rows(device, n, d, gain, bias);
  } else if (dg) {
    launch::sum_rows(device, n, d, gain);
  } else if (db) {
    launch::sum_rows(device, n, d, bias);
  }
}

// Goes back over the norm of x: launches what `rows`, a RowGradient, is put into. `launch` returns
// the partial sums that came with it.
template <class Launch>
void norm_backward(const Norm& norm, const Tensor& x, const Tensor& statistics, const Tensor& given,
                   GainSums* batched, Launch launch) {
  const Tensor dy = convert(given, norm.type);
  const int64_t d = x.columns();
  visit(dy, [&]<class D>(D* d_normed) {
    const RowGradient<D> rows{x.data(), statistics.data(), norm.gain.data(), d_normed,
                              d,        norm.centred};
    const auto [gain, bias] = launch(rows);
    if (!gain.defined()) {
      return add_sums(norm, x.device(), x.rows(),
                      GainGradient<D>{d_normed, x.data(), statistics.data(), d},
                      launch::Elements<D>{d_normed, d});
    }
    const launch::Elements<real> of_gain{gain.data(), d};
    const launch::Elements<real> of_bias{norm.centred ? bias.data() : nullptr, d};
    if (batched) {
      batched->add(gain.rows(), d, {norm.gain, norm.bias}, {gain, bias}, of_gain, of_bias);
    } else {
      add_sums(norm, x.device(), gain.rows(), of_gain, of_bias);
    }
  });
}

Variable normalise_rows(Tape& tape, const Variable& x, const Norm& norm) {
  check_norm(norm, x);
  const auto [y, statistics] = normalise(norm, x.value(), AsItIs{});
  const auto batched = batched_sums(tape, norm);
  const auto backward = [=, statistics = statistics](Tensor& dy) {
    norm_backward(norm, x.value(), statistics, dy, batched.get(),
                  [&]<class D>(const RowGradient<D>& rows) {
                    const GradientWriter dx = x.gradient();
                    return dx ? launch_gradients(dy.device(), dy.rows(), dy.columns(), norm.centred,
                                                 WriteRowGradient<D>{rows, dx})
                              : PartialSums();
                  });
  };
  return tape.record(norm.operation, y, {x, norm.gain, norm.bias}, backward).prefers(norm.type);
}

SumAndNorm add_and_normalise(Tape& tape, const Variable& x, const Variable& added, real probability,
                             const Norm& norm) {
  check_same_shape(norm.operation, x, added);
  check_norm(norm, x);
  const Mask mask(tape, norm.operation, probability);
  const int64_t n = x.rows(), d = x.columns();
  Tensor sum = empty_like(x.value());
  const auto [normed, statistics] = visit(added.value(), [&]<class In>(In* in) {
    return normalise(norm, sum, AddRow<In>{mask, x.data(), in, sum.data(), d});
  });
  const auto batched = batched_sums(tape, norm);
  const std::vector<Variable> made = tape.record(
      norm.operation, {sum, normed}, {x, added, norm.gain, norm.bias},
      [=, statistics = statistics, x = x.gradient_only(),
       added = added.gradient_only()](std::span<Tensor> dy) {
        // The gradient of the sum is made in the memory of what came from its other readers.
        Tensor total = std::move(dy[0]);
        const bool adds = total.defined();
        if (!adds) total = empty_like(sum);
        if (!total.unique()) total = total.clone();
        const GradientWriter to(total.data(), adds);
        const auto write = [&]<class D>(const RowGradient<D>& rows) {
          PartialSums sums;
          const auto launch = [&]<class W>(W write_added) {
            const SumGradient<D, W> gradient{rows, to, mask, write_added};
            if (rows.d_normed) {
              sums = launch_gradients(sum.device(), n, d, norm.centred, gradient);
            } else {
              launch_rows(sum.device(), n, d, gradient);
            }
          };
          added.needs_gradient() ? write_gradient(added, launch) : launch(Nowhere{});
          return sums;
        };
        if (dy[1].defined()) {
          norm_backward(norm, sum, statistics, dy[1], batched.get(), write);
        } else {
          write(RowGradient<real>{sum.data(), nullptr, nullptr, nullptr, d, norm.centred});
          norm.gain.zeroed_gradient();
          norm.bias.zeroed_gradient();
        }
        x.add_gradient(std::move(total));
      });
  return {made[0], made[1].prefers(norm.type)};
}

}  // namespace

Variable layer_norm(Tape& tape, const Variable& x, const Variable& gain, const Variable& bias,
                    real epsilon, DType type) {
  return normalise_rows(tape, x, {"layer_norm", true, gain, bias, epsilon, type});
}

Variable rms_norm(Tape& tape, const Variable& x, const Variable& gain, real epsilon, DType type) {
  return normalise_rows(tape, x, {"rms_norm", false, gain, {}, epsilon, type});
}

SumAndNorm add_layer_norm(Tape& tape, const Variable& x, const Variable& added, real dropout,
                          const Variable& gain, const Variable& bias, real epsilon, DType type) {
  return add_and_normalise(tape, x, added, dropout,
                           {"add_layer_norm", true, gain, bias, epsilon, type});
}

SumAndNorm add_rms_norm(Tape& tape, const Variable& x, const Variable& added, real dropout,
                        const Variable& gain, real epsilon, DType type) {
  return add_and_normalise(tape, x, added, dropout,
                           {"add_rms_norm", false, gain, {}, epsilon, type});
}

}  // namespace dragoman
