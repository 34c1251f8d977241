// The best next tokens of every hypothesis.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace dragoman {

/// The best tokens of each row, on the device of the logits.
struct BestTokens {
  Tensor ids;                ///< int32 [rows, count], best first; -1 where no more are allowed.
  Tensor log_probabilities;  ///< [rows, count], natural logarithms.
  Tensor end;  ///< [rows]: of `</s>`, even where it is banned; NaN where any logit of the row is.
};

/// The `count` (at most the vocabulary) most probable tokens of the softmax of each row of `logits`
/// [rows, vocabulary], banned ones left out; of equals the lower id comes first. `bans` is int32
/// [rows, any]: tokens that a row may not go on with, where negative ones stand for none; undefined
/// where nothing is banned. Bans do not make the others more probable. Consumes the logits.
BestTokens best_tokens(const Tensor& logits, const Tensor& bans, int64_t count);

}  // namespace dragoman
