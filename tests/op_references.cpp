#include "op_references.h"

#include <algorithm>
#include <cmath>

#include "dense_sight.h"

namespace dragoman {

Matrix transpose(const Matrix& x) {
  return build(x.columns, x.rows, [&](int64_t i, int64_t j) { return x(j, i); });
}

Matrix product(const Matrix& a, const Matrix& b) {
  return build(a.rows, b.columns, [&](int64_t i, int64_t j) {
    return total(a.columns, [&](int64_t p) { return a(i, p) * b(p, j); });
  });
}

Matrix columns_of(const Matrix& x, int64_t begin, int64_t count) {
  return build(x.rows, count, [&](int64_t i, int64_t j) { return x(i, begin + j); });
}

namespace {

// The softmax of a list: exp(x) / sum exp(x), from the largest down.
std::vector<Number> softmax_of(std::vector<Number> scores) {
  if (scores.empty()) return scores;
  const double most = std::max_element(scores.begin(), scores.end())->value();
  Number sum = 0;
  for (Number& score : scores) sum += score = exp(score - most);
  for (Number& score : scores) score = score / sum;
  return scores;
}

}  // namespace

Matrix log_softmax_rows(const Matrix& x, const std::vector<int32_t>& lengths) {
  std::vector<Number> log_totals;
  for (int64_t row = 0; row < x.rows; ++row) {
    const int64_t length = lengths.empty() ? x.columns : lengths[static_cast<size_t>(row)];
    log_totals.push_back(log(total(length, [&](int64_t c) { return exp(x(row, c)); })));
  }
  return build(x.rows, x.columns, [&](int64_t row, int64_t c) {
    const bool inside = lengths.empty() || c < lengths[static_cast<size_t>(row)];
    return inside ? x(row, c) - log_totals[static_cast<size_t>(row)] : Number(0);
  });
}

Matrix normalise(const Matrix& x, bool centred, double epsilon) {
  std::vector<Number> means, deviations;
  const auto d = static_cast<double>(x.columns);
  for (int64_t row = 0; row < x.rows; ++row) {
    const Number mean =
        centred ? total(x.columns, [&](int64_t c) { return x(row, c); }) / d : Number(0);
    const Number square =
        total(x.columns, [&](int64_t c) { return (x(row, c) - mean) * (x(row, c) - mean); });
    means.push_back(mean);
    deviations.push_back(sqrt(square / d + epsilon));
  }
  return build(x.rows, x.columns, [&](int64_t i, int64_t j) {
    const auto row = static_cast<size_t>(i);
    return (x(i, j) - means[row]) / deviations[row];
  });
}

double dropout_factor(const RandomKey& key, double probability, uint64_t block, int64_t word) {
  uint32_t words[kRandomBlock];
  random_block(key, block, words);
  return words[word] < probability * 0x1p32 ? 0 : 1 / (1 - probability);
}

double row_dropout_factor(const RandomKey& key, double probability, int64_t row, int64_t column,
                          int64_t columns) {
  const int64_t blocks = (columns + kRandomBlock - 1) / kRandomBlock;
  return dropout_factor(key, probability,
                        static_cast<uint64_t>(row * blocks + column / kRandomBlock),
                        column % kRandomBlock);
}

std::vector<int32_t> offsets_of(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> offsets = {0};
  for (const int32_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

AttentionLayout Segments::layout(Device device) const {
  const auto ids = [device](const std::vector<int32_t>& values) {
    return values.empty() ? Tensor() : Tensor::from(values, {std::ssize(values)}, device);
  };
  return {.query_offsets = ids(query_offsets),
          .key_offsets = ids(key_offsets),
          .key_segments = ids(key_segments),
          .key_rows = ids(key_rows),
          .longest_key = longest_key(),
          .queries_last = queries_last};
}

int32_t Segments::longest_key() const {
  int32_t longest = 0;
  for (size_t s = 1; s < key_offsets.size(); ++s) {
    longest = std::max(longest, key_offsets[s] - key_offsets[s - 1]);
  }
  return longest;
}

std::vector<int32_t> Segments::keys(size_t group) const {
  const size_t segment = key_segments.empty() ? group : static_cast<size_t>(key_segments[group]);
  std::vector<int32_t> rows;
  for (int32_t i = key_offsets[segment]; i < key_offsets[segment + 1]; ++i) {
    rows.push_back(key_rows.empty() ? i : key_rows[static_cast<size_t>(i)]);
  }
  return rows;
}

namespace {

// One query of one head: from columns [from_head * width, ...) of the values to columns
// [head * width, ...) of row `row` of `out`.
struct Attending {
  const Matrix& value;
  Matrix& out;
  int64_t width;

  void add(int64_t row, int64_t head, int64_t from_head, const std::vector<Number>& weights,
           const std::vector<int32_t>& keys) const {
    for (int64_t c = 0; c < width; ++c) {
      Number& to = out.values[static_cast<size_t>(row * out.columns + head * width + c)];
      for (size_t j = 0; j < weights.size(); ++j)
        to += weights[j] * value(keys[j], from_head * width + c);
    }
  }
};

Matrix zeros(int64_t rows, int64_t columns) {
  return build(rows, columns, [](int64_t, int64_t) { return Number(0); });
}

}  // namespace

Matrices attend(const Matrix& query, const Matrix& key, const Matrix& value,
                const Segments& segments, const AttentionOptions& options,
                std::optional<RandomKey> mask) {
  const int64_t heads = options.heads, head_dim = query.columns / heads;
  const int64_t key_heads = options.key_heads > 0 ? options.key_heads : heads;
  const int64_t value_dim = value.columns / key_heads;
  const int64_t longest = segments.longest_key(), blocks = (longest + 63) / 64;
  Matrix out = zeros(query.rows, heads * value_dim), all = zeros(query.rows, heads * longest);
  const Attending attending{value, out, value_dim};
  for (size_t group = 0; group + 1 < segments.query_offsets.size(); ++group) {
    const int32_t begin = segments.query_offsets[group], end = segments.query_offsets[group + 1];
    const std::vector<int32_t> all_keys = segments.keys(group);
    const int key_count = static_cast<int>(all_keys.size());
    for (int64_t row = begin; row < end; ++row) {
      const int position =
          static_cast<int>(row) - (segments.queries_last ? end - key_count : begin);
      std::vector<int32_t> numbers, keys;  // of those that it sees
      const std::vector<bool> seen = dense_sight(options.sight, position, key_count);
      for (int32_t j = 0; j < key_count; ++j) {
        if (!seen[j]) continue;
        numbers.push_back(j);
        keys.push_back(all_keys[j]);
      }
      for (int64_t head = 0; head < heads; ++head) {
        const int64_t key_head = head / (heads / key_heads);
        std::vector<Number> weights;
        for (const int32_t at : keys) {
          weights.push_back(options.scale * total(head_dim, [&](int64_t c) {
                              return query(row, head * head_dim + c) *
                                     key(at, key_head * head_dim + c);
                            }));
        }
        weights = softmax_of(weights);
        for (size_t j = 0; j < keys.size(); ++j) {
          const int64_t number = numbers[j];
          all.values[static_cast<size_t>((row * heads + head) * longest + number)] = weights[j];
          if (!mask) continue;
          const auto block = static_cast<uint64_t>((row * heads + head) * blocks + number / 64);
          weights[j] = weights[j] * dropout_factor(*mask, options.dropout, block, number % 64);
        }
        attending.add(row, head, key_head, weights, keys);
      }
    }
  }
  return {out, all};
}

Matrices attend_additively(const Matrix& query, const Matrix& key, const Matrix& weight,
                           const Matrix& value, const Segments& segments) {
  const int64_t longest = segments.longest_key();
  Matrix out = zeros(query.rows, value.columns), all = zeros(query.rows, longest);
  for (int64_t row = 0; row < query.rows; ++row) {
    const std::vector<int32_t> keys = segments.keys(static_cast<size_t>(row));
    std::vector<Number> weights;
    for (const int32_t at : keys) {
      weights.push_back(total(query.columns, [&](int64_t c) {
        return weight(0, c) * tanh(query(row, c) + key(at, c));
      }));
    }
    weights = softmax_of(weights);
    for (size_t j = 0; j < keys.size(); ++j) {
      all.values[static_cast<size_t>(row * longest) + j] = weights[j];
    }
    Attending{value, out, value.columns}.add(row, 0, 0, weights, keys);
  }
  return {out, all};
}

}  // namespace dragoman
