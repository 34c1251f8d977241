// The layers that every architecture is made of. A layer holds its parameters and nothing of a
// batch; calling it adds to a tape.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "config/choices.h"
#include "nn/packing.h"
#include "nn/parameters.h"
#include "ops/ops.h"

namespace dragoman {

/// x W^T + b: [n, in] -> [n, out].
class Linear {
 public:
  Linear() = default;
  /// `parts` matrices of `in` columns stacked in one, such as gates; `out` is the rows of all.
  Linear(const Scope& scope, int64_t in, int64_t out, bool bias = true, int64_t parts = 1);
  /// The result as `type` (see `linear`).
  Variable operator()(Tape& tape, const Variable& x, DType type = DType::kReal) const;
  /// The same where the layer is called at each step of a sequence.
  Variable step(Tape& tape, const Variable& x, DType type = DType::kReal) const;
  /// As operations take them; the bias is undefined where there is none.
  Variable weight() const { return *weight_; }
  Variable bias() const { return bias_.exists() ? *bias_ : Variable(); }
  /// The result for n rows of zeros: the bias, which the layer must have.
  Variable of_zeros(Tape& tape, int64_t n, DType type = DType::kReal) const;

 private:
  Parameter weight_;
  Parameter bias_;
};

/// Layer normalisation, or that of the root mean square, with a trained gain (and bias).
class Normalization {
 public:
  using Kind = NormalizationKind;
  Normalization() = default;
  Normalization(const Scope& scope, int64_t dim, Kind kind = Kind::kLayerNorm);
  /// The rows of x, normalised, written as `type`.
  Variable operator()(Tape& tape, const Variable& x, DType type = DType::kReal) const;
  /// x + dropout(added), and its rows normalised and written as `type`.
  SumAndNorm operator()(Tape& tape, const Variable& x, const Variable& added, real dropout,
                        DType type) const;

 private:
  Kind kind_ = Kind::kLayerNorm;
  Parameter gain_;
  Parameter bias_;
};

/// The activation of x; a gated one halves the columns.
Variable activate(Tape& tape, Activation activation, const Variable& x, const Epilogue& epilogue);
/// Whether it takes twice the columns that it gives.
bool is_gated(Activation activation);

/// Adds to each token a vector that tells its place in the sentence: the sines and cosines of
/// Vaswani et al. 2017, section 3.5 (the sines in the first half of the columns, the cosines in the
/// second), or trained vectors.
class Positions {
 public:
  Positions() = default;
  /// Sinusoidal: any length.
  explicit Positions(int64_t dim);
  /// Trained: places 0 to `longest` - 1.
  Positions(const Scope& scope, int64_t dim, int64_t longest);

  /// x [n, dim] with the vectors of its places, after dropout; `places` is int32 [n], all below
  /// `longest`.
  Variable operator()(Tape& tape, const Variable& x, const Tensor& places, int64_t longest,
                      real dropout) const;
  /// The longest sentence.
  int64_t limit() const { return limit_; }

 private:
  int64_t dim_ = 0;
  int64_t limit_ = 1 << 20;
  Parameter table_;
  // Tables of sines by their length, made when they are first asked for, by whichever thread. None
  // ever goes: a graph may know its address.
  struct Sinusoids {
    std::mutex mutex;
    std::map<uint64_t, Tensor> tables;
  };
  std::shared_ptr<Sinusoids> sinusoids_;
};

}  // namespace dragoman
