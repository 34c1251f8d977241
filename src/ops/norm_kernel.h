// What norms launch for each row.
#pragma once

#include <cmath>

#include "ops/checks.h"
#include "tensor/launch.h"

namespace dragoman::norm_detail {

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

// Sums for the gradients of gain and bias, each over some rows, [groups, columns]; undefined where
// they are not made, that of the bias also where there is none.
struct PartialSums {
  Tensor gain, bias;
};

// For what is added, where it wants no gradient.
struct Nowhere {
  DRAGOMAN_HOST_DEVICE void operator()(int64_t, real) const {}
};

}  // namespace dragoman::norm_detail
