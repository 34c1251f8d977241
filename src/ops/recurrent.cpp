// The cells of recurrent networks: everything but the matrix products, in one pass.
#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {

Variable gru_cell(Tape& tape, const Variable& from_input, const Variable& from_state,
                  const Variable& state) {
  check_same_shape("gru_cell", from_input, from_state);
  check_columns("gru_cell", "the gates", from_input, 3 * state.columns());
  check(from_input.rows() == state.rows(), "gru_cell: {} rows of gates for {} of states",
        from_input.rows(), state.rows());
  const int64_t n = state.rows(), d = state.columns();
  Tensor next = empty_like(state.value());
  Tensor gates = empty_like(from_input.value());  // r, z, c
  {
    const auto x = from_input.data();
    const auto u = from_state.data();
    const auto h = state.data();
    const auto saved = gates.data();
    const auto out = next.data();
    launch::rows(next.device(), n, 3 * d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const int64_t g = row * 3 * d, s = row * d;
      lane.each(d, [=](int64_t c) {
        const real reset = sigmoid_of(x[g + c] + u[g + c]);
        const real update = sigmoid_of(x[g + d + c] + u[g + d + c]);
        const real candidate = tanh_of(x[g + 2 * d + c] + reset * u[g + 2 * d + c]);
        saved[g + c] = reset;
        saved[g + d + c] = update;
        saved[g + 2 * d + c] = candidate;
        out[s + c] = (1 - update) * candidate + update * h[s + c];
      });
    });
  }
  return tape.record("gru_cell", next, {from_input, from_state, state}, [=](Tensor& dy) {
    // Each in a pass of its own would compute the gates' gradients three times; the writers that
    // are not wanted write nothing.
    const GradientWriter dx = from_input.gradient(), du = from_state.gradient(),
                         dh = state.gradient();
    const auto u = from_state.data();
    const auto h = state.data();
    const auto saved = gates.data();
    const auto e = dy.data();
    launch::rows(dy.device(), n, 3 * d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const int64_t g = row * 3 * d, s = row * d;
      lane.each(d, [=](int64_t c) {
        const real reset = saved[g + c], update = saved[g + d + c];
        const real candidate = saved[g + 2 * d + c];
        const real d_next = e[s + c];
        const real d_update = d_next * (h[s + c] - candidate) * update * (1 - update);
        const real d_candidate = d_next * (1 - update) * (1 - candidate * candidate);
        const real d_reset = d_candidate * u[g + 2 * d + c] * reset * (1 - reset);
        if (dx) {
          dx(g + c, d_reset);
          dx(g + d + c, d_update);
          dx(g + 2 * d + c, d_candidate);
        }
        if (du) {
          du(g + c, d_reset);
          du(g + d + c, d_update);
          du(g + 2 * d + c, d_candidate * reset);
        }
        if (dh) dh(s + c, d_next * update);
      });
    });
  });
}

LstmState lstm_cell(Tape& tape, const Variable& from_input, const Variable& from_state,
                    const Variable& cell) {
  check_same_shape("lstm_cell", from_input, from_state);
  check_columns("lstm_cell", "the gates", from_input, 4 * cell.columns());
  check(from_input.rows() == cell.rows(), "lstm_cell: {} rows of gates for {} of cells",
        from_input.rows(), cell.rows());
  const int64_t n = cell.rows(), d = cell.columns();
  Tensor next_hidden = empty_like(cell.value());
  Tensor next_cell = empty_like(cell.value());
  Tensor gates = empty_like(from_input.value());  // i, f, g, o
  {
    const auto x = from_input.data();
    const auto u = from_state.data();
    const auto before = cell.data();
    const auto saved = gates.data();
    const auto hidden = next_hidden.data();
    const auto after = next_cell.data();
    launch::rows(next_cell.device(), n, 4 * d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const int64_t q = row * 4 * d, s = row * d;
      lane.each(d, [=](int64_t c) {
        const real input = sigmoid_of(x[q + c] + u[q + c]);
        const real forget = sigmoid_of(x[q + d + c] + u[q + d + c]);
        const real candidate = tanh_of(x[q + 2 * d + c] + u[q + 2 * d + c]);
        const real output = sigmoid_of(x[q + 3 * d + c] + u[q + 3 * d + c]);
        saved[q + c] = input;
        saved[q + d + c] = forget;
        saved[q + 2 * d + c] = candidate;
        saved[q + 3 * d + c] = output;
        after[s + c] = forget * before[s + c] + input * candidate;
        hidden[s + c] = output * tanh_of(after[s + c]);
      });
    });
  }
  std::vector<Variable> next = tape.record(
      "lstm_cell", {next_hidden, next_cell}, {from_input, from_state, cell},
      [=](std::span<Tensor> dy) {
        const GradientWriter dx = from_input.gradient(), du = from_state.gradient(),
                             d_before = cell.gradient();
        const real* d_hidden = dy[0].defined() ? dy[0].data() : nullptr;
        const real* d_after = dy[1].defined() ? dy[1].data() : nullptr;
        const auto before = cell.data();
        const auto after = next_cell.data();
        const auto saved = gates.data();
        launch::rows(
            cell.value().device(), n, 4 * d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
              const int64_t q = row * 4 * d, s = row * d;
              lane.each(d, [=](int64_t c) {
                const real input = saved[q + c], forget = saved[q + d + c];
                const real candidate = saved[q + 2 * d + c], output = saved[q + 3 * d + c];
                const real squashed = tanh_of(after[s + c]);
                const real dh = d_hidden ? d_hidden[s + c] : real{0};
                const real dc =
                    (d_after ? d_after[s + c] : real{0}) + dh * output * (1 - squashed * squashed);
                const real d_gates[4] = {dc * candidate * input * (1 - input),
                                         dc * before[s + c] * forget * (1 - forget),
                                         dc * input * (1 - candidate * candidate),
                                         dh * squashed * output * (1 - output)};
                for (int part = 0; part < 4; ++part) {
                  if (dx) dx(q + part * d + c, d_gates[part]);
                  if (du) du(q + part * d + c, d_gates[part]);
                }
                if (d_before) d_before(s + c, dc * forget);
              });
            });
      });
  return {next[0], next[1]};
}

}  // namespace dragoman
