// The cells of recurrent networks: everything but the matrix products, in one pass.
//
// A step waits for memory more than for arithmetic. Hence what backward needs of it is kept in the
// type that products read, and the sums that it is made from are not kept at all.
#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// The sum from the input, of one part or of two, of numbers of the type In.
template <class In>
struct OnePart {
  using Number = In;
  const In* x;
  DRAGOMAN_HOST_DEVICE OnePart row(int64_t begin) const { return {x + begin}; }
  DRAGOMAN_HOST_DEVICE real operator()(int64_t i) const { return x[i]; }
};
template <class In>
struct TwoParts {
  using Number = In;
  const In *x, *y;
  DRAGOMAN_HOST_DEVICE TwoParts row(int64_t begin) const { return {x + begin, y + begin}; }
  DRAGOMAN_HOST_DEVICE real operator()(int64_t i) const { return x[i] + y[i]; }
};

template <class F>
void with_parts(const Variable& from_input, const Variable& from_context, F f) {
  visit(from_input.value(), [&]<class In>(const In* x) {
    if (from_context.defined()) {
      f(TwoParts<In>{x, from_context.value().data<In>()});
    } else {
      f(OnePart<In>{x});
    }
  });
}

void check_cell(std::string_view cell, int64_t gates, const Variable& from_input,
                const Variable& from_state, const Variable& state, const Variable& from_context) {
  check_same_shape(cell, from_input, from_state);
  if (from_context.defined()) check_same_shape(cell, from_input, from_context);
  check_columns(cell, "the gates", from_input, gates * state.columns());
  check(from_input.rows() == state.rows(), "{}: {} rows of gates for {} of states", cell,
        from_input.rows(), state.rows());
  const DType type = from_input.value().dtype();
  check(from_state.value().dtype() == type &&
            (!from_context.defined() || from_context.value().dtype() == type),
        "{}: the parts of the gates are of different types", cell);
}

// What a step shows, as a float and, for the products that read it, as bf16.
template <class T>
struct StateWriter {
  real* state;
  T* bf16_copy;  // null for floats
  DRAGOMAN_HOST_DEVICE StateWriter row(int64_t begin) const {
    return {state + begin, bf16_copy ? bf16_copy + begin : nullptr};
  }
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i, real value) const {
    state[i] = value;
    if constexpr (sizeof(T) < sizeof(real)) bf16_copy[i] = value;
  }
};

template <class T>
StateWriter<T> state_writer(const Tensor& state, const Tensor& bf16_copy) {
  return {state.data(), bf16_copy.defined() ? bf16_copy.data<T>() : nullptr};
}

// Of each row r, z, c and the state's part of the sum for c: what the gradients are made from.
template <class T, class X>
struct GruForward {
  X x;
  const typename X::Number* u;
  const real* h;
  T* saved;
  StateWriter<T> out;
  int64_t d;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const auto* from = u + row * 3 * d;
    const real* before = h + row * d;
    T* kept = saved + row * 4 * d;
    lane.each(d, [=, in = x.row(row * 3 * d), to = out.row(row * d), width = d](int64_t c) {
      const real reset = sigmoid_of(in(c) + from[c]);
      const real update = sigmoid_of(in(width + c) + from[width + c]);
      const real from_state = from[2 * width + c];
      const real candidate = tanh_of(in(2 * width + c) + reset * from_state);
      kept[c] = reset;
      kept[width + c] = update;
      kept[2 * width + c] = candidate;
      kept[3 * width + c] = from_state;
      to(c, (1 - update) * candidate + update * before[c]);
    });
  }
};

template <class T, class G>
struct GruBackward {
  const T* saved;
  const real *h, *d_next;
  G *dx, *du;
  GradientWriter dh;
  int64_t d;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const int64_t g = row * 3 * d, k = row * 4 * d, s = row * d;
    lane.each(d, [=, *this](int64_t c) {
      const real reset = saved[k + c], update = saved[k + d + c];
      const real candidate = saved[k + 2 * d + c], from_state = saved[k + 3 * d + c];
      const real next = d_next[s + c];
      const real d_update = next * (h[s + c] - candidate) * update * (1 - update);
      const real d_candidate = next * (1 - update) * (1 - candidate * candidate);
      const real d_reset = d_candidate * from_state * reset * (1 - reset);
      dx[g + c] = d_reset;
      dx[g + d + c] = d_update;
      dx[g + 2 * d + c] = d_candidate;
      du[g + c] = d_reset;
      du[g + d + c] = d_update;
      du[g + 2 * d + c] = d_candidate * reset;
      if (dh) dh(s + c, next * update);
    });
  }
};

// Of each row i, f, g, o.
template <class T, class X>
struct LstmForward {
  X x;
  const typename X::Number* u;
  const real* before;
  T* saved;
  StateWriter<T> hidden;
  real* after;
  int64_t d;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const auto* from = u + row * 4 * d;
    const real* old_cell = before + row * d;
    real* new_cell = after + row * d;
    T* kept = saved + row * 4 * d;
    lane.each(d, [=, in = x.row(row * 4 * d), to = hidden.row(row * d), width = d](int64_t c) {
      const real input = sigmoid_of(in(c) + from[c]);
      const real forget = sigmoid_of(in(width + c) + from[width + c]);
      const real candidate = tanh_of(in(2 * width + c) + from[2 * width + c]);
      const real output = sigmoid_of(in(3 * width + c) + from[3 * width + c]);
      kept[c] = input;
      kept[width + c] = forget;
      kept[2 * width + c] = candidate;
      kept[3 * width + c] = output;
      const real next = forget * old_cell[c] + input * candidate;
      new_cell[c] = next;
      to(c, output * tanh_of(next));
    });
  }
};

template <class T, class G>
struct LstmBackward {
  const T* saved;
  const real *before, *after;
  const real *d_hidden, *d_after;  // null where nothing depends on it
  G* d_gates;
  GradientWriter d_before;
  int64_t d;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const int64_t q = row * 4 * d, s = row * d;
    lane.each(d, [=, *this](int64_t c) {
      const real input = saved[q + c], forget = saved[q + d + c];
      const real candidate = saved[q + 2 * d + c], output = saved[q + 3 * d + c];
      const real squashed = tanh_of(after[s + c]);
      const real dh = d_hidden ? d_hidden[s + c] : real{0};
      const real dc =
          (d_after ? d_after[s + c] : real{0}) + dh * output * (1 - squashed * squashed);
      d_gates[q + c] = dc * candidate * input * (1 - input);
      d_gates[q + d + c] = dc * before[s + c] * forget * (1 - forget);
      d_gates[q + 2 * d + c] = dc * input * (1 - candidate * candidate);
      d_gates[q + 3 * d + c] = dh * squashed * output * (1 - output);
      if (d_before) d_before(s + c, dc * forget);
    });
  }
};

// Gives each part of a sum the gradient of the sum.
void add_to_parts(Tensor gradient, const Variable& from_input, const Variable& from_context) {
  if (from_context.needs_gradient()) from_context.add_gradient(gradient);
  from_input.add_gradient(std::move(gradient));
}

}  // namespace

Variable gru_cell(Tape& tape, const Variable& from_input, const Variable& from_state,
                  const Variable& state, const Variable& from_context) {
  check_cell("gru_cell", 3, from_input, from_state, state, from_context);
  const int64_t n = state.rows(), d = state.columns();
  const Device device = state.value().device();
  const Tensor next = empty_like(state.value());
  const Tensor saved = Tensor::empty({n, 4 * d}, tape.products(), device);
  const Tensor bf16_copy =
      saved.dtype() == DType::kBf16 ? Tensor::empty({n, d}, DType::kBf16, device) : Tensor();
  with_parts(from_input, from_context, [&]<class X>(X x) {
    visit(saved, [&]<class T>(T* kept) {
      launch::rows(device, n, 3 * d,
                   GruForward<T, X>{x, from_state.value().data<typename X::Number>(), state.data(),
                                    kept, state_writer<T>(next, bf16_copy), d});
    });
  });
  const Variable result = tape.record(
      "gru_cell", next, {from_input, from_state, state, from_context},
      [=, from_input = from_input.gradient_only(), from_state = from_state.gradient_only(),
       from_context = from_context.gradient_only()](Tensor& dy) {
        const DType type = preferred_by_all({from_input, from_state, from_context});
        const Tensor dx = from_input.new_gradient(type, {n, 3 * d}, device);
        const Tensor du = from_state.new_gradient(type, {n, 3 * d}, device);
        const GradientWriter dh = state.gradient();
        visit(saved, [&]<class T>(const T* kept) {
          visit(dx, [&]<class G>(G* to) {
            launch::rows(device, n, 3 * d,
                         GruBackward<T, G>{kept, state.data(), dy.data(), to, du.data<G>(), dh, d});
          });
        });
        add_to_parts(dx, from_input, from_context);
        from_state.add_gradient(du);
      });
  return bf16_copy.defined() ? result.with_bf16_copy(bf16_copy) : result;
}

LstmState lstm_cell(Tape& tape, const Variable& from_input, const Variable& from_state,
                    const Variable& cell, const Variable& from_context) {
  check_cell("lstm_cell", 4, from_input, from_state, cell, from_context);
  const int64_t n = cell.rows(), d = cell.columns();
  const Device device = cell.value().device();
  const Tensor next_hidden = empty_like(cell.value()), next_cell = empty_like(cell.value());
  const Tensor saved = Tensor::empty({n, 4 * d}, tape.products(), device);
  const Tensor bf16_copy =
      saved.dtype() == DType::kBf16 ? Tensor::empty({n, d}, DType::kBf16, device) : Tensor();
  with_parts(from_input, from_context, [&]<class X>(X x) {
    visit(saved, [&]<class T>(T* kept) {
      launch::rows(
          device, n, 4 * d,
          LstmForward<T, X>{x, from_state.value().data<typename X::Number>(), cell.data(), kept,
                            state_writer<T>(next_hidden, bf16_copy), next_cell.data(), d});
    });
  });
  const std::vector<Variable> next = tape.record(
      "lstm_cell", {next_hidden, next_cell}, {from_input, from_state, cell, from_context},
      [=, from_input = from_input.gradient_only(), from_state = from_state.gradient_only(),
       from_context = from_context.gradient_only()](std::span<Tensor> dy) {
        const DType type = preferred_by_all({from_input, from_state, from_context});
        const Tensor d_gates = from_state.new_gradient(type, {n, 4 * d}, device);
        const GradientWriter d_before = cell.gradient();
        const real* d_hidden = dy[0].defined() ? dy[0].data() : nullptr;
        const real* d_after = dy[1].defined() ? dy[1].data() : nullptr;
        visit(saved, [&]<class T>(const T* kept) {
          visit(d_gates, [&]<class G>(G* to) {
            launch::rows(device, n, 4 * d,
                         LstmBackward<T, G>{kept, cell.data(), next_cell.data(), d_hidden, d_after,
                                            to, d_before, d});
          });
        });
        add_to_parts(d_gates, from_input, from_context);
        from_state.add_gradient(d_gates);
      });
  return {bf16_copy.defined() ? next[0].with_bf16_copy(bf16_copy) : next[0], next[1]};
}

}  // namespace dragoman
