#include "nn/recurrent.h"

#include <utility>

namespace dragoman {

RecurrentState first_rows(Tape& tape, const RecurrentState& state, int64_t n) {
  if (state.hidden.rows() == n) return state;
  return {slice_rows(tape, state.hidden, 0, n),
          state.cell.defined() ? slice_rows(tape, state.cell, 0, n) : Variable()};
}

RecurrentState gather(Tape& tape, const RecurrentState& state, const Tensor& index) {
  return {gather_rows(tape, state.hidden, index),
          state.cell.defined() ? gather_rows(tape, state.cell, index) : Variable()};
}

RecurrentCell::RecurrentCell(const Scope& scope, Kind kind, int64_t dim, bool layer_norm)
    : kind_(kind), dim_(dim), layer_norm_(layer_norm) {
  from_state_ = Linear(scope / "from_state", dim, gate_width(), true, gates());
  if (layer_norm) {
    input_norm_ = Normalization(scope / "input_norm", gate_width());
    state_norm_ = Normalization(scope / "state_norm", gate_width());
  }
}

DType RecurrentCell::input_type(const Tape& tape) const {
  return layer_norm_ ? DType::kReal : tape.products();
}

RecurrentState RecurrentCell::start(Tape& tape, const Variable& from_input) const {
  const int64_t n = from_input.rows();
  const Variable zeros(Tensor::zeros({n, dim_}, DType::kReal, from_input.value().device()));
  return advance(tape, from_input, from_state_.of_zeros(tape, n, from_input.value().dtype()),
                 {zeros, kind_ == Kind::kLstm ? zeros : Variable()}, {});
}

RecurrentState RecurrentCell::step(Tape& tape, const Variable& from_input,
                                   const RecurrentState& state,
                                   const Variable& from_context) const {
  const Variable from_state = from_state_.step(tape, state.hidden, from_input.value().dtype());
  return advance(tape, from_input, from_state, state, from_context);
}

RecurrentState RecurrentCell::advance(Tape& tape, Variable inputs, Variable recurrent,
                                      const RecurrentState& state, Variable context) const {
  if (layer_norm_) {
    if (context.defined()) inputs = add(tape, inputs, std::exchange(context, {}));
    inputs = input_norm_(tape, inputs);
    recurrent = state_norm_(tape, recurrent);
  }
  if (kind_ == Kind::kGru) return {gru_cell(tape, inputs, recurrent, state.hidden, context), {}};
  const LstmState next = lstm_cell(tape, inputs, recurrent, state.cell, context);
  return {next.hidden, next.cell};
}

RecurrentCell::Kind cell_kind(StackType type) {
  switch (type) {
    case StackType::kGru:
      return RecurrentCell::Kind::kGru;
    case StackType::kLstm:
      return RecurrentCell::Kind::kLstm;
    case StackType::kTransformer:
      break;
  }
  fail("'{}' is no recurrent cell", type);
}

RecurrentLayer::RecurrentLayer(const Scope& scope, RecurrentCell::Kind kind, int64_t in,
                               int64_t dim, bool layer_norm, bool backwards)
    : cell_(scope, kind, dim, layer_norm),
      from_input_(cell_.input_layer(scope / "from_input", in, true)),
      backwards_(backwards) {}

Variable RecurrentLayer::operator()(Tape& tape, const Variable& x, const TimeOrder& order) const {
  const Variable inputs = from_input_(
      tape, permute_rows(tape, {x}, {order.in_time()}, tape.products()), cell_.input_type(tape));
  const std::vector<Variable> steps = split_rows(tape, inputs, order.steps);
  RecurrentState state = cell_.start(tape, steps[0]);
  std::vector<Variable> hidden = {state.hidden};
  hidden.reserve(steps.size());
  for (size_t t = 1; t < steps.size(); ++t) {
    state = cell_.step(tape, steps[t], first_rows(tape, state, order.steps[t]));
    hidden.push_back(state.hidden);
  }
  return concat_rows(tape, hidden);
}

}  // namespace dragoman
