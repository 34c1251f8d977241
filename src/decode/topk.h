// The best next tokens of every hypothesis.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace dragoman {

/// Tokens that hypotheses may not go on with: hypothesis rows[i] not with ids[i].
struct Bans {
  std::vector<int32_t> rows;
  std::vector<int32_t> ids;

  void add(int64_t row, int32_t id) {
    rows.push_back(static_cast<int32_t>(row));
    ids.push_back(id);
  }
};

/// The best tokens of each row, on the host.
struct BestTokens {
  int64_t count = 0;         ///< Tokens a row.
  std::vector<int32_t> ids;  ///< [rows, count], best first; -1 where no more are allowed.
  std::vector<real> log_probabilities;  ///< [rows, count], natural logarithms.
  std::vector<real> end;                ///< [rows]: of `</s>`, even where it is banned.
};

/// The `count` most probable tokens of the softmax of each row of `logits` [rows, vocabulary],
/// banned ones left out; of equals the lower id comes first. Bans do not make the others more
/// probable. Consumes the logits. Throws Error where a row holds NaN.
BestTokens best_tokens(const Tensor& logits, const Bans& bans, int64_t count);

}  // namespace dragoman
