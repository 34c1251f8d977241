// What the directions of attention share: the shapes, and where the rows are.
#pragma once

#include "ops/checks.h"
#include "ops/sight.h"
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
  int64_t heads, key_heads;
  int64_t sharing;  // heads of queries that a head of keys serves
  int64_t head_dim, value_dim, longest_key;
  real scale;
  Sight sight;
  bool queries_last;
  bool drops;
  RandomKey random_key;
  Dropout mask{0};

  struct Task {
    int64_t group, head, key_head, query_begin, queries, key_begin, keys;
    int64_t first_position;  // of the queries
  };

  DRAGOMAN_HOST_DEVICE Task task(int64_t group, int64_t head) const {
    const int64_t segment = key_segments ? key_segments[group] : group;
    const int64_t queries = query_offsets[group + 1] - query_offsets[group];
    const int64_t keys = key_offsets[segment + 1] - key_offsets[segment];
    return {group,
            head,
            sharing == 1 ? head : head / sharing,
            query_offsets[group],
            queries,
            key_offsets[segment],
            keys,
            queries_last ? keys - queries : 0};
  }

  // f(task) for the heads of the index-th group and head of keys, one after the other: so they
  // cannot add to the same gradients at once.
  template <class F>
  DRAGOMAN_HOST_DEVICE void each_head(int64_t index, F f) const {
    const int64_t first = index % key_heads * sharing;
    for (Task t = task(index / key_heads, first); t.head < first + sharing; ++t.head) f(t);
  }

  DRAGOMAN_HOST_DEVICE int64_t key_row(const Task& t, int64_t j) const {
    return key_rows ? key_rows[t.key_begin + j] : t.key_begin + j;
  }
  DRAGOMAN_HOST_DEVICE const In* query_at(const Task& t, int64_t i) const {
    return query.row(t.query_begin + i) + t.head * head_dim;
  }
  DRAGOMAN_HOST_DEVICE const In* key_at(const Task& t, int64_t j) const {
    return key.row(key_row(t, j)) + t.key_head * head_dim;
  }
  DRAGOMAN_HOST_DEVICE const In* value_at(const Task& t, int64_t j) const {
    return value.row(key_row(t, j)) + t.key_head * value_dim;
  }
  // The positions of the queries from the i-th on.
  DRAGOMAN_HOST_DEVICE Sight::Range positions(const Task& t, int64_t i, int64_t count) const {
    const int begin = static_cast<int>(t.first_position + i);
    return {begin, begin + static_cast<int>(count)};
  }
  // The keys that they see.
  DRAGOMAN_HOST_DEVICE SeenKeys seen_by(const Task& t, int64_t i, int64_t count) const {
    return {sight, positions(t, i, count), static_cast<int>(t.keys)};
  }

  // f(q, whether it sees the j-th key) for kLanes queries from the i-th on.
  template <class F>
  DRAGOMAN_HOST_DEVICE void each_query(Lane lane, const Task& t, int64_t i, int j, F f) const {
    const int first = static_cast<int>(t.first_position + i), keys = static_cast<int>(t.keys);
    const bool all = sight.whole({first, first + static_cast<int>(kLanes)}, {j, j + 1}, keys);
    if (all || !sight.sparse()) {
      lane.each(kLanes, [=, *this](int64_t q) {
        f(q, all || sight.in_order(first + static_cast<int>(q), j));
      });
    } else {
      lane.each(kLanes,
                [=, *this](int64_t q) { f(q, sight.sees(first + static_cast<int>(q), j, keys)); });
    }
  }

  // Asks for the rows that a task reads, all at once: they lie too far apart for the processor to
  // see them coming.
  DRAGOMAN_HOST_DEVICE void fetch(Lane lane, const Task& t) const {
    lane.fetch(t.queries, head_dim, query_at(t, 0), query.stride);
    lane.fetch(t.keys, head_dim, key_at(t, 0), key.stride);
    lane.fetch(t.keys, value_dim, value_at(t, 0), value.stride);
  }

  // Multiplies the weights [seen keys, kBlock] of the queries from `begin` on by dropout's factors.
  // The random words of a query's row and head come in blocks of 64 keys.
  DRAGOMAN_HOST_DEVICE void drop(Lane lane, const Task& t, int64_t begin, int64_t rows,
                                 real* w) const {
    const int64_t blocks = (longest_key + kRandomBlock - 1) / kRandomBlock;
    for (SeenKeys seen = seen_by(t, begin, rows); seen.more(); seen.next()) {
      const int64_t left_out = seen.begin() % kRandomBlock;  // of the first block
      real* const of_range = w + seen.before() * kBlock;
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t row = (t.query_begin + begin + i) * heads + t.head;
        lane.each_random(random_key,
                         static_cast<uint64_t>(row * blocks + seen.begin() / kRandomBlock),
                         left_out + seen.size(), [=, dropout = mask](int64_t j, uint32_t word) {
                           if (j < left_out) return;
                           of_range[(j - left_out) * kBlock + i] *= dropout.factor(word);
                         });
      }
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
