// One update of a model: loss, gradients and the optimiser, without a clock, a log or a file.
#pragma once

#include <cstdint>
#include <functional>

#include "config/config.h"
#include "data/batch.h"
#include "models/model.h"
#include "train/optimizer.h"
#include "train/window.h"

namespace dragoman {

/// Makes the updates of a model.
class Updater {
 public:
  /// The model must outlive it. Throws Error when config.training.precision is bf16 and the device
  /// does not multiply such numbers.
  Updater(const Config& config, Model& model);

  struct Update {
    Totals totals;             ///< Of the update's batches.
    double gradient_norm = 0;  ///< Of the mean loss, before clipping.
  };
  /// Makes update `step` (from 1) from the next training.accumulate batches, or fewer where an
  /// epoch ends. When the gradient's norm is not finite, nothing is changed. Throws Error, naming
  /// the step, for what goes wrong in an operation.
  Update update(int64_t step, double learning_rate, const std::function<Batch()>& next_batch);

  /// To be called when the model's parameters were changed by others.
  void refresh();

  const Optimizer& optimizer() const { return optimizer_; }
  /// What the matrix products of an update read: what training.precision came to.
  DType products() const { return products_; }

 private:
  Totals compute_gradients(int64_t step, const std::function<Batch()>& next_batch) const;

  Model& model_;
  DType products_;
  uint64_t seed_;
  TrainingConfig training_;
  Optimizer optimizer_;
};

}  // namespace dragoman
