// The unfused references of the op table that take more than a line.
#pragma once

#include <optional>
#include <vector>

#include "number.h"
#include "ops/ops.h"

namespace dragoman {

using Matrices = std::vector<Matrix>;

/// f of each element, of one matrix or two.
template <class F>
Matrix each(const Matrix& x, F f) {
  return build(x.rows, x.columns, [&](int64_t i, int64_t j) { return f(x(i, j)); });
}
template <class F>
Matrix each(const Matrix& a, const Matrix& b, F f) {
  return build(a.rows, a.columns, [&](int64_t i, int64_t j) { return f(a(i, j), b(i, j)); });
}

inline Number sigmoid(Number x) { return 1 / (1 + exp(-x)); }
inline Number silu(Number x) { return x * sigmoid(x); }
inline Number gelu(Number x) { return 0.5 * x * (1 + erf(x / std::sqrt(2.0))); }

Matrix transpose(const Matrix& x);
Matrix product(const Matrix& a, const Matrix& b);
/// The columns [begin, begin + count).
Matrix columns_of(const Matrix& x, int64_t begin, int64_t count);

/// log softmax over each row's first lengths[row] elements (all, without lengths), 0 after them.
Matrix log_softmax_rows(const Matrix& x, const std::vector<int32_t>& lengths = {});

/// Each row with the mean `centred` away or not, over the root of its mean square.
Matrix normalise(const Matrix& x, bool centred, double epsilon);

/// What dropout multiplies with, from the `word`-th random word of block `block` of a mask.
double dropout_factor(const RandomKey& key, double probability, uint64_t block, int64_t word);
/// The same for the element (row, column) of a matrix whose rows have blocks of their own.
double row_dropout_factor(const RandomKey& key, double probability, int64_t row, int64_t column,
                          int64_t columns);

/// An AttentionLayout as plain lists, and as tensors.
struct Segments {
  std::vector<int32_t> query_offsets, key_offsets, key_segments = {}, key_rows = {};
  bool queries_last = false;

  AttentionLayout layout(Device device) const;
  int32_t longest_key() const;
  /// The rows of the keys of query group `group`.
  std::vector<int32_t> keys(size_t group) const;
};

/// The offsets of sentences that lie end to end.
std::vector<int32_t> offsets_of(const std::vector<int32_t>& lengths);

/// {output, weights [queries, heads * longest_key]}; `mask`, if given, is that of dropout.
Matrices attend(const Matrix& query, const Matrix& key, const Matrix& value,
                const Segments& segments, const AttentionOptions& options,
                std::optional<RandomKey> mask = {});

/// {output, weights [queries, longest_key]}, each query a group of its own.
Matrices attend_additively(const Matrix& query, const Matrix& key, const Matrix& weight,
                           const Matrix& value, const Segments& segments);

}  // namespace dragoman
