// Attention over sentences that lie end to end. Each (group, head) pair is one task, so that every
// gradient is summed by one thread. A task walks over its queries in blocks, whose weights
// [block, keys] are all that is ever held; forward keeps the logarithm of each query's total, from
// which backward computes the weights again (the recomputation of Dao et al. 2022, without its
// tiling over keys).
#include <algorithm>
#include <cmath>

#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

constexpr int64_t kQueryBlock = 16;

// One head's columns of a packed matrix.
struct Block {
  const real* data;
  int64_t stride;
  DRAGOMAN_HOST_DEVICE const real* row(int64_t r) const { return data + r * stride; }
};

// What both directions share: the shapes, where the rows are, and the weights of a block.
struct AttentionKernel {
  Block query, key, value;
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
  DRAGOMAN_HOST_DEVICE const real* query_at(const Task& t, int64_t i) const {
    return query.row(t.query_begin + i) + t.head * head_dim;
  }
  DRAGOMAN_HOST_DEVICE const real* key_at(const Task& t, int64_t j) const {
    return key.row(key_row(t, j)) + t.head * head_dim;
  }
  DRAGOMAN_HOST_DEVICE const real* value_at(const Task& t, int64_t j) const {
    return value.row(key_row(t, j)) + t.head * value_dim;
  }
  // How many keys the i-th query sees.
  DRAGOMAN_HOST_DEVICE int64_t visible(const Task& t, int64_t i) const {
    return causal && i + 1 < t.keys ? i + 1 : t.keys;
  }

  // The factor of dropout on the weight (query i, key j): a word of a block that belongs to the
  // query's row, the head and 64 keys.
  DRAGOMAN_HOST_DEVICE void dropout_factors(const Task& t, int64_t i, int64_t keys,
                                            real* factors) const {
    const int64_t blocks = (longest_key + kRandomBlock - 1) / kRandomBlock;
    for (int64_t begin = 0; begin < keys; begin += kRandomBlock) {
      uint32_t words[kRandomBlock];
      const int64_t row = (t.query_begin + i) * heads + t.head;
      random_block(random_key, static_cast<uint64_t>(row * blocks + begin / kRandomBlock), words);
      const int64_t count = keys - begin < kRandomBlock ? keys - begin : kRandomBlock;
      for (int64_t j = 0; j < count; ++j) factors[begin + j] = mask.factor(words[j]);
    }
  }

  // scores[j] = scale * q . k_j for the first `keys` keys. With the keys transposed ([head_dim,
  // t.keys]) the vector runs over keys; a few queries alone do not pay for transposing.
  DRAGOMAN_HOST_DEVICE void scores(Lane lane, const Task& t, int64_t i, int64_t keys,
                                   const real* transposed, real* out) const {
    const real* q = query_at(t, i);
    if (transposed) {
      lane.each(keys, [=](int64_t j) { out[j] = 0; });
      for (int64_t c = 0; c < head_dim; ++c) {
        const real factor = scale * q[c];
        const real* k = transposed + c * t.keys;
        lane.each(keys, [=](int64_t j) { out[j] += factor * k[j]; });
      }
    } else {
      for (int64_t j = 0; j < keys; ++j) {
        const real* k = key_at(t, j);
        out[j] = scale * lane.sum(head_dim, [=](int64_t c) { return q[c] * k[c]; });
      }
    }
  }

  DRAGOMAN_HOST_DEVICE void transpose_keys(Lane lane, const Task& t, real* out) const {
    for (int64_t j = 0; j < t.keys; ++j) {
      const real* k = key_at(t, j);
      lane.each(head_dim, [=, keys = t.keys](int64_t c) { out[c * keys + j] = k[c]; });
    }
  }
};

// Queries of one task from which on transposing the keys pays.
constexpr int64_t kWorthTransposing = 4;

struct AttentionForward : AttentionKernel {
  real* out;
  real* log_totals;  // [queries, heads]
  real* weights;     // [queries, heads, longest_key] or null

  // Numbers of scratch that a task needs: the transposed keys, one row of weights, of factors.
  int64_t scratch() const { return longest_key * (head_dim + 2); }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t index, real* memory) const {
    const Task t = task(index);
    real* transposed = t.queries >= kWorthTransposing ? memory : nullptr;
    real* p = memory + longest_key * head_dim;
    real* factors = p + longest_key;
    if (transposed) transpose_keys(lane, t, transposed);
    for (int64_t i = 0; i < t.queries; ++i) {
      const int64_t keys = visible(t, i), row = t.query_begin + i;
      real* to = out + (row * heads + t.head) * value_dim;
      lane.each(value_dim, [=](int64_t c) { to[c] = 0; });
      if (weights) {
        real* w = weights + (row * heads + t.head) * longest_key;
        lane.each(longest_key, [=](int64_t j) { w[j] = 0; });
      }
      log_totals[row * heads + t.head] = 0;
      if (keys == 0) continue;
      scores(lane, t, i, keys, transposed, p);
      const real most = lane.max(keys, [=](int64_t j) { return p[j]; });
      lane.each(keys, [=](int64_t j) { p[j] = exp_of(p[j] - most); });
      const real total = lane.sum(keys, [=](int64_t j) { return p[j]; });
      log_totals[row * heads + t.head] = most + std::log(total);
      const real share = 1 / total;
      lane.each(keys, [=](int64_t j) { p[j] *= share; });
      if (weights) {
        real* w = weights + (row * heads + t.head) * longest_key;
        lane.each(keys, [=](int64_t j) { w[j] = p[j]; });
      }
      if (drops) {
        dropout_factors(t, i, keys, factors);
        lane.each(keys, [=](int64_t j) { p[j] *= factors[j]; });
      }
      for (int64_t j = 0; j < keys; ++j) {
        const real* v = value_at(t, j);
        const real weight = p[j];
        lane.each(value_dim, [=](int64_t c) { to[c] += weight * v[c]; });
      }
    }
  }
};

struct AttentionBackward : AttentionKernel {
  const real* out;         // [queries, heads * value_dim]
  const real* d_out;       // the same
  const real* log_totals;  // [queries, heads]
  GradientWriter d_query, d_key, d_value;
  int64_t d_query_stride, d_key_stride, d_value_stride;

  // The transposed keys and values, the sums of both gradients, and for each query of a block its
  // weights and their gradients.
  int64_t scratch() const {
    return longest_key * (2 * head_dim + 2 * value_dim + 2 * kQueryBlock + 1);
  }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t index, real* memory) const {
    const Task t = task(index);
    real* transposed = memory;
    real* transposed_values = transposed + longest_key * head_dim;
    real* sum_key = transposed_values + longest_key * value_dim;
    real* sum_value = sum_key + longest_key * head_dim;
    real* p = sum_value + longest_key * value_dim;
    real* dp = p + longest_key * kQueryBlock;
    real* factors = dp + longest_key * kQueryBlock;
    transpose_keys(lane, t, transposed);
    for (int64_t j = 0; j < t.keys; ++j) {
      const real* v = value_at(t, j);
      lane.each(value_dim, [=](int64_t c) { transposed_values[c * t.keys + j] = v[c]; });
    }
    lane.each(t.keys * head_dim, [=](int64_t c) { sum_key[c] = 0; });
    lane.each(t.keys * value_dim, [=](int64_t c) { sum_value[c] = 0; });
    for (int64_t begin = 0; begin < t.queries; begin += kQueryBlock) {
      const int64_t end = begin + kQueryBlock < t.queries ? begin + kQueryBlock : t.queries;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t keys = visible(t, i);
        real* w = p + (i - begin) * longest_key;
        real* dw = dp + (i - begin) * longest_key;
        weight_gradients(lane, t, i, keys, transposed, transposed_values, factors, w, dw);
        query_gradient(lane, t, i, keys, dw);
      }
      add_key_gradients(lane, t, begin, end, p, dp, sum_key, sum_value);
    }
    write_sums(lane, t, sum_key, d_key, d_key_stride, head_dim);
    write_sums(lane, t, sum_value, d_value, d_value_stride, value_dim);
  }

  // w: the weights with dropout, which the values' gradient wants; dw: the scores' gradients.
  DRAGOMAN_HOST_DEVICE void weight_gradients(Lane lane, const Task& t, int64_t i, int64_t keys,
                                             const real* transposed, const real* transposed_values,
                                             real* factors, real* w, real* dw) const {
    const int64_t row = (t.query_begin + i) * heads + t.head;
    const real* d = d_out + row * value_dim;
    const real* y = out + row * value_dim;
    const real log_total = log_totals[row];
    scores(lane, t, i, keys, transposed, w);
    lane.each(keys, [=](int64_t j) { w[j] = exp_of(w[j] - log_total); });
    lane.each(keys, [=](int64_t j) { dw[j] = 0; });
    for (int64_t c = 0; c < value_dim; ++c) {
      const real factor = d[c];
      const real* v = transposed_values + c * t.keys;
      lane.each(keys, [=](int64_t j) { dw[j] += factor * v[j]; });
    }
    // sum_j w_j dw_j, which the output already holds.
    const real along = lane.sum(value_dim, [=](int64_t c) { return d[c] * y[c]; });
    if (drops) {
      dropout_factors(t, i, keys, factors);
      lane.each(keys, [=, f = scale](int64_t j) {
        dw[j] = f * w[j] * (factors[j] * dw[j] - along);
        w[j] *= factors[j];
      });
    } else {
      lane.each(keys, [=, f = scale](int64_t j) { dw[j] = f * w[j] * (dw[j] - along); });
    }
  }

  DRAGOMAN_HOST_DEVICE void query_gradient(Lane lane, const Task& t, int64_t i, int64_t keys,
                                           const real* dw) const {
    if (!d_query) return;
    const int64_t to = (t.query_begin + i) * d_query_stride + t.head * head_dim;
    const GradientWriter write = d_query;
    if (keys == 0) lane.each(head_dim, [=](int64_t c) { write(to + c, 0); });
    for (int64_t j = 0; j < keys; ++j) {
      const real* k = key_at(t, j);
      const real factor = dw[j];
      // The first key assigns, if the sink is fresh; the others add.
      const GradientWriter writer(write.data(), write.accumulate() || j > 0);
      lane.each(head_dim, [=](int64_t c) { writer(to + c, factor * k[c]); });
    }
  }

  DRAGOMAN_HOST_DEVICE void add_key_gradients(Lane lane, const Task& t, int64_t begin, int64_t end,
                                              const real* p, const real* dp, real* sum_key,
                                              real* sum_value) const {
    for (int64_t j = 0; j < t.keys; ++j) {
      real* dk = sum_key + j * head_dim;
      real* dv = sum_value + j * value_dim;
      for (int64_t i = begin; i < end; ++i) {
        if (j >= visible(t, i)) continue;
        const real* q = query_at(t, i);
        const real* d = d_out + ((t.query_begin + i) * heads + t.head) * value_dim;
        const real key_factor = dp[(i - begin) * longest_key + j];
        const real value_factor = p[(i - begin) * longest_key + j];
        lane.each(head_dim, [=](int64_t c) { dk[c] += key_factor * q[c]; });
        lane.each(value_dim, [=](int64_t c) { dv[c] += value_factor * d[c]; });
      }
    }
  }

  DRAGOMAN_HOST_DEVICE void write_sums(Lane lane, const Task& t, const real* sums,
                                       const GradientWriter& write, int64_t stride,
                                       int64_t width) const {
    if (!write) return;
    for (int64_t j = 0; j < t.keys; ++j) {
      const int64_t to = (t.key_begin + j) * stride + t.head * width;
      const GradientWriter writer = write;
      lane.each(width, [=](int64_t c) { writer(to + c, sums[j * width + c]); });
    }
  }
};

Block block_of(const Columns& columns) {
  return {columns.matrix.data() + columns.begin, columns.matrix.columns()};
}

// Opens the gradients of blocks that may be columns of one matrix. A matrix whose every element is
// written once needs no zeros first: `complete` says that a block's every row is, and blocks that
// lie apart and are together as wide as the matrix cover its columns.
std::array<GradientWriter, 3> open_gradients(const std::array<Columns, 3>& blocks,
                                             const std::array<bool, 3>& complete) {
  std::array<GradientWriter, 3> writers;
  for (size_t b = 0; b < 3; ++b) {
    const Variable& matrix = blocks[b].matrix;
    if (!matrix.needs_gradient()) continue;
    std::vector<size_t> same;
    for (size_t other = 0; other < 3; ++other) {
      if (blocks[other].matrix.sink() == matrix.sink()) same.push_back(other);
    }
    if (const size_t first = same.front(); first < b) {
      writers[b] = GradientWriter(writers[first].data() - blocks[first].begin + blocks[b].begin,
                                  writers[first].accumulate());
      continue;
    }
    std::sort(same.begin(), same.end(),
              [&](size_t x, size_t y) { return blocks[x].begin < blocks[y].begin; });
    int64_t covered = 0;
    bool assigns = true;
    for (const size_t part : same) {
      assigns = assigns && complete[part] && blocks[part].begin == covered;
      covered += blocks[part].count;
    }
    assigns = assigns && covered == matrix.columns();
    const GradientWriter whole = assigns ? matrix.gradient() : matrix.zeroed_gradient();
    writers[b] = GradientWriter(whole.data() + blocks[b].begin, whole.accumulate());
  }
  return writers;
}

AttentionKernel make_kernel(const Columns& query, const Columns& key, const Columns& value,
                            const AttentionLayout& layout, const AttentionOptions& options) {
  const int64_t heads = options.heads;
  check(heads > 0 && query.count % heads == 0 && value.count % heads == 0,
        "attention: {} query and {} value columns do not divide by {} heads", query.count,
        value.count, heads);
  check(key.count == query.count, "attention: keys have {} columns, queries {}", key.count,
        query.count);
  check(layout.key_segments.defined() || layout.groups() <= layout.segments(),
        "attention: {} groups of queries for {} segments of keys", layout.groups(),
        layout.segments());
  const auto ids = [](const Tensor& tensor) {
    return tensor.defined() ? tensor.data<int32_t>() : nullptr;
  };
  return {.query = block_of(query),
          .key = block_of(key),
          .value = block_of(value),
          .query_offsets = ids(layout.query_offsets),
          .key_offsets = ids(layout.key_offsets),
          .key_segments = ids(layout.key_segments),
          .key_rows = ids(layout.key_rows),
          .heads = heads,
          .head_dim = query.count / heads,
          .value_dim = value.count / heads,
          .longest_key = layout.longest_key,
          .scale = options.scale,
          .causal = options.causal,
          .drops = false,
          .random_key = {}};
}

}  // namespace

Variable attention(Tape& tape, const Columns& query, const Columns& key, const Columns& value,
                   const AttentionLayout& layout, const AttentionOptions& options) {
  AttentionKernel kernel = make_kernel(query, key, value, layout, options);
  check(options.dropout >= 0 && options.dropout < 1, "attention: the dropout {} is not in [0, 1)",
        options.dropout);
  if (tape.training() && options.dropout > 0) {
    kernel.drops = true;
    kernel.random_key = tape.next_random_key();
    kernel.mask = Dropout(options.dropout);
  }
  const Device device = query.matrix.value().device();
  const int64_t n = query.matrix.rows(), heads = options.heads;
  const int64_t tasks = layout.groups() * heads;
  const int64_t work = n * layout.longest_key * (query.count + value.count);
  Tensor y = Tensor::empty({n, value.count}, DType::kReal, device);
  Tensor log_totals = Tensor::empty({n, heads}, DType::kReal, device);
  if (options.weights) {
    *options.weights = Tensor::empty({n, heads, layout.longest_key}, DType::kReal, device);
  }
  const AttentionForward forward{
      {kernel}, y.data(), log_totals.data(), options.weights ? options.weights->data() : nullptr};
  launch::tasks(device, tasks, forward.scratch(), work, forward);
  return tape.record(
      "attention", y, {query.matrix, key.matrix, value.matrix},
      // The kernel holds addresses: what they belong to is kept with it.
      [=, kept = layout](Tensor& dy) {
        check(kernel.key_segments == nullptr && kernel.key_rows == nullptr,
              "attention: no gradient goes through shared segments or lists of rows");
        const bool all_keys = layout.groups() == layout.segments();
        const auto writers = open_gradients({query, key, value}, {true, all_keys, all_keys});
        const AttentionBackward backward{{kernel},
                                         y.data(),
                                         dy.data(),
                                         log_totals.data(),
                                         writers[0],
                                         writers[1],
                                         writers[2],
                                         query.matrix.columns(),
                                         key.matrix.columns(),
                                         value.matrix.columns()};
        launch::tasks(device, tasks, backward.scratch(), 3 * work, backward);
        // The layout's tensors must outlive the kernel, which holds their addresses.
        (void)layout;
      });
}

}  // namespace dragoman
