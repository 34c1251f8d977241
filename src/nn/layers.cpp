#include "nn/layers.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace dragoman {

Linear::Linear(const Scope& scope, int64_t in, int64_t out, bool bias, int64_t parts)
    : weight_(scope.add("weight", {out, in}, Start::kWeights, parts)) {
  if (bias) bias_ = scope.add("bias", {out}, Start::kZeros);
}

Variable Linear::operator()(Tape& tape, const Variable& x, DType type) const {
  return linear(tape, x, weight(), bias(), type);
}

Variable Linear::step(Tape& tape, const Variable& x, DType type) const {
  return step_linear(tape, x, weight(), bias(), type);
}

Variable Linear::of_zeros(Tape& tape, int64_t n, DType type) const {
  const Tensor zeros = Tensor::zeros({n}, DType::kInt32, (*bias_).value().device());
  return gather_rows(tape, *bias_, zeros, type);
}

Normalization::Normalization(const Scope& scope, int64_t dim, Kind kind)
    : kind_(kind), gain_(scope.add("gain", {dim}, Start::kOnes)) {
  if (kind == Kind::kLayerNorm) bias_ = scope.add("bias", {dim}, Start::kZeros);
}

namespace {
constexpr real kEpsilon = static_cast<real>(1e-5);
}

Variable Normalization::operator()(Tape& tape, const Variable& x, DType type) const {
  return kind_ == Kind::kLayerNorm ? layer_norm(tape, x, *gain_, *bias_, kEpsilon, type)
                                   : rms_norm(tape, x, *gain_, kEpsilon, type);
}

SumAndNorm Normalization::operator()(Tape& tape, const Variable& x, const Variable& added,
                                     real dropout, DType type) const {
  return kind_ == Kind::kLayerNorm
             ? add_layer_norm(tape, x, added, dropout, *gain_, *bias_, kEpsilon, type)
             : add_rms_norm(tape, x, added, dropout, *gain_, kEpsilon, type);
}

Variable activate(Tape& tape, Activation activation, const Variable& x, const Epilogue& epilogue) {
  switch (activation) {
    case Activation::kRelu:
      return relu(tape, x, epilogue);
    case Activation::kGelu:
      return gelu(tape, x, epilogue);
    case Activation::kSilu:
      return silu(tape, x, epilogue);
    case Activation::kGlu:
      return glu(tape, x, epilogue);
    case Activation::kSwiglu:
      return swiglu(tape, x, epilogue);
    case Activation::kGeglu:
      return geglu(tape, x, epilogue);
  }
  fail_unknown(activation);
}

bool is_gated(Activation activation) {
  switch (activation) {
    case Activation::kRelu:
    case Activation::kGelu:
    case Activation::kSilu:
      return false;
    case Activation::kGlu:
    case Activation::kSwiglu:
    case Activation::kGeglu:
      return true;
  }
  fail_unknown(activation);
}

Positions::Positions(int64_t dim) : dim_(dim), sinusoids_(std::make_shared<Sinusoids>()) {}

Positions::Positions(const Scope& scope, int64_t dim, int64_t longest)
    : dim_(dim), limit_(longest), table_(scope.add("weight", {longest, dim}, Start::kWeights)) {}

namespace {

Tensor make_sinusoids(int64_t length, int64_t dim, Device device) {
  std::vector<real> table(static_cast<size_t>(length * dim));
  const int64_t half = (dim + 1) / 2;
  for (int64_t place = 0; place < length; ++place) {
    for (int64_t c = 0; c < dim; ++c) {
      const int64_t pair = c % half;
      const double wavelength =
          std::pow(10000.0, static_cast<double>(pair) / static_cast<double>(half));
      const double angle = static_cast<double>(place) / wavelength;
      table[static_cast<size_t>(place * dim + c)] =
          static_cast<real>(c < half ? std::sin(angle) : std::cos(angle));
    }
  }
  return Tensor::from(table, {length, dim}, device);
}

}  // namespace

Variable Positions::operator()(Tape& tape, const Variable& x, const Tensor& places, int64_t longest,
                               real dropout) const {
  check(longest <= limit_,
        "a sentence of {} tokens is longer than the {} learned positions (max_positions)", longest,
        limit_);
  if (table_.exists()) return add_rows(tape, x, *table_, places, dropout);
  const auto length = std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(longest, 128)));
  const auto sinusoids = [&] {
    const std::scoped_lock lock(sinusoids_->mutex);
    Tensor& table = sinusoids_->tables[length];
    if (!table.defined())
      table = make_sinusoids(static_cast<int64_t>(length), dim_, x.value().device());
    return table;
  };
  return add_rows(tape, x, Variable(sinusoids()), places, dropout);
}

}  // namespace dragoman
