// What an optimiser does to the flat buffers of a model, each in one pass. These are not part of
// any graph: they have no gradient.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace dragoman {

/// The sum of the squares of all elements; not finite when one of them is not.
double squared_norm(const Tensor& x);

/// One step of Adam (Kingma and Ba 2015, algorithm 1), with weight decay apart from the gradient
/// (Loshchilov and Hutter 2019, algorithm 2).
struct AdamStep {
  int64_t step = 1;           ///< Counts from 1; corrects the bias of the means.
  double learning_rate = 0;   ///< The decay is multiplied by it too.
  double gradient_scale = 1;  ///< Multiplies the gradients: normalisation and clipping.
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
  Tensor low = {};  ///< If defined, gets the values in bf16.
};

/// With g = gradient_scale * gradients and t = step:
///   mean = beta1 mean + (1 - beta1) g
///   variance = beta2 variance + (1 - beta2) g^2
///   values -= learning_rate (mean / (1 - beta1^t) / (sqrt(variance / (1 - beta2^t)) + epsilon)
///                            + weight_decay values)
/// All tensors have the same size.
void adam_update(const AdamBuffers& buffers, const Tensor& gradients, const AdamStep& step);

/// average = decay average + (1 - decay) values.
void average_update(const Tensor& average, const Tensor& values, double decay);

}  // namespace dragoman
