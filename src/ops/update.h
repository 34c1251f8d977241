// What an optimiser does to the flat buffers of a model, each in one pass. These are not part of
// any graph: they have no gradient. What they need of numbers they read from the device's memory,
// and what they find out they leave there: no update waits for the host.
#pragma once

#include <cstdint>

#include "ops/ops.h"
#include "tensor/record.h"
#include "tensor/tensor.h"

namespace dragoman {

/// What the host says of an update: all that changes from one to the next.
struct StepInputs {
  uint32_t step = 0;          ///< Counts from 1; names the dropout masks.
  real learning_rate = 0;     ///< Divided by the correction of the mean's bias.
  real variance_scale = 0;    ///< The correction of the variance's bias.
  real kept = 1;              ///< Of each weight, after its decay.
  real average_share = 0;     ///< Of the new values in their moving average.
  double clip_norm = 0;       ///< Gradients longer than this are scaled down to it; 0: none.
  double gradient_share = 1;  ///< Multiplies the gradients before clipping: 1 / tokens.
};

/// What an update finds out.
struct StepResult {
  double loss = 0;             ///< Summed over its batches.
  double log_probability = 0;  ///< Of the targets, likewise.
  double norm = 0;             ///< Of the gradients times gradient_share.
  real gradient_scale = 0;     ///< gradient_share and what clipping makes of it.
  int32_t finite = 0;          ///< Whether the norm is; if not, nothing is to be changed.
};

/// Adds the loss of a batch to those of the update's others, or begins with it.
void add_loss(const CrossEntropy& batch, bool first, const Record<StepResult>& result);

/// Sets the result's norm and what follows from it. The sum of squares is made in double.
void measure_gradients(const Tensor& gradients, const Record<StepInputs>& inputs,
                       const Record<StepResult>& result);

/// What Adam does the same at every step.
struct AdamOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
};

/// What a step changes, laid out alike.
struct AdamBuffers {
  Tensor values;
  Tensor mean;
  Tensor variance;
  Tensor bf16_copy = {};  ///< If defined, gets the values in bf16.
};

/// The numbers of step t, from 1: sets `step` and what follows from it, but for the average's.
StepInputs adam_inputs(const AdamOptions& options, int64_t step, double learning_rate);

/// One step of Adam (Kingma and Ba 2015, algorithm 1), with weight decay apart from the gradient
/// (Loshchilov and Hutter 2019, algorithm 2). With g = gradient_scale * gradients and t = step:
///   mean = beta1 mean + (1 - beta1) g
///   variance = beta2 variance + (1 - beta2) g^2
///   values -= learning_rate (mean / (1 - beta1^t) / (sqrt(variance / (1 - beta2^t)) + epsilon)
///                            + weight_decay values)
/// All tensors have the same size. Nothing is changed when the result is not finite.
void adam_update(const AdamBuffers& buffers, const Tensor& gradients, const AdamOptions& options,
                 const Record<StepInputs>& inputs, const Record<StepResult>& result);

/// average += share (values - average), unless `wanted` is 0.
void average_update(const Tensor& average, const Tensor& values, DeviceValue<real> share,
                    DeviceValue<int32_t> wanted = 1);

}  // namespace dragoman
