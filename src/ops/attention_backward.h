// Attention's way back: see attention_forward.h.
#pragma once

#include <new>

#include "core/math.h"
#include "ops/attention_forward.h"
#include "ops/column_gradients.h"

namespace dragoman::attention_detail {

template <class In, class G>
struct AttentionBackward : AttentionKernel<In> {
  using Kernel = AttentionKernel<In>;
  using Kernel::each_head, Kernel::seen_by, Kernel::each_query, Kernel::drops, Kernel::drop;
  using Kernel::fetch;
  using Kernel::head_dim, Kernel::value_dim, Kernel::heads, Kernel::longest_key, Kernel::scale;
  using Kernel::query, Kernel::key, Kernel::value, Kernel::query_at, Kernel::key_at,
      Kernel::value_at;
  using Kernel::sharing;
  using Kernel::sight;
  using typename Kernel::Task;

  const In* d_out;  // [queries, heads * value_dim]
  Statistics statistics;
  ColumnGradient<G> d_query, d_key, d_value;

  // The transposed queries and gradients of a block; its weights and their gradients; and the
  // gradients of a block's queries and of all keys and values.
  int64_t scratch() const {
    const int64_t dims = head_dim + value_dim;
    return kBlock * (dims + head_dim + 2 * longest_key) + longest_key * dims;
  }

  DRAGOMAN_HOST_DEVICE const In* gradient_at(const Task& t, int64_t i) const {
    return d_out + ((t.query_begin + i) * heads + t.head) * value_dim;
  }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t index, real* memory) const {
    real* dk = memory + kBlock * (2 * head_dim + value_dim + 2 * longest_key);
    real* dv = dk + longest_key * head_dim;
    each_head(index, [&](const Task& t) {
      const int64_t first = t.key_head * sharing;
      if (t.head == first && sight.sparse()) {
        lane.each(t.keys * head_dim, [=](int64_t c) { dk[c] = 0; });
        lane.each(t.keys * value_dim, [=](int64_t c) { dv[c] = 0; });
      }
      go_back(lane, t, memory, sight.sparse() || t.head > first, dk, dv);
      if (t.head < first + sharing - 1) return;
      write(lane, t, d_key, head_dim, dk);
      write(lane, t, d_value, value_dim, dv);
    });
  }

  // Writes the gradients of keys or values, and zeros where no query wrote any.
  DRAGOMAN_HOST_DEVICE void write(Lane lane, const Task& t, const ColumnGradient<G>& to,
                                  int64_t dim, const real* from) const {
    if (!to.data) return;
    const SeenKeys seen = seen_by(t, 0, t.queries);
    const bool some = t.queries > 0 && seen.more();
    const int64_t written = sight.sparse() ? t.keys : some ? seen.end() : 0;
    to.write(lane, t.key_begin, t.key_head * dim, written, dim, from);
    to.clear(lane, t.key_begin + written, t.key_head * dim, t.keys - written, dim);
  }

  // Of one head of queries. The gradients of keys and values are added to dk and dv, or written
  // there: from the last block of queries on, which sees all keys that any query sees, so that the
  // others can add. (Not if attention is sparse.)
  DRAGOMAN_HOST_DEVICE void go_back(Lane lane, const Task& t, real* memory, bool adds_first,
                                    real* dk, real* dv) const {
    auto* queries_transposed = new (memory) tile::Transposed<In>[kBlock * head_dim];
    real* next = memory + kBlock * head_dim;
    auto* d_transposed = new (next) tile::Transposed<In>[kBlock * value_dim];
    real* w = next + kBlock * value_dim;
    real* dw = w + kBlock * longest_key;
    real* dq = dw + kBlock * longest_key;
    fetch(lane, t);
    lane.fetch(t.queries, value_dim, gradient_at(t, 0), heads * value_dim);
    const int64_t first_query = statistics.at(t.head, t.query_begin);
    lane.fetch(1, t.queries, statistics.row_max + first_query, t.queries);
    lane.fetch(1, t.queries, statistics.inverse_sum + first_query, t.queries);
    for (int64_t begin = t.queries > 0 ? (t.queries - 1) / kBlock * kBlock : -1; begin >= 0;
         begin -= kBlock) {
      const int64_t rows = t.queries - begin < kBlock ? t.queries - begin : kBlock;
      const int64_t width = tile::padded(rows);
      const bool adds = adds_first || begin + rows < t.queries;
      const In* q = query_at(t, begin);
      const int64_t d_stride = heads * value_dim;
      const In* d = gradient_at(t, begin);
      lane.transpose(rows, head_dim, q, query.stride, queries_transposed, kBlock);
      lane.transpose(rows, value_dim, d, d_stride, d_transposed, kBlock);
      for (SeenKeys seen = seen_by(t, begin, rows); seen.more(); seen.next()) {
        const int64_t at = seen.before() * kBlock;
        lane.product_of_rows(seen.size(), width, head_dim, key_at(t, seen.begin()), key.stride,
                             queries_transposed, kBlock, w + at, kBlock);
        lane.product_of_rows(seen.size(), width, value_dim, value_at(t, seen.begin()), value.stride,
                             d_transposed, kBlock, dw + at, kBlock);
      }
      if (drops) drop(lane, t, begin, rows, dw);
      for (int64_t first = 0; first < rows; first += kLanes) {
        weight_gradients(lane, t, begin, rows, first, w + first, dw + first);
      }
      if (drops) drop(lane, t, begin, rows, w);
      if (d_query.data) {
        SeenKeys seen = seen_by(t, begin, rows);
        if (!seen.more()) lane.each(rows * head_dim, [=](int64_t c) { dq[c] = 0; });
        for (; seen.more(); seen.next()) {
          lane.product(rows, head_dim, seen.size(), {dw + seen.before() * kBlock, 1, kBlock},
                       key_at(t, seen.begin()), key.stride, dq, head_dim, seen.before() > 0);
        }
        d_query.write(lane, t.query_begin + begin, t.head * head_dim, rows, head_dim, dq);
      }
      for (SeenKeys seen = seen_by(t, begin, rows); seen.more(); seen.next()) {
        const int64_t at = seen.before() * kBlock;
        if (d_key.data) {
          lane.product(seen.size(), head_dim, rows, {dw + at, kBlock, 1}, q, query.stride,
                       dk + seen.begin() * head_dim, head_dim, adds);
        }
        if (d_value.data) {
          lane.product(seen.size(), value_dim, rows, {w + at, kBlock, 1}, d, d_stride,
                       dv + seen.begin() * value_dim, value_dim, adds);
        }
      }
    }
  }

  // From the products of a block of queries, of a vector of them from its `first` on, with the seen
  // keys, and of their outputs' gradients with the values, to w, the weights, and dw, the products'
  // gradients.
  DRAGOMAN_HOST_DEVICE void weight_gradients(Lane lane, const Task& t, int64_t begin, int64_t rows,
                                             int64_t first, real* w, real* dw) const {
    alignas(64) real row_max[kLanes], inverse_sum[kLanes], delta[kLanes];
    const real f = scale;
    const int64_t at = statistics.at(t.head, t.query_begin + begin + first);
    lane.each(kLanes, [&](int64_t q) {
      row_max[q] = first + q < rows ? statistics.row_max[at + q] : 0;
      inverse_sum[q] = first + q < rows ? statistics.inverse_sum[at + q] : 0;
      delta[q] = 0;
    });
    int64_t keys = 0;
    for (SeenKeys seen = seen_by(t, begin, rows); seen.more(); seen.next()) {
      for (int j = seen.begin(); j < seen.end(); ++j, ++keys) {
        real *weight = w + keys * kBlock, *gradient = dw + keys * kBlock;
        each_query(lane, t, begin + first, j, [&, weight, gradient](int64_t q, bool sees) {
          const real x = inverse_sum[q] * exp_of(f * weight[q] - row_max[q]);
          weight[q] = sees ? x : 0;
          delta[q] += weight[q] * gradient[q];
        });
      }
    }
    for (int64_t j = 0; j < keys; ++j) {
      real *weight = w + j * kBlock, *gradient = dw + j * kBlock;
      lane.each(kLanes, [&, weight, gradient](int64_t q) {
        gradient[q] = f * weight[q] * (gradient[q] - delta[q]);
      });
    }
  }
};

}  // namespace dragoman::attention_detail
