// Normalisation of rows, of a matrix or of a residual sum that is made in the same pass. Forward
// keeps two numbers a row; backward computes the normalised values again from them.
#include <cmath>

#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

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

// What happens to a row before it is normalised: nothing, or it is made, as a sum with dropout.
struct AsItIs {
  DRAGOMAN_HOST_DEVICE void operator()(Lane, int64_t) const {}
};
template <class In>
struct AddRow {
  Mask mask;
  const real* x;
  const In* added;
  real* sum;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const real* p = x + row * columns;
    const In* q = added + row * columns;
    real* s = sum + row * columns;
    mask.row(lane, row, columns, [=](int64_t c, real factor) { s[c] = p[c] + factor * q[c]; });
  }
};

// Normalises a row of `in`, into numbers of the type T.
template <class T, class Before>
struct NormaliseRow {
  Before before;
  const real* in;
  T* out;
  real* statistics;
  const real* gain;
  const real* bias;  // null: the root mean square
  int64_t columns;
  real epsilon;

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    before(lane, row);
    const real share = real{1} / static_cast<real>(columns);
    const real* v = in + row * columns;
    const real *g = gain, *b = bias;
    T* to = out + row * columns;
    const real mean = b ? share * lane.sum(columns, [=](int64_t c) { return v[c]; }) : real{0};
    const real variance =
        share * lane.sum(columns, [=](int64_t c) { return (v[c] - mean) * (v[c] - mean); });
    const real inverse = 1 / std::sqrt(variance + epsilon);
    lane.once([=, saved = statistics] {
      saved[2 * row] = mean;
      saved[2 * row + 1] = inverse;
    });
    if (b) {
      lane.each(columns, [=](int64_t c) { to[c] = (v[c] - mean) * inverse * g[c] + b[c]; });
    } else {
      lane.each(columns, [=](int64_t c) { to[c] = v[c] * inverse * g[c]; });
    }
  }
};

template <class Before>
Normalised normalise(const Norm& norm, const Tensor& x, const Before& before) {
  const int64_t n = x.rows(), d = x.columns();
  Normalised made{Tensor::empty(x.shape(), norm.type, x.device()),
                  Tensor::empty({n, 2}, DType::kReal, x.device())};
  visit(made.values, [&]<class T>(T* out) {
    launch::rows(
        x.device(), n, d,
        NormaliseRow<T, Before>{before, x.data(), out, made.statistics.data(), norm.gain.data(),
                                norm.centred ? norm.bias.data() : nullptr, d, norm.epsilon});
  });
  return made;
}

// The gradient of one row's values from that of its normalised ones, of the type D, element by
// element to `write`.
template <class D>
struct RowGradient {
  const real* x;
  const real* statistics;
  const real* gain;
  const D* d_normed;
  int64_t columns;
  bool centred;

  template <class Write>
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row, Write write) const {
    const real* v = x + row * columns;
    const D* e = d_normed + row * columns;
    const real* g = gain;
    const real share = real{1} / static_cast<real>(columns);
    const real mean = statistics[2 * row], inverse = statistics[2 * row + 1];
    const real total =
        centred ? share * lane.sum(columns, [=](int64_t c) { return e[c] * g[c]; }) : real{0};
    const real along =
        share * inverse * lane.sum(columns, [=](int64_t c) { return e[c] * g[c] * (v[c] - mean); });
    lane.each(columns, [=](int64_t c) {
      write(c, inverse * (e[c] * g[c] - total - (v[c] - mean) * inverse * along));
    });
  }
};

template <class D>
struct WriteRowGradient {
  RowGradient<D> gradient;
  GradientWriter to;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const int64_t begin = row * gradient.columns;
    gradient(lane, row, [=, to = to](int64_t c, real value) { to(begin + c, value); });
  }
};

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
};
template <class D>
struct BiasGradient {
  const D* d_out;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    return d_out[row * columns + c];
  }
};

template <class D>
void add_gradients_of(const Norm& norm, const Tensor& x, const RowGradient<D>& rows) {
  const int64_t n = x.rows(), d = rows.columns;
  const GradientWriter dg = norm.gain.gradient(), db = norm.bias.gradient();
  const launch::ColumnSums gain{dg.data(), dg.accumulate(),
                                GainGradient<D>{rows.d_normed, rows.x, rows.statistics, d}};
  const launch::ColumnSums bias{db.data(), db.accumulate(), BiasGradient<D>{rows.d_normed, d}};
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
                   Launch launch) {
  const Tensor dy = convert(given, norm.type);
  visit(dy, [&]<class D>(D* d) {
    const RowGradient<D> rows{x.data(), statistics.data(), norm.gain.data(),
                              d,        x.columns(),       norm.centred};
    launch(rows);
    add_gradients_of(norm, x, rows);
  });
}

Variable normalise_rows(Tape& tape, const Variable& x, const Norm& norm) {
  check_norm(norm, x);
  const auto [y, statistics] = normalise(norm, x.value(), AsItIs{});
  const auto backward = [=, statistics = statistics](Tensor& dy) {
    norm_backward(norm, x.value(), statistics, dy, [&]<class D>(const RowGradient<D>& rows) {
      if (const GradientWriter dx = x.gradient()) {
        launch::rows(dy.device(), dy.rows(), dy.columns(), WriteRowGradient<D>{rows, dx});
      }
    });
  };
  return tape.record(norm.operation, y, {x, norm.gain, norm.bias}, backward).prefers(norm.type);
}

// A row of the gradient of a residual sum, where what came from its other readers may stand
// already, and what of it goes through dropout.
template <class D, class W>
struct SumGradient {
  RowGradient<D> from_norm;  // without numbers, if nobody reads the normalised rows
  GradientWriter to;
  Mask mask;
  W write;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const int64_t columns = from_norm.columns, begin = row * columns;
    if (from_norm.d_normed) {
      from_norm(lane, row, [=, to = to](int64_t c, real value) { to(begin + c, value); });
    }
    const real* e = to.data() + begin;
    mask.row(lane, row, columns,
             [=, to = write](int64_t c, real factor) { to(begin + c, factor * e[c]); });
  }
};

// For what is added, where it wants no gradient.
struct Nowhere {
  DRAGOMAN_HOST_DEVICE void operator()(int64_t, real) const {}
};

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
            launch::rows(sum.device(), n, d, SumGradient<D, W>{rows, to, mask, write_added});
          };
          added.needs_gradient() ? write_gradient(added, launch) : launch(Nowhere{});
        };
        if (dy[1].defined()) {
          norm_backward(norm, sum, statistics, dy[1], write);
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
