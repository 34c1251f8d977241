// Forward of attention, over sentences that lie end to end. Each (group, head) pair is one task, so
// that every gradient is summed by one thread. A task walks over its queries in blocks, whose
// weights are all that is ever held; forward keeps two numbers a query and head, from which
// backward computes the weights again (the recomputation of Dao et al. 2022, without its tiling
// over keys). The weights of a block lie transposed, [keys, block]: a query is a lane, and what
// softmax does along the keys of a query is done for a whole vector of queries at once.
#pragma once

#include <new>

#include "core/math.h"
#include "ops/attention_kernel.h"

namespace dragoman::attention_detail {

template <class In, class T>
struct AttentionForward : AttentionKernel<In> {
  using Kernel = AttentionKernel<In>;
  using Kernel::each_head, Kernel::seen_by, Kernel::each_query, Kernel::drops, Kernel::drop;
  using Kernel::fetch;
  using Kernel::head_dim, Kernel::value_dim, Kernel::heads, Kernel::longest_key, Kernel::scale;
  using Kernel::query, Kernel::key, Kernel::value, Kernel::query_at, Kernel::key_at,
      Kernel::value_at;
  using typename Kernel::Task;

  T* out;
  Statistics statistics;
  real* weights;  // [queries, heads, longest_key] or null

  // Numbers of scratch that a task needs: the transposed queries of a block, its weights and its
  // result.
  int64_t scratch() const { return kBlock * (head_dim + longest_key + value_dim); }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t index, real* memory) const {
    each_head(index, [&](const Task& t) { attend(lane, t, memory); });
  }

  DRAGOMAN_HOST_DEVICE void attend(Lane lane, const Task& t, real* memory) const {
    // In this part of the scratch are words, for bf16; each is read as what was written there.
    auto* transposed = new (memory) tile::Transposed<In>[kBlock * head_dim];
    real* p = memory + kBlock * head_dim;
    real* mixed = p + kBlock * longest_key;
    fetch(lane, t);
    for (int64_t begin = 0; begin < t.queries; begin += kBlock) {
      const int64_t rows = t.queries - begin < kBlock ? t.queries - begin : kBlock;
      lane.transpose(rows, head_dim, query_at(t, begin), query.stride, transposed, kBlock);
      for (SeenKeys seen = seen_by(t, begin, rows); seen.more(); seen.next()) {
        lane.product_of_rows(seen.size(), tile::padded(rows), head_dim, key_at(t, seen.begin()),
                             key.stride, transposed, kBlock, p + seen.before() * kBlock, kBlock);
      }
      for (int64_t first = 0; first < rows; first += kLanes) {
        weigh(lane, t, begin, rows, first, p + first);
      }
      if (weights) write_weights(lane, t, begin, rows, p);
      if (drops) drop(lane, t, begin, rows, p);
      mix(lane, t, begin, rows, p, mixed);
      lane.copy(rows, value_dim, mixed, value_dim,
                out + ((t.query_begin + begin) * heads + t.head) * value_dim, heads * value_dim,
                false);
    }
  }

  // From the products [seen keys, kBlock] of a block of queries, of a vector of them from its
  // `first` on, to their weights, zero for keys that a query does not see.
  DRAGOMAN_HOST_DEVICE void weigh(Lane lane, const Task& t, int64_t begin, int64_t rows,
                                  int64_t first, real* p) const {
    alignas(64) real row_max[kLanes], total[kLanes];
    const real f = scale;
    lane.each(kLanes, [&](int64_t q) {
      row_max[q] = Lane::lowest();
      total[q] = 0;
    });
    int64_t keys = 0;
    for (SeenKeys seen = seen_by(t, begin, rows); seen.more(); seen.next()) {
      for (int j = seen.begin(); j < seen.end(); ++j) {
        real* row = p + keys++ * kBlock;
        each_query(lane, t, begin + first, j, [&, row](int64_t q, bool sees) {
          const real x = sees ? f * row[q] : Lane::lowest();
          row[q] = x;
          row_max[q] = x > row_max[q] ? x : row_max[q];
        });
      }
    }
    // A query that sees none of these keys has weights of zero.
    lane.each(kLanes,
              [&](int64_t q) { row_max[q] = row_max[q] == Lane::lowest() ? 0 : row_max[q]; });
    for (int64_t j = 0; j < keys; ++j) {
      real* row = p + j * kBlock;
      lane.each(kLanes, [&, row](int64_t q) {
        const real x = exp_of(row[q] - row_max[q]);
        row[q] = x;
        total[q] += x;
      });
    }
    lane.each(kLanes, [&](int64_t q) { total[q] = total[q] == 0 ? 0 : 1 / total[q]; });
    for (int64_t j = 0; j < keys; ++j) {
      real* row = p + j * kBlock;
      lane.each(kLanes, [&, row](int64_t q) { row[q] *= total[q]; });
    }
    const int64_t at = statistics.at(t.head, t.query_begin + begin + first);
    lane.each(rows - first < kLanes ? rows - first : kLanes, [&](int64_t q) {
      statistics.row_max[at + q] = row_max[q];
      statistics.inverse_sum[at + q] = total[q];
    });
  }

  DRAGOMAN_HOST_DEVICE void write_weights(Lane lane, const Task& t, int64_t begin, int64_t rows,
                                          const real* p) const {
    for (int64_t i = 0; i < rows; ++i) {
      real* to = weights + ((t.query_begin + begin + i) * heads + t.head) * longest_key;
      lane.each(longest_key, [=](int64_t j) { to[j] = 0; });
      for (SeenKeys seen = seen_by(t, begin, rows); seen.more(); seen.next()) {
        real* const of_range = to + seen.begin();
        const real* const from = p + seen.before() * kBlock + i;
        lane.each(seen.size(), [=](int64_t j) { of_range[j] = from[j * kBlock]; });
      }
    }
  }

  // The sum of the seen values, each with its weight.
  DRAGOMAN_HOST_DEVICE void mix(Lane lane, const Task& t, int64_t begin, int64_t rows,
                                const real* p, real* mixed) const {
    SeenKeys seen = seen_by(t, begin, rows);
    if (!seen.more()) lane.each(rows * value_dim, [=](int64_t c) { mixed[c] = 0; });
    for (; seen.more(); seen.next()) {
      lane.product(rows, value_dim, seen.size(), {p + seen.before() * kBlock, 1, kBlock},
                   value_at(t, seen.begin()), value.stride, mixed, value_dim, seen.before() > 0);
    }
  }
};

// The same for the steps of a translation: groups of few queries that share segments of keys or
// have lists of their rows. Each query is computed by itself; a key is a lane.
template <class In, class T>
struct AttentionStep : AttentionKernel<In> {
  using Input = In;
  using Kernel = AttentionKernel<In>;
  using Kernel::head_dim, Kernel::value_dim, Kernel::heads, Kernel::longest_key, Kernel::scale;
  using Kernel::query_at, Kernel::key_at, Kernel::value_at, Kernel::each_head, Kernel::seen_by;
  using typename Kernel::Task;
  T* out;
  real* weights;

  int64_t scratch() const { return tile::padded(longest_key) + value_dim; }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t index, real* memory) const {
    each_head(index, [&](const Task& t) { attend(lane, t, memory); });
  }

  DRAGOMAN_HOST_DEVICE void attend(Lane lane, const Task& t, real* memory) const {
    real* p = memory;
    real* mixed = p + tile::padded(longest_key);
    for (int64_t i = 0; i < t.queries; ++i) {
      const int64_t row = (t.query_begin + i) * heads + t.head;
      const In* q = query_at(t, i);
      int64_t keys = 0;
      for (SeenKeys seen = seen_by(t, i, 1); seen.more(); seen.next()) {
        // As `fetch` does it for rows that follow one another.
        for (int64_t j = seen.begin(); j < seen.end(); ++j)
          lane.fetch(1, head_dim, key_at(t, j), 0);
        for (int64_t j = seen.begin(); j < seen.end(); ++j)
          lane.fetch(1, value_dim, value_at(t, j), 0);
        lane.sums(seen.size(), head_dim, p + keys, [=, *this, begin = seen.begin()](int64_t j) {
          const In* k = key_at(t, begin + j);
          return [=](int64_t c) { return q[c] * k[c]; };
        });
        keys += seen.size();
      }
      const real inverse_sum = exponentials(lane, keys, p, scale);
      lane.each(value_dim, [=](int64_t c) { mixed[c] = 0; });
      for (SeenKeys seen = seen_by(t, i, 1); seen.more(); seen.next()) {
        const real* const of_range = p + seen.before();
        lane.add_up(
            value_dim, seen.size(),
            [=, *this, begin = seen.begin()](int64_t j) {
              const In* v = value_at(t, begin + j);
              const real weight = inverse_sum * of_range[j];
              return [=](int64_t c, real& sum) { sum += weight * v[c]; };
            },
            mixed);
      }
      T* to = out + row * value_dim;
      lane.each(value_dim, [=](int64_t c) { to[c] = mixed[c]; });
      if (!weights) continue;
      real* w = weights + row * longest_key;
      lane.each(longest_key, [=](int64_t j) { w[j] = 0; });
      for (SeenKeys seen = seen_by(t, i, 1); seen.more(); seen.next()) {
        real* const to_range = w + seen.begin();
        const real* const of_range = p + seen.before();
        lane.each(seen.size(), [=](int64_t j) { to_range[j] = inverse_sum * of_range[j]; });
      }
    }
  }

  // exp(f p - the largest f p), and 1 / their sum. The ends of short rows would cost the most:
  // hence whole vectors, whose rest is masked.
  DRAGOMAN_HOST_DEVICE static real exponentials(Lane lane, int64_t keys, real* p, real f) {
    if (keys == 0) return 0;
    const int64_t width = tile::padded(keys);
    lane.each(width, [=](int64_t j) { p[j] = j < keys ? f * p[j] : Lane::lowest(); });
    const real row_max = lane.max_row(width, p);
    lane.each(width, [=](int64_t j) { p[j] = exp_of(p[j] - row_max); });
    return 1 / lane.sum_row(width, p);
  }
};

}  // namespace dragoman::attention_detail
