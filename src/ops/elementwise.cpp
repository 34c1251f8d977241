// Operations on each element by itself. A unary operation is a functor: f is its value, df its
// derivative, from the input x or, if kKeepsResult, from what became of the value.
#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// What a unary operation launches: from numbers of the type In to a result of the type T, and back
// to a writer W. The result's gradient is of its type.
template <class F, class In, class T>
struct UnaryForward {
  const In* in;
  T* out;
  DRAGOMAN_HOST_DEVICE In load(int64_t i) const { return in[i]; }
  DRAGOMAN_HOST_DEVICE void store(int64_t i, real x, real factor) const {
    out[i] = factor * F::f(x);
  }
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i, real factor) const { store(i, load(i), factor); }
};
template <class F, class Kept, class T, class W>
struct UnaryBackward {
  const Kept* kept;
  const T* d;
  W dx;
  struct Loaded {
    T d;
    Kept kept;
  };
  DRAGOMAN_HOST_DEVICE Loaded load(int64_t i) const { return {d[i], kept[i]}; }
  DRAGOMAN_HOST_DEVICE void store(int64_t i, const Loaded& loaded, real factor) const {
    dx(i, loaded.d * factor * F::df(loaded.kept));
  }
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i, real factor) const { store(i, load(i), factor); }
};

template <class F>
Variable unary(Tape& tape, std::string_view name, const Variable& x, const Epilogue& epilogue) {
  const Mask mask(tape, name, epilogue.dropout);
  Tensor y = Tensor::empty(x.shape(), epilogue.type, x.value().device());
  visit(x.value(), [&]<class In>(In* in) {
    visit(y, [&]<class T>(T* out) {
      mask.map(y.device(), y.size(), UnaryForward<F, In, T>{in, out});
    });
  });
  const Tensor kept = F::kKeepsResult ? y : x.value();
  const auto backward = [=, x = x.gradient_only()](Tensor& given) {
    const Tensor dy = convert(given, epilogue.type);
    write_gradient(x, [&]<class W>(W dx) {
      visit(kept, [&]<class Kept>(Kept* from) {
        visit(dy, [&]<class T>(T* d) {
          mask.map(dy.device(), dy.size(), UnaryBackward<F, Kept, T, W>{from, d, dx});
        });
      });
    });
  };
  return tape.record(name, y, {x}, backward).prefers(epilogue.type);
}

struct Relu {
  static constexpr bool kKeepsResult = true;  // its sign is enough, whatever dropout did
  DRAGOMAN_HOST_DEVICE static real f(real x) { return x < 0 ? real{0} : x; }
  DRAGOMAN_HOST_DEVICE static real df(real y) { return y > 0 ? real{1} : real{0}; }
};

struct Gelu {
  static constexpr bool kKeepsResult = false;
  DRAGOMAN_HOST_DEVICE static real cumulative(real x) {
    return real(0.5) * (1 + erf_of(x * real(0.70710678118654752)));
  }
  DRAGOMAN_HOST_DEVICE static real f(real x) { return x * cumulative(x); }
  DRAGOMAN_HOST_DEVICE static real df(real x) {
    return cumulative(x) + x * real(0.39894228040143268) * exp_of(real(-0.5) * x * x);
  }
};

struct Sigmoid {
  static constexpr bool kKeepsResult = false;
  DRAGOMAN_HOST_DEVICE static real f(real x) { return sigmoid_of(x); }
  DRAGOMAN_HOST_DEVICE static real df(real x) {
    const real y = f(x);
    return y * (1 - y);
  }
};

struct Silu {
  static constexpr bool kKeepsResult = false;
  DRAGOMAN_HOST_DEVICE static real f(real x) { return x * sigmoid_of(x); }
  DRAGOMAN_HOST_DEVICE static real df(real x) {
    const real s = sigmoid_of(x);
    return s * (1 + x * (1 - s));
  }
};

struct Tanh {
  static constexpr bool kKeepsResult = false;
  DRAGOMAN_HOST_DEVICE static real f(real x) { return tanh_of(x); }
  DRAGOMAN_HOST_DEVICE static real df(real x) {
    const real y = f(x);
    return 1 - y * y;
  }
};

// The gated units: Gate is the functor of the gate's activation.
template <class Gate, class In, class T>
struct GatedForward {
  Mask mask;
  const In* in;
  T* out;
  int64_t d;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const In* value = in + row * 2 * d;
    T* to = out + row * d;
    mask.row(lane, row, d, [=, width = d](int64_t c, real factor) {
      to[c] = factor * value[c] * Gate::f(value[width + c]);
    });
  }
};
template <class Gate, class In, class T, class W>
struct GatedBackward {
  Mask mask;
  const In* in;
  const T* d_out;
  W dx;
  int64_t d;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const In* value = in + row * 2 * d;
    const T* e = d_out + row * d;
    mask.row(lane, row, d, [=, write = dx, width = d](int64_t c, real factor) {
      const real gate = value[width + c], g = factor * e[c];
      write(row * 2 * width + c, g * Gate::f(gate));
      write(row * 2 * width + width + c, g * value[c] * Gate::df(gate));
    });
  }
};

template <class Gate>
Variable gated(Tape& tape, std::string_view name, const Variable& x, const Epilogue& epilogue) {
  check(x.columns() % 2 == 0, "{}: values and gates need an even number of columns, not {}", name,
        x.shape());
  const Mask mask(tape, name, epilogue.dropout);
  const int64_t n = x.rows(), d = x.columns() / 2;
  Tensor y = Tensor::empty({n, d}, epilogue.type, x.value().device());
  visit(x.value(), [&]<class In>(In* in) {
    visit(y, [&]<class T>(T* out) {
      launch::rows(y.device(), n, d, GatedForward<Gate, In, T>{mask, in, out, d});
    });
  });
  const auto backward = [=](Tensor& given) {
    const Tensor dy = convert(given, epilogue.type);
    write_gradient(x, [&]<class W>(W dx) {
      visit(x.value(), [&]<class In>(In* in) {
        visit(dy, [&]<class T>(T* from) {
          launch::rows(dy.device(), n, d, GatedBackward<Gate, In, T, W>{mask, in, from, dx, d});
        });
      });
    });
  };
  return tape.record(name, y, {x}, backward).prefers(epilogue.type);
}

template <class W>
struct MaxoutBackward {
  const real *in, *d;
  W dx;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const {
    const bool first = in[2 * i] >= in[2 * i + 1];
    dx(2 * i, first ? d[i] : real{0});
    dx(2 * i + 1, first ? real{0} : d[i]);
  }
};

// Dropout is an epilogue of nothing; its gradient.
struct Identity {
  DRAGOMAN_HOST_DEVICE static real f(real x) { return x; }
};
template <class W>
struct Scaled {
  const real* d;
  W dx;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i, real factor) const { dx(i, d[i] * factor); }
};

struct Add {
  const real *a, *b;
  real* out;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { out[i] = a[i] + b[i]; }
};

}  // namespace

Variable add(Tape& tape, const Variable& a, const Variable& b) {
  check_same_shape("add", a, b);
  Tensor y = empty_like(a.value());
  launch::map(y.device(), y.size(), Add{a.data(), b.data(), y.data()});
  const auto backward = [a = a.gradient_only(), b = b.gradient_only()](Tensor& dy) {
    if (a.needs_gradient() && b.needs_gradient()) a.add_gradient(dy);
    (b.needs_gradient() ? b : a).add_gradient(std::move(dy));
  };
  return tape.record("add", y, {a, b}, backward).prefers(preferred_by_all({a, b}));
}

Variable subtract(Tape& tape, const Variable& a, const Variable& b) {
  check_same_shape("subtract", a, b);
  Tensor y = empty_like(a.value());
  {
    const auto p = a.data();
    const auto q = b.data();
    const auto out = y.data();
    launch::map(y.device(), y.size(),
                [=] DRAGOMAN_HOST_DEVICE(int64_t i) { out[i] = p[i] - q[i]; });
  }
  return tape.record("subtract", y, {a, b}, [=](Tensor& dy) {
    if (const GradientWriter db = b.gradient()) {
      const auto d = dy.data();
      launch::map(dy.device(), dy.size(), [=] DRAGOMAN_HOST_DEVICE(int64_t i) { db(i, -d[i]); });
    }
    a.add_gradient(std::move(dy));
  });
}

Variable multiply(Tape& tape, const Variable& a, const Variable& b) {
  check_same_shape("multiply", a, b);
  Tensor y = empty_like(a.value());
  {
    const auto p = a.data();
    const auto q = b.data();
    const auto out = y.data();
    launch::map(y.device(), y.size(),
                [=] DRAGOMAN_HOST_DEVICE(int64_t i) { out[i] = p[i] * q[i]; });
  }
  return tape.record("multiply", y, {a, b}, [=](Tensor& dy) {
    // One after the other: a and b may be the same variable.
    if (const GradientWriter da = a.gradient()) {
      const auto d = dy.data();
      const auto q = b.data();
      launch::map(dy.device(), dy.size(),
                  [=] DRAGOMAN_HOST_DEVICE(int64_t i) { da(i, d[i] * q[i]); });
    }
    if (const GradientWriter db = b.gradient()) {
      const auto d = dy.data();
      const auto p = a.data();
      launch::map(dy.device(), dy.size(),
                  [=] DRAGOMAN_HOST_DEVICE(int64_t i) { db(i, d[i] * p[i]); });
    }
  });
}

Variable scale(Tape& tape, const Variable& x, real factor) {
  Tensor y = empty_like(x.value());
  {
    const auto in = x.data();
    const auto out = y.data();
    launch::map(y.device(), y.size(),
                [=] DRAGOMAN_HOST_DEVICE(int64_t i) { out[i] = factor * in[i]; });
  }
  return tape.record("scale", y, {x}, [=](Tensor& dy) {
    const GradientWriter dx = x.gradient();
    const auto d = dy.data();
    launch::map(dy.device(), dy.size(),
                [=] DRAGOMAN_HOST_DEVICE(int64_t i) { dx(i, factor * d[i]); });
  });
}

Variable add_bias(Tape& tape, const Variable& x, const Variable& bias) {
  check_columns("add_bias", "the bias", bias, x.columns());
  const int64_t d = x.columns();
  Tensor y = empty_like(x.value());
  {
    const auto in = x.data();
    const auto b = bias.data();
    const auto out = y.data();
    launch::rows(y.device(), x.rows(), d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      lane.each(d, [=](int64_t c) { out[row * d + c] = in[row * d + c] + b[c]; });
    });
  }
  return tape.record("add_bias", y, {x, bias}, [=](Tensor& dy) {
    if (const GradientWriter db = bias.gradient()) {
      const auto g = dy.data();
      launch::sum_rows(dy.device(), dy.rows(), d,
                       launch::ColumnSums{db.data(), db.accumulate(),
                                          [=] DRAGOMAN_HOST_DEVICE(int64_t row, int64_t c) {
                                            return g[row * d + c];
                                          }});
    }
    x.add_gradient(std::move(dy));
  });
}

Variable sum(Tape& tape, const Variable& x) {
  Tensor y = Tensor::empty({1}, DType::kReal, x.value().device());
  {
    const auto n = x.value().size();
    const auto in = x.data();
    const auto out = y.data();
    launch::rows(y.device(), 1, x.value().size(), [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t) {
      const real total = lane.sum(n, [=](int64_t i) { return in[i]; });
      lane.once([=] { out[0] = total; });
    });
  }
  return tape.record("sum", y, {x}, [=](Tensor& dy) {
    const GradientWriter dx = x.gradient();
    const auto d = dy.data();
    launch::map(dy.device(), x.value().size(),
                [=] DRAGOMAN_HOST_DEVICE(int64_t i) { dx(i, d[0]); });
  });
}

Variable relu(Tape& tape, const Variable& x, const Epilogue& epilogue) {
  return unary<Relu>(tape, "relu", x, epilogue);
}
Variable gelu(Tape& tape, const Variable& x, const Epilogue& epilogue) {
  return unary<Gelu>(tape, "gelu", x, epilogue);
}
Variable silu(Tape& tape, const Variable& x, const Epilogue& epilogue) {
  return unary<Silu>(tape, "silu", x, epilogue);
}
Variable tanh(Tape& tape, const Variable& x, const Epilogue& epilogue) {
  return unary<Tanh>(tape, "tanh", x, epilogue);
}
Variable sigmoid(Tape& tape, const Variable& x, const Epilogue& epilogue) {
  return unary<Sigmoid>(tape, "sigmoid", x, epilogue);
}

Variable glu(Tape& tape, const Variable& x, const Epilogue& epilogue) {
  return gated<Sigmoid>(tape, "glu", x, epilogue);
}
Variable swiglu(Tape& tape, const Variable& x, const Epilogue& epilogue) {
  return gated<Silu>(tape, "swiglu", x, epilogue);
}
Variable geglu(Tape& tape, const Variable& x, const Epilogue& epilogue) {
  return gated<Gelu>(tape, "geglu", x, epilogue);
}

Variable maxout(Tape& tape, const Variable& x) {
  check(x.columns() % 2 == 0, "maxout: pairs need an even number of columns, not {}", x.shape());
  Tensor y = Tensor::empty({x.rows(), x.columns() / 2}, DType::kReal, x.value().device());
  {
    const auto in = x.data();
    const auto out = y.data();
    launch::map(y.device(), y.size(), [=] DRAGOMAN_HOST_DEVICE(int64_t i) {
      out[i] = in[2 * i] >= in[2 * i + 1] ? in[2 * i] : in[2 * i + 1];
    });
  }
  return tape.record("maxout", y, {x}, [=](Tensor& dy) {
    write_gradient(x, [&]<class W>(W dx) {
      launch::map(dy.device(), dy.size(), MaxoutBackward<W>{x.data(), dy.data(), dx});
    });
  });
}

Variable dropout(Tape& tape, const Variable& x, real probability) {
  const Mask mask(tape, "dropout", probability);
  if (!mask.drops()) return x;
  Tensor y = empty_like(x.value());
  mask.map(y.device(), y.size(), UnaryForward<Identity, real, real>{x.data(), y.data()});
  return tape.record("dropout", y, {x}, [=, x = x.gradient_only()](Tensor& dy) {
    write_gradient(x, [&]<class W>(W dx) {
      mask.map(dy.device(), dy.size(), Scaled<W>{dy.data(), dx});
    });
  });
}

}  // namespace dragoman
