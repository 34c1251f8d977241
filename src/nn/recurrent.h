// Recurrent layers.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/layers.h"

namespace dragoman {

/// What a recurrent layer carries from step to step.
struct RecurrentState {
  Variable hidden;  ///< [n, dim]
  Variable cell;    ///< [n, dim]; LSTM only.
};

/// The first n rows of a state: the sentences that are not at their end.
RecurrentState first_rows(Tape& tape, const RecurrentState& state, int64_t n);
/// The rows index[i] of a state, for translating.
RecurrentState gather(Tape& tape, const RecurrentState& state, const Tensor& index);

/// One layer of a GRU or an LSTM, without its inputs' products: these run over all steps at once
/// where the inputs are known, and are given to `step` as sums [n, gates * dim].
class RecurrentCell {
 public:
  enum class Kind { kGru, kLstm };
  RecurrentCell() = default;
  /// With `layer_norm`, the sums from the input and those from the state are each normalised (Ba et
  /// al. 2016, equations 20 and following).
  RecurrentCell(const Scope& scope, Kind kind, int64_t dim, bool layer_norm);

  /// Sums that `step` wants a row of: 3 * dim or 4 * dim.
  int64_t gate_width() const { return gates() * dim_; }
  int64_t gates() const { return kind_ == Kind::kGru ? 3 : 4; }
  /// The product for an input of the width `in`.
  Linear input_layer(const Scope& scope, int64_t in, bool bias) const {
    return Linear(scope, in, gate_width(), bias, gates());
  }
  /// The type that the sums should have: kBf16 where nothing but the cell reads them on a tape of
  /// such products.
  DType input_type(const Tape& tape) const;
  /// The first step, from a state of zeros.
  RecurrentState start(Tape& tape, const Variable& from_input) const;
  /// `from_context`, if defined, is another part of the sum from the input.
  RecurrentState step(Tape& tape, const Variable& from_input, const RecurrentState& state,
                      const Variable& from_context = {}) const;

 private:
  // The state after `state`, from the sums that are given.
  RecurrentState advance(Tape& tape, Variable inputs, Variable recurrent,
                         const RecurrentState& state, Variable context) const;

  Kind kind_ = Kind::kGru;
  int64_t dim_ = 0;
  Linear from_state_;
  bool layer_norm_ = false;
  Normalization input_norm_;
  Normalization state_norm_;
};

/// That of a recurrent stack.
RecurrentCell::Kind cell_kind(StackType type);

/// One direction of one layer over whole sentences.
class RecurrentLayer {
 public:
  RecurrentLayer() = default;
  RecurrentLayer(const Scope& scope, RecurrentCell::Kind kind, int64_t in, int64_t dim,
                 bool layer_norm, bool backwards);

  /// x [tokens, in], packed -> [tokens, dim], in the order of time. `order` must be of this layer's
  /// direction.
  Variable operator()(Tape& tape, const Variable& x, const TimeOrder& order) const;
  bool backwards() const { return backwards_; }

 private:
  RecurrentCell cell_;
  Linear from_input_;
  bool backwards_ = false;
};

}  // namespace dragoman
