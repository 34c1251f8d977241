// Normalisation of rows, of a matrix or of a residual sum that is made in the same pass. Forward
// keeps two numbers a row; backward computes the normalised values again from them.
#include "ops/late_sums.h"
#include "ops/norm_kernel.h"
#include "ops/ops.h"
#if defined(__CUDACC__)
#include "ops/norm_cuda.h"
#endif

namespace dragoman {
namespace {

using namespace norm_detail;

// Launches one of them for each row.
template <class F>
void launch_rows([[maybe_unused]] Device device, int64_t rows, int64_t columns, const F& f) {
#if defined(__CUDACC__)
  if (device.on_gpu() && norm_detail::gpu::serves(columns)) {
    return norm_detail::gpu::rows(device, rows, columns, f);
  }
#endif
  launch::rows(device, rows, columns, f);
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

// What is summed up for the gradients of gain and bias.
template <class D>
struct GainGradient {
  const D* d_out;
  const real *in, *statistics;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    const int64_t i = row * columns + c;
    return d_out[i] * (in[i] - statistics[2 * row]) * statistics[2 * row + 1];
  }
#if defined(__CUDACC__)
  __device__ void four(int64_t row, int64_t c, real (&to)[4]) const {
    const int64_t i = row * columns + c;
    real values[4];
    vectors::read(to, d_out + i);
    vectors::read(values, in + i);
    for (int k = 0; k < 4; ++k)
      to[k] *= (values[k] - statistics[2 * row]) * statistics[2 * row + 1];
  }
#endif
};
template <class D>
using GainSums = LateSums<GainGradient<D>, launch::Elements<D>>;

// What the sums for gain and bias are made by on a GPU, if the gradient that they read is bf16.
std::shared_ptr<GainSums<Bf16>> late_sums(Tape& tape, const Norm& norm) {
  const bool is_late = norm.centred && norm.type == DType::kBf16;
  return is_late ? GainSums<Bf16>::of(tape, {norm.gain, norm.bias}) : nullptr;
}

template <class D>
void add_gradients_of(const Norm& norm, const Tensor& x, const Tensor& statistics, const Tensor& dy,
                      const RowGradient<D>& rows, GainSums<Bf16>* late) {
  const int64_t n = x.rows(), d = rows.columns;
  const GainGradient<D> of_gain{rows.d_normed, rows.x, rows.statistics, d};
  const launch::Elements<D> of_bias{rows.d_normed, d};
  if constexpr (std::is_same_v<D, Bf16>) {
    if (late) return late->add(n, d, {norm.gain, norm.bias}, {x, statistics, dy}, of_gain, of_bias);
  }
  const GradientWriter dg = norm.gain.gradient(), db = norm.bias.gradient();
  const launch::ColumnSums gain{dg.data(), dg.accumulate(), of_gain};
  const launch::ColumnSums bias{db.data(), db.accumulate(), of_bias};
  if (dg && db) {
    launch::sum_rows(x.device(), n, d, gain, bias);
  } else if (dg) {
    launch::sum_rows(x.device(), n, d, gain);
  } else if (db) {
    launch::sum_rows(x.device(), n, d, bias);
  }
}

// Goes back over the norm of x: launches what `rows`, a RowGradient, is put into.
template <class Launch>
void norm_backward(const Norm& norm, const Tensor& x, const Tensor& statistics, const Tensor& given,
                   GainSums<Bf16>* late, Launch launch) {
  const Tensor dy = convert(given, norm.type);
  visit(dy, [&]<class D>(D* d) {
    const RowGradient<D> rows{x.data(), statistics.data(), norm.gain.data(),
                              d,        x.columns(),       norm.centred};
    launch(rows);
    add_gradients_of(norm, x, statistics, dy, rows, late);
  });
}

Variable normalise_rows(Tape& tape, const Variable& x, const Norm& norm) {
  check_norm(norm, x);
  const auto [y, statistics] = normalise(norm, x.value(), AsItIs{});
  const auto late = late_sums(tape, norm);
  const auto backward = [=, statistics = statistics](Tensor& dy) {
    norm_backward(
        norm, x.value(), statistics, dy, late.get(), [&]<class D>(const RowGradient<D>& rows) {
          if (const GradientWriter dx = x.gradient()) {
            launch_rows(dy.device(), dy.rows(), dy.columns(), WriteRowGradient<D>{rows, dx});
          }
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
  const auto late = late_sums(tape, norm);
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
          const auto launch = [&]<class W>(W write_added) {
            launch_rows(sum.device(), n, d, SumGradient<D, W>{rows, to, mask, write_added});
          };
          added.needs_gradient() ? write_gradient(added, launch) : launch(Nowhere{});
        };
        if (dy[1].defined()) {
          norm_backward(norm, sum, statistics, dy[1], late.get(), write);
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
