// One update of a model: loss, gradients and the optimiser, without a clock, a log or a file.
//
// What it does with a batch is work of the device alone, without the host in between: the numbers
// of a step are put into the device's memory before it, and what it found is read after it. On a
// GPU batches are rounded up to few shapes, and the work for each is repeated as a graph, unless
// training.cuda_graphs is false, training.debug_nan is set or a Profile lives: then the same is
// launched piece by piece, with the same result.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "autograd/precision.h"
#include "config/config.h"
#include "data/batch.h"
#include "models/model.h"
#include "tensor/allocator.h"
#include "tensor/cpu/fair_threads.h"
#include "train/optimizer.h"
#include "train/step_graphs.h"
#include "train/window.h"

namespace dragoman {

/// Makes the updates of a model.
class Updater {
 public:
  /// The model must outlive it. Throws Error when the device does not multiply numbers of
  /// config.training.precision.
  Updater(const Config& config, Model& model);

  struct Update {
    Totals totals;             ///< Of the update's batches.
    double gradient_norm = 0;  ///< Of the mean loss, before clipping.
  };
  /// An update that the device may still be at work on.
  struct Begun {
    int64_t step = 0;
    int64_t source_tokens = 0;  ///< `</s>` counted.
    int64_t target_tokens = 0;
    Fetched<StepResult> result;

    /// Waits for it. To be called once.
    Update finish();
  };
  /// Makes update `step` (from 1) from the next training.accumulate batches, or fewer where an
  /// epoch ends. A batch that does not fit into memory is treated as training.on_out_of_memory
  /// says. When the gradient's norm is not finite, nothing is changed. Throws Error, naming the
  /// step, for what goes wrong in an operation. A CPU is done when it returns; a GPU does the rest
  /// while the host goes on, for example to the next update.
  Begun update(int64_t step, double learning_rate, const std::function<Batch()>& next_batch);

  /// To be called when the model's parameters were changed by others.
  void refresh();

  const Optimizer& optimizer() const { return optimizer_; }
  Precision precision() const { return precision_; }

 private:
  std::vector<Batch> take(const std::function<Batch()>& next_batch) const;
  // `sparing`: with little memory, without making graphs.
  Begun attempt(int64_t step, double learning_rate, const std::vector<Batch>& batches, bool sparing,
                size_t& number);
  // One batch of an update: the `number`-th, from 0, its dropout masks from `site` on. They return
  // the site of the next.
  uint32_t run_part(const Batch& batch, int number, bool last, uint32_t site, bool sparing);
  uint32_t compute(const DeviceBatch& batch, int number, bool last, uint32_t site);
  void make_fit(const OutOfMemory& error, std::vector<Batch>& batches, size_t number) const;

  Model& model_;
  Precision precision_;
  uint64_t seed_;
  TrainingConfig training_;
  Optimizer optimizer_;
  Record<StepInputs> inputs_;
  Record<StepResult> result_;
  StepGraphs graphs_;
  FairThreads threads_;
};

}  // namespace dragoman
