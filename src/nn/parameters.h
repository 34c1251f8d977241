// The trained numbers of a model: named, and laid side by side in one flat buffer each for values
// and gradients, so that an optimiser, a norm or a moving average is one pass over one array.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/tape.h"
#include "config/choices.h"

namespace dragoman {

/// The distribution of initial weights. Xavier: Glorot and Bengio 2010, equation 16.
struct Initializer {
  using Kind = InitializerKind;
  Kind kind = Kind::kXavierUniform;
  double scale = 0.02;  ///< Standard deviation of kNormal, limit of kUniform.
};

/// What a parameter starts from.
enum class Start {
  kWeights,  ///< The model's Initializer.
  kZeros,
  kOnes,
};

/// A parameter that a layer holds. It can be used once Parameters::allocate has run.
class Parameter {
 public:
  Parameter() = default;
  const Variable& operator*() const { return *variable_; }
  bool exists() const { return variable_ != nullptr; }

 private:
  friend class Parameters;
  std::shared_ptr<Variable> variable_;
};

/// All parameters of a model.
class Parameters {
 public:
  /// One parameter: where it lies in the flat buffers, in elements.
  struct Entry {
    std::string name;
    Shape shape;
    Start start = Start::kWeights;
    int64_t parts = 1;  ///< Matrices that are stacked in this one: gates, for the fans of Xavier.
    int64_t offset = 0;
    Parameter parameter;
  };

  /// Announces a parameter. Throws Error when the name is taken.
  Parameter add(const std::string& name, const Shape& shape, Start start, int64_t parts = 1);

  /// Makes the buffers and the initial values, each parameter's from (`seed`, its name).
  void allocate(Device device, uint64_t seed, const Initializer& initializer);

  const std::vector<Entry>& entries() const { return entries_; }
  /// Trained numbers.
  int64_t count() const;
  /// All values, [buffer size]; between parameters lie zeros that align them.
  const Tensor& values() const { return values_; }
  /// All gradients, laid out as the values.
  const Tensor& gradients() const { return gradients_; }
  /// The part of a flat buffer, laid out as the values, that belongs to `entry`.
  static Tensor part(const Tensor& flat, const Entry& entry) {
    return flat.view(entry.offset, entry.shape);
  }

  /// All values in bf16, laid out as they are, for matrix products: what Variable::bf16_copy of
  /// each parameter is a view of. Undefined until make_bf16_copy.
  const Tensor& bf16_copy() const { return bf16_copy_; }
  /// Makes that copy, or makes it anew: whoever changes the values keeps it up to date.
  void make_bf16_copy();

  /// Before a backward: its gradients are assigned, or added to those that are there.
  void begin_gradients(bool add = false) const;
  /// After the first backward of a step: parameters that had no part in it get zeros.
  void complete_gradients() const;

 private:
  std::vector<Entry> entries_;
  Tensor values_;
  Tensor gradients_;
  Tensor bf16_copy_;
};

/// A place in the tree of layers: it gives their parameters names such as
/// "encoder.0.ffn.in.weight".
class Scope {
 public:
  explicit Scope(Parameters& parameters, std::string name = "")
      : parameters_(&parameters), name_(std::move(name)) {}

  Scope operator/(std::string_view name) const { return Scope(*parameters_, join(name)); }
  Scope operator/(int number) const { return *this / std::to_string(number); }
  Parameter add(std::string_view name, const Shape& shape, Start start, int64_t parts = 1) const {
    return parameters_->add(join(name), shape, start, parts);
  }

 private:
  std::string join(std::string_view name) const {
    return name_.empty() ? std::string(name) : name_ + "." + std::string(name);
  }

  Parameters* parameters_;
  std::string name_;
};

}  // namespace dragoman
