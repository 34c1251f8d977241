// Gradients of parameters, which nobody reads before backward has ended. On a GPU one by itself
// takes longer to launch than to make, or leaves most of it idle: several are made together.
#pragma once

#include <string_view>

#include "autograd/tape.h"

namespace dragoman {

/// Whether a gradient of the parameter can wait for others: on a GPU, where one is wanted.
inline bool can_be_batched(const Tape& tape, const Variable& parameter) {
  return tape.recording() && parameter.needs_gradient() && parameter.sink()->device.on_gpu();
}

/// What a tape has still to do for some gradients when it has gone back over all else.
class BatchedGradients {
 public:
  /// To be made before the operations that wait are recorded: then it is run after them.
  BatchedGradients(Tape& tape, std::string_view name, Device device) {
    const Tensor none = Tensor::empty({0}, DType::kReal, device);
    end_ = tape.record(name, none, {Variable::leaf(none)}, [this](Tensor&) { make(); });
  }
  virtual ~BatchedGradients() = default;
  BatchedGradients(const BatchedGradients&) = delete;
  BatchedGradients& operator=(const BatchedGradients&) = delete;

 protected:
  /// Has the gradient of the parameter, which counts as written, made in time for whoever reads it.
  void wait(const Variable& parameter) {
    parameter.sink()->settle = [this] { make(); };
    end_.gradient();  // of no numbers; but it is run
  }
  static void forget(const Variable& parameter) { parameter.sink()->settle = nullptr; }

  /// Makes all that waits, and forgets it.
  virtual void make() = 0;

 private:
  Variable end_;
};

}  // namespace dragoman
