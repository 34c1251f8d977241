// What the steps of a translation need besides the operations of ops.h: numbers that have no
// gradient.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace dragoman {

/// A history int32 [n, steps] with one more step, whose rows are `first`, first + 1, ...
Tensor with_next_step(const Tensor& history, int64_t first);

/// Weights of attention [n, heads, keys], averaged over the heads: [n, keys].
Tensor mean_over_heads(const Tensor& weights);

}  // namespace dragoman
