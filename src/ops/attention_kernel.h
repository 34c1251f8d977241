// What the directions of attention share: the shapes, where the rows are, who sees whom.
#pragma once

#include "ops/checks.h"
#include "tensor/launch.h"

namespace dragoman::attention_detail {

inline constexpr int64_t kLanes = tile::kLanes;
inline constexpr int64_t kBlock = 2 * kLanes;  // queries

// Some columns of a packed matrix of the type In.
template <class In>
struct Block {
  const In* data;
  int64_t stride;
  DRAGOMAN_HOST_DEVICE const In* row(int64_t r) const { return data + r * stride; }
};

// What both directions share: the shapes, where the rows are, and the weights of a block.
template <class In>
struct AttentionKernel {
  Block<In> query, key, value;
  const int32_t *query_offsets, *key_offsets, *key_segments, *key_rows;
  int64_t heads, head_dim, value_dim, longest_key;
  real scale;
  bool causal;
  bool drops;
  RandomKey random_key;
  Dropout mask{0};

  struct Task {
    int64_t group, head, query_begin, queries, key_begin, keys;
  };

  DRAGOMAN_HOST_DEVICE Task task(int64_t index) const {
    const int64_t group = index / heads;
    const int64_t segment = key_segments ? key_segments[group] : group;
    return {group,
            index % heads,
            query_offsets[group],
            query_offsets[group + 1] - query_offsets[group],
            key_offsets[segment],
            key_offsets[segment + 1] - key_offsets[segment]};
  }

  DRAGOMAN_HOST_DEVICE int64_t key_row(const Task& t, int64_t j) const {
    return key_rows ? key_rows[t.key_begin + j] : t.key_begin + j;
  }
  DRAGOMAN_HOST_DEVICE const In* query_at(const Task& t, int64_t i) const {
    return query.row(t.query_begin + i) + t.head * head_dim;
  }
  DRAGOMAN_HOST_DEVICE const In* key_at(const Task& t, int64_t j) const {
    return key.row(key_row(t, j)) + t.head * head_dim;
  }
  DRAGOMAN_HOST_DEVICE const In* value_at(const Task& t, int64_t j) const {
    return value.row(key_row(t, j)) + t.head * value_dim;
  }
  // How many keys the i-th query sees.
  DRAGOMAN_HOST_DEVICE int64_t visible(const Task& t, int64_t i) const {
    return causal && i + 1 < t.keys ? i + 1 : t.keys;
  }

  // Asks for the rows that a task reads, all at once: they lie too far apart for the processor to
  // see them coming.
  DRAGOMAN_HOST_DEVICE void fetch(Lane lane, const Task& t) const {
    lane.fetch(t.queries, head_dim, query_at(t, 0), query.stride);
    lane.fetch(t.keys, head_dim, key_at(t, 0), key.stride);
    lane.fetch(t.keys, value_dim, value_at(t, 0), value.stride);
  }

  // Whether the i-th query sees the j-th key.
  DRAGOMAN_HOST_DEVICE bool sees(int64_t i, int64_t j) const { return !causal || j <= i; }

  // Multiplies the weights [keys, kBlock] of the queries from `begin` on by dropout's factors. The
  // random words of a query's row and head come in blocks of 64 keys.
  DRAGOMAN_HOST_DEVICE void drop(Lane lane, const Task& t, int64_t begin, int64_t rows,
                                 int64_t keys, real* w) const {
    const int64_t blocks = (longest_key + kRandomBlock - 1) / kRandomBlock;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = (t.query_begin + begin + i) * heads + t.head;
      lane.each_random(random_key, static_cast<uint64_t>(row * blocks), keys,
                       [=, dropout = mask](int64_t j, uint32_t word) {
                         w[j * kBlock + i] *= dropout.factor(word);
                       });
    }
  }
};

// What forward keeps of a query and head: the largest product, and 1 / the sum of exponentials.
struct Statistics {
  real *row_max, *inverse_sum;  // [heads, queries]
  int64_t queries;
  DRAGOMAN_HOST_DEVICE int64_t at(int64_t head, int64_t query) const {
    return head * queries + query;
  }
};

}  // namespace dragoman::attention_detail
