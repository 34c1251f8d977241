// Attention over sentences that lie end to end. Each (group, head) pair is one task, so that every
// gradient is summed by one thread. A task walks over its queries in blocks, whose weights
// [block, keys] are all that is ever held; forward keeps two numbers a query and head, from which
// backward computes the weights again (the recomputation of Dao et al. 2022, without its
// tiling over keys). A block's products read the keys and values transposed in panels of a few
// keys, so that their inner loops run along rows.
#include <algorithm>
#include <cmath>

#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

constexpr int64_t kQueryBlock = 16;
constexpr int64_t kPanel = 64;  // keys; a multiple of tile::kLanes

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

  // Numbers of the transposed keys or values of a task, and of a row of weights.
  DRAGOMAN_HOST_DEVICE int64_t padded_keys() const {
    return (longest_key + kPanel - 1) / kPanel * kPanel;
  }

  // Keys or values of a task from `from` on: the panel p is [columns, kPanel] at to + p * columns *
  // kPanel.
  DRAGOMAN_HOST_DEVICE void transpose(Lane lane, int64_t keys, const real* from, int64_t stride,
                                      int64_t columns, real* to) const {
    for (int64_t begin = 0; begin < keys; begin += kPanel) {
      const int64_t count = keys - begin < kPanel ? keys - begin : kPanel;
      lane.transpose(count, columns, from + begin * stride, stride, to + begin * columns, kPanel);
    }
  }

  // out [rows, keys] = left . (the first `keys` of what was transposed); out's rows are
  // padded_keys() apart.
  DRAGOMAN_HOST_DEVICE void multiply(Lane lane, int64_t rows, int64_t keys, const real* left,
                                     int64_t stride, int64_t columns, const real* transposed,
                                     real* out) const {
    for (int64_t begin = 0; begin < keys; begin += kPanel) {
      const int64_t count = keys - begin < kPanel ? tile::padded(keys - begin) : kPanel;
      lane.product(rows, count, columns, {left, stride, 1}, transposed + begin * columns, kPanel,
                   out + begin, padded_keys(), false);
    }
  }
};

// Queries of one task from which on transposing the keys pays.
constexpr int64_t kWorthTransposing = 4;

template <class T>
struct AttentionForward : AttentionKernel {
  T* out;
  real* statistics;  // [queries, heads, 2]: the largest product, and 1 / the sum of exponentials
  real* weights;     // [queries, heads, longest_key] or null

  // Numbers of scratch that a task needs: the transposed keys; for each query of a block its
  // weights and its result; factors.
  int64_t scratch() const {
    return padded_keys() * (head_dim + kQueryBlock + 1) + kQueryBlock * value_dim;
  }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t index, real* memory) const {
    const Task t = task(index);
    real* p = memory + padded_keys() * head_dim;
    real* factors = p + padded_keys() * kQueryBlock;
    real* mixed = factors + padded_keys();
    const bool blocks = t.queries >= kWorthTransposing && key_rows == nullptr;
    if (blocks) transpose(lane, t.keys, key_at(t, 0), key.stride, head_dim, memory);
    const int64_t step = blocks ? kQueryBlock : 1;
    for (int64_t begin = 0; begin < t.queries; begin += step) {
      const int64_t rows = t.queries - begin < step ? t.queries - begin : step;
      const int64_t keys = visible(t, begin + rows - 1);
      if (blocks) {
        multiply(lane, rows, keys, query_at(t, begin), query.stride, head_dim, memory, p);
      } else {
        for (int64_t j = 0; j < keys; ++j) {
          const real *q = query_at(t, begin), *k = key_at(t, j);
          p[j] = lane.sum(head_dim, [=](int64_t c) { return q[c] * k[c]; });
        }
      }
      real shares[kQueryBlock];
      for (int64_t i = 0; i < rows; ++i) {
        shares[i] = weigh(lane, t, begin + i, keys, p + i * padded_keys(), factors);
      }
      if (blocks) {
        lane.product(rows, value_dim, keys, {p, padded_keys(), 1}, value_at(t, 0), value.stride,
                     mixed, value_dim, false);
      } else {
        lane.each(value_dim, [=](int64_t c) { mixed[c] = 0; });
        for (int64_t j = 0; j < keys; ++j) {
          const real* v = value_at(t, j);
          const real weight = p[j];
          lane.each(value_dim, [=](int64_t c) { mixed[c] += weight * v[c]; });
        }
      }
      for (int64_t i = 0; i < rows; ++i) {
        T* to = out + ((t.query_begin + begin + i) * heads + t.head) * value_dim;
        const real* from = mixed + i * value_dim;
        const real share = shares[i];
        lane.each(value_dim, [=](int64_t c) { to[c] = share * from[c]; });
      }
    }
  }

  // From the products of query i with `keys` keys to its weights but for the division by their sum,
  // zero for keys that it does not see, with dropout. Returns 1 / the sum. The rows are short, and
  // their ends would cost the most: hence whole vectors, of which what is not seen is masked.
  DRAGOMAN_HOST_DEVICE real weigh(Lane lane, const Task& t, int64_t i, int64_t keys, real* p,
                                  real* factors) const {
    const int64_t seen = visible(t, i), row = (t.query_begin + i) * heads + t.head;
    const int64_t width = tile::padded(keys);
    const real f = scale;
    real most = 0, share = 0;
    if (seen > 0) {
      lane.each(width, [=](int64_t j) { p[j] = j < seen ? f * p[j] : Lane::lowest(); });
      most = lane.max_row(width, p);
      lane.each(width, [=](int64_t j) { p[j] = exp_of(p[j] - most); });
      share = 1 / lane.sum_row(width, p);
    }
    lane.each(1, [=, to = statistics](int64_t) {
      to[2 * row] = most;
      to[2 * row + 1] = share;
    });
    if (weights) {
      real* w = weights + row * longest_key;
      lane.each(longest_key, [=](int64_t j) { w[j] = j < seen ? share * p[j] : 0; });
    }
    if (drops) {
      dropout_factors(t, i, seen, factors);
      lane.each(seen, [=](int64_t j) { p[j] *= factors[j]; });
    }
    return share;
  }
};

struct AttentionBackward : AttentionKernel {
  const real* d_out;       // [queries, heads * value_dim]
  const real* statistics;  // as forward left them
  GradientWriter d_query, d_key, d_value;
  int64_t d_query_stride, d_key_stride, d_value_stride;

  // The transposed keys and values, and for each query of a block its weights and their gradients.
  int64_t scratch() const { return padded_keys() * (head_dim + value_dim + 2 * kQueryBlock + 1); }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t index, real* memory) const {
    const Task t = task(index);
    real* keys = memory;
    real* values = keys + padded_keys() * head_dim;
    real* w = values + padded_keys() * value_dim;
    real* dw = w + padded_keys() * kQueryBlock;
    real* factors = dw + padded_keys() * kQueryBlock;
    transpose(lane, t.keys, key_at(t, 0), key.stride, head_dim, keys);
    transpose(lane, t.keys, value_at(t, 0), value.stride, value_dim, values);
    if (t.queries == 0) {
      add_key_gradients(lane, t, 0, 0, w, dw);
      return;
    }
    // The last block first: it sees all keys that any query sees, so the others can add.
    for (int64_t begin = (t.queries - 1) / kQueryBlock * kQueryBlock; begin >= 0;
         begin -= kQueryBlock) {
      const int64_t rows = t.queries - begin < kQueryBlock ? t.queries - begin : kQueryBlock;
      const int64_t seen = visible(t, begin + rows - 1);
      const real* d = d_out + ((t.query_begin + begin) * heads + t.head) * value_dim;
      multiply(lane, rows, seen, query_at(t, begin), query.stride, head_dim, keys, w);
      multiply(lane, rows, seen, d, heads * value_dim, value_dim, values, dw);
      for (int64_t i = 0; i < rows; ++i) {
        weight_gradients(lane, t, begin + i, seen, w + i * padded_keys(), dw + i * padded_keys(),
                         factors);
      }
      if (d_query) {
        real* to = d_query.data() + (t.query_begin + begin) * d_query_stride + t.head * head_dim;
        lane.product(rows, head_dim, seen, {dw, padded_keys(), 1}, key_at(t, 0), key.stride, to,
                     d_query_stride, d_query.accumulate());
      }
      add_key_gradients(lane, t, begin, rows, w, dw);
    }
  }

  // From the products of query i with the keys and of its output's gradient with the values to w,
  // the weights with dropout, which the values' gradient wants, and dw, the products' gradients.
  DRAGOMAN_HOST_DEVICE void weight_gradients(Lane lane, const Task& t, int64_t i, int64_t keys,
                                             real* w, real* dw, real* factors) const {
    const int64_t seen = visible(t, i), row = (t.query_begin + i) * heads + t.head;
    const int64_t width = tile::padded(keys);
    const real most = statistics[2 * row], share = statistics[2 * row + 1], f = scale;
    lane.each(width, [=](int64_t j) {
      w[j] = j < seen ? share * exp_of(f * w[j] - most) : 0;
      dw[j] = j < seen ? dw[j] : 0;
    });
    if (drops) {
      dropout_factors(t, i, seen, factors);
      lane.each(seen, [=](int64_t j) { dw[j] *= factors[j]; });
    }
    const real along = lane.dot_row(width, w, dw);
    lane.each(width, [=](int64_t j) { dw[j] = f * w[j] * (dw[j] - along); });
    if (drops) lane.each(seen, [=](int64_t j) { w[j] *= factors[j]; });
  }

  // What a block of queries adds to the gradients of keys and values. The last one sets them.
  DRAGOMAN_HOST_DEVICE void add_key_gradients(Lane lane, const Task& t, int64_t begin, int64_t rows,
                                              const real* w, const real* dw) const {
    const bool last = begin + rows == t.queries;
    const int64_t seen = rows > 0 ? visible(t, begin + rows - 1) : 0;
    const real* q = query_at(t, begin);
    const real* d = d_out + ((t.query_begin + begin) * heads + t.head) * value_dim;
    const auto add = [&](const GradientWriter& to, int64_t stride, int64_t width, const real* left,
                         const real* right, int64_t right_stride) {
      if (!to) return;
      real* data = to.data() + t.key_begin * stride + t.head * width;
      lane.product(seen, width, rows, {left, 1, padded_keys()}, right, right_stride, data, stride,
                   to.accumulate() || !last);
      for (int64_t j = seen; last && !to.accumulate() && j < t.keys; ++j) {
        lane.each(width, [=](int64_t c) { data[j * stride + c] = 0; });
      }
    };
    add(d_key, d_key_stride, head_dim, dw, q, query.stride);
    add(d_value, d_value_stride, value_dim, w, d, heads * value_dim);
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
  Tensor y = Tensor::empty({n, value.count}, options.type, device);
  Tensor statistics = Tensor::empty({n, heads, 2}, DType::kReal, device);
  if (options.weights) {
    *options.weights = Tensor::empty({n, heads, layout.longest_key}, DType::kReal, device);
  }
  visit(y, [&](auto* out) {
    const AttentionForward<std::remove_pointer_t<decltype(out)>> forward{
        {kernel}, out, statistics.data(), options.weights ? options.weights->data() : nullptr};
    launch::tasks(device, tasks, forward.scratch(), work, forward);
  });
  return tape.record(
      "attention", y, {query.matrix, key.matrix, value.matrix},
      // The kernel holds addresses: what they belong to is kept with it.
      [=, kept = layout](Tensor& dy) {
        check(kernel.key_segments == nullptr && kernel.key_rows == nullptr,
              "attention: no gradient goes through shared segments or lists of rows");
        const bool all_keys = layout.groups() == layout.segments();
        const auto writers = open_gradients({query, key, value}, {true, all_keys, all_keys});
        const AttentionBackward backward{{kernel},
                                         dy.data(),
                                         statistics.data(),
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
