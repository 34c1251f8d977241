// Attention over sentences that lie end to end. Each (group, head) pair is one task, so that every
// gradient is summed by one thread. A task walks over its queries in blocks, whose weights are all
// that is ever held; forward keeps two numbers a query and head, from which backward computes the
// weights again (the recomputation of Dao et al. 2022, without its tiling over keys). The weights
// of a block lie transposed, [keys, block]: a query is a lane, and what softmax does along the keys
// of a query is done for a whole vector of queries at once.
#include <cmath>
#include <new>

#include "core/math.h"
#include "ops/attention_kernel.h"
#include "ops/column_gradients.h"
#include "ops/ops.h"
#if defined(DRAGOMAN_KERNELS)
#include "ops/gpu/attention_step.h"
#include "ops/gpu/flash_backward.h"
#include "ops/gpu/flash_forward.h"
#endif

namespace dragoman {
namespace {

using namespace attention_detail;

template <class In, class T>
struct AttentionForward : AttentionKernel<In> {
  using Kernel = AttentionKernel<In>;
  using Kernel::fetch;
  using Kernel::head_dim, Kernel::value_dim, Kernel::heads, Kernel::longest_key, Kernel::scale;
  using Kernel::query, Kernel::key, Kernel::value, Kernel::query_at, Kernel::key_at,
      Kernel::value_at;
  using Kernel::task, Kernel::visible, Kernel::sees, Kernel::drops, Kernel::drop;
  using typename Kernel::Task;

  T* out;
  Statistics statistics;
  real* weights;  // [queries, heads, longest_key] or null

  // Numbers of scratch that a task needs: the transposed queries of a block, its weights and its
  // result.
  int64_t scratch() const { return kBlock * (head_dim + longest_key + value_dim); }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t index, real* memory) const {
    const Task t = task(index);
    // In this part of the scratch are words, for bf16; each is read as what was written there.
    auto* transposed = new (memory) tile::Transposed<In>[kBlock * head_dim];
    real* p = memory + kBlock * head_dim;
    real* mixed = p + kBlock * longest_key;
    fetch(lane, t);
    for (int64_t begin = 0; begin < t.queries; begin += kBlock) {
      const int64_t rows = t.queries - begin < kBlock ? t.queries - begin : kBlock;
      const int64_t keys = visible(t, begin + rows - 1);
      lane.transpose(rows, head_dim, query_at(t, begin), query.stride, transposed, kBlock);
      lane.product_of_rows(keys, tile::padded(rows), head_dim, key_at(t, 0), key.stride, transposed,
                           kBlock, p, kBlock);
      for (int64_t first = 0; first < rows; first += kLanes) {
        weigh(lane, t, begin + first, rows - first, keys, p + first);
      }
      if (weights) write_weights(lane, t, begin, rows, keys, p);
      if (drops) drop(lane, t, begin, rows, keys, p);
      lane.product(rows, value_dim, keys, {p, 1, kBlock}, value_at(t, 0), value.stride, mixed,
                   value_dim, false);
      lane.copy(rows, value_dim, mixed, value_dim,
                out + ((t.query_begin + begin) * heads + t.head) * value_dim, heads * value_dim,
                false);
    }
  }

  // From the products [keys, kBlock] of the queries from i on, `rows` of them but at most a
  // vector, to their weights, zero for keys that a query does not see.
  DRAGOMAN_HOST_DEVICE void weigh(Lane lane, const Task& t, int64_t i, int64_t rows, int64_t keys,
                                  real* p) const {
    alignas(64) real row_max[kLanes], total[kLanes];
    const real f = scale;
    lane.each(kLanes, [&](int64_t q) {
      row_max[q] = Lane::lowest();
      total[q] = 0;
    });
    for (int64_t j = 0; j < keys; ++j) {
      real* row = p + j * kBlock;
      const bool all = sees(i, j);
      lane.each(kLanes, [&, row, j, all](int64_t q) {
        const real x = all || sees(i + q, j) ? f * row[q] : Lane::lowest();
        row[q] = x;
        row_max[q] = x > row_max[q] ? x : row_max[q];
      });
    }
    for (int64_t j = 0; j < keys; ++j) {
      real* row = p + j * kBlock;
      lane.each(kLanes, [&, row](int64_t q) {
        const real x = exp_of(row[q] - row_max[q]);
        row[q] = x;
        total[q] += x;
      });
    }
    lane.each(kLanes, [&](int64_t q) { total[q] = keys > 0 ? 1 / total[q] : 0; });
    for (int64_t j = 0; j < keys; ++j) {
      real* row = p + j * kBlock;
      lane.each(kLanes, [&, row](int64_t q) { row[q] *= total[q]; });
    }
    const int64_t at = statistics.at(t.head, t.query_begin + i);
    lane.each(rows < kLanes ? rows : kLanes, [&](int64_t q) {
      statistics.row_max[at + q] = row_max[q];
      statistics.inverse_sum[at + q] = total[q];
    });
  }

  DRAGOMAN_HOST_DEVICE void write_weights(Lane lane, const Task& t, int64_t begin, int64_t rows,
                                          int64_t keys, const real* p) const {
    for (int64_t i = 0; i < rows; ++i) {
      real* to = weights + ((t.query_begin + begin + i) * heads + t.head) * longest_key;
      lane.each(longest_key, [=](int64_t j) { to[j] = j < keys ? p[j * kBlock + i] : 0; });
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
  using Kernel::query_at, Kernel::key_at, Kernel::value_at, Kernel::task, Kernel::visible;
  T* out;
  real* weights;

  int64_t scratch() const { return tile::padded(longest_key) + value_dim; }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t index, real* memory) const {
    const auto t = task(index);
    real* p = memory;
    real* mixed = p + tile::padded(longest_key);
    for (int64_t i = 0; i < t.queries; ++i) {
      const int64_t keys = visible(t, i), row = (t.query_begin + i) * heads + t.head;
      const In* q = query_at(t, i);
      // As `fetch` does it for rows that follow one another.
      for (int64_t j = 0; j < keys; ++j) lane.fetch(1, head_dim, key_at(t, j), 0);
      for (int64_t j = 0; j < keys; ++j) lane.fetch(1, value_dim, value_at(t, j), 0);
      lane.sums(keys, head_dim, p, [=, *this](int64_t j) {
        const In* k = key_at(t, j);
        return [=](int64_t c) { return q[c] * k[c]; };
      });
      const real inverse_sum = exponentials(lane, keys, p, scale);
      lane.each(value_dim, [=](int64_t c) { mixed[c] = 0; });
      lane.add_up(
          value_dim, keys,
          [=, *this](int64_t j) {
            const In* v = value_at(t, j);
            const real weight = inverse_sum * p[j];
            return [=](int64_t c, real& sum) { sum += weight * v[c]; };
          },
          mixed);
      T* to = out + row * value_dim;
      lane.each(value_dim, [=](int64_t c) { to[c] = mixed[c]; });
      if (weights) {
        real* w = weights + row * longest_key;
        lane.each(longest_key, [=](int64_t j) { w[j] = j < keys ? inverse_sum * p[j] : 0; });
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

template <class In, class G>
struct AttentionBackward : AttentionKernel<In> {
  using Kernel = AttentionKernel<In>;
  using Kernel::fetch;
  using Kernel::head_dim, Kernel::value_dim, Kernel::heads, Kernel::longest_key, Kernel::scale;
  using Kernel::query, Kernel::key, Kernel::value, Kernel::query_at, Kernel::key_at,
      Kernel::value_at;
  using Kernel::task, Kernel::visible, Kernel::sees, Kernel::drops, Kernel::drop;
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
    const Task t = task(index);
    auto* queries_transposed = new (memory) tile::Transposed<In>[kBlock * head_dim];
    real* next = memory + kBlock * head_dim;
    auto* d_transposed = new (next) tile::Transposed<In>[kBlock * value_dim];
    real* w = next + kBlock * value_dim;
    real* dw = w + kBlock * longest_key;
    real* dq = dw + kBlock * longest_key;
    real* dk = dq + kBlock * head_dim;
    real* dv = dk + longest_key * head_dim;
    fetch(lane, t);
    lane.fetch(t.queries, value_dim, gradient_at(t, 0), heads * value_dim);
    const int64_t first_query = statistics.at(t.head, t.query_begin);
    lane.fetch(1, t.queries, statistics.row_max + first_query, t.queries);
    lane.fetch(1, t.queries, statistics.inverse_sum + first_query, t.queries);
    // The last block first: it sees all keys that any query sees, so the others can add.
    for (int64_t begin = t.queries > 0 ? (t.queries - 1) / kBlock * kBlock : -1; begin >= 0;
         begin -= kBlock) {
      const int64_t rows = t.queries - begin < kBlock ? t.queries - begin : kBlock;
      const int64_t keys = visible(t, begin + rows - 1), width = tile::padded(rows);
      const bool adds = begin + rows < t.queries;
      const In* q = query_at(t, begin);
      const int64_t d_stride = heads * value_dim;
      const In* d = gradient_at(t, begin);
      lane.transpose(rows, head_dim, q, query.stride, queries_transposed, kBlock);
      lane.transpose(rows, value_dim, d, d_stride, d_transposed, kBlock);
      lane.product_of_rows(keys, width, head_dim, key_at(t, 0), key.stride, queries_transposed,
                           kBlock, w, kBlock);
      lane.product_of_rows(keys, width, value_dim, value_at(t, 0), value.stride, d_transposed,
                           kBlock, dw, kBlock);
      if (drops) drop(lane, t, begin, rows, keys, dw);
      for (int64_t first = 0; first < rows; first += kLanes) {
        weight_gradients(lane, t, begin + first, rows - first, keys, w + first, dw + first);
      }
      if (drops) drop(lane, t, begin, rows, keys, w);
      if (d_query.data) {
        lane.product(rows, head_dim, keys, {dw, 1, kBlock}, key_at(t, 0), key.stride, dq, head_dim,
                     false);
        d_query.write(lane, t.query_begin + begin, t.head * head_dim, rows, head_dim, dq);
      }
      if (d_key.data) {
        lane.product(keys, head_dim, rows, {dw, kBlock, 1}, q, query.stride, dk, head_dim, adds);
      }
      if (d_value.data) {
        lane.product(keys, value_dim, rows, {w, kBlock, 1}, d, d_stride, dv, value_dim, adds);
      }
    }
    const int64_t seen = t.queries > 0 ? visible(t, t.queries - 1) : 0;
    const auto write = [&](const ColumnGradient<G>& to, int64_t dim, const real* from) {
      if (!to.data) return;
      to.write(lane, t.key_begin, t.head * dim, seen, dim, from);
      to.clear(lane, t.key_begin + seen, t.head * dim, t.keys - seen, dim);
    };
    write(d_key, head_dim, dk);
    write(d_value, value_dim, dv);
  }

  // From the products of the queries from i on with the keys, and of their outputs' gradients with
  // the values, to w, the weights, and dw, the products' gradients.
  DRAGOMAN_HOST_DEVICE void weight_gradients(Lane lane, const Task& t, int64_t i, int64_t rows,
                                             int64_t keys, real* w, real* dw) const {
    alignas(64) real row_max[kLanes], inverse_sum[kLanes], delta[kLanes];
    const real f = scale;
    const int64_t at = statistics.at(t.head, t.query_begin + i);
    lane.each(kLanes, [&](int64_t q) {
      row_max[q] = q < rows ? statistics.row_max[at + q] : 0;
      inverse_sum[q] = q < rows ? statistics.inverse_sum[at + q] : 0;
      delta[q] = 0;
    });
    for (int64_t j = 0; j < keys; ++j) {
      real *weight = w + j * kBlock, *gradient = dw + j * kBlock;
      const bool all = sees(i, j);
      lane.each(kLanes, [&, weight, gradient, j, all](int64_t q) {
        const real x = inverse_sum[q] * exp_of(f * weight[q] - row_max[q]);
        weight[q] = all || sees(i + q, j) ? x : 0;
        delta[q] += weight[q] * gradient[q];
      });
    }
    for (int64_t j = 0; j < keys; ++j) {
      real *weight = w + j * kBlock, *gradient = dw + j * kBlock;
      lane.each(kLanes, [&, weight, gradient](int64_t q) {
        gradient[q] = f * weight[q] * (gradient[q] - delta[q]);
      });
    }
  }
};

template <class In>
Block<In> block_of(const Columns& columns) {
  return {columns.matrix.value().data<In>() + columns.begin, columns.matrix.columns()};
}

template <class In>
AttentionKernel<In> make_kernel(const Columns& query, const Columns& key, const Columns& value,
                                const AttentionLayout& layout, const AttentionOptions& options) {
  const auto ids = [](const Tensor& tensor) {
    return tensor.defined() ? tensor.data<int32_t>() : nullptr;
  };
  return {.query = block_of<In>(query),
          .key = block_of<In>(key),
          .value = block_of<In>(value),
          .query_offsets = ids(layout.query_offsets),
          .key_offsets = ids(layout.key_offsets),
          .key_segments = ids(layout.key_segments),
          .key_rows = ids(layout.key_rows),
          .heads = options.heads,
          .head_dim = query.count / options.heads,
          .value_dim = value.count / options.heads,
          .longest_key = layout.longest_key,
          .scale = options.scale,
          .causal = options.causal,
          .drops = false,
          .random_key = {}};
}

void check_attention(const Columns& query, const Columns& key, const Columns& value,
                     const AttentionLayout& layout, const AttentionOptions& options) {
  const int64_t heads = options.heads;
  check(heads > 0 && query.count % heads == 0 && value.count % heads == 0,
        "attention: {} query and {} value columns do not divide by {} heads", query.count,
        value.count, heads);
  check(key.count == query.count, "attention: keys have {} columns, queries {}", key.count,
        query.count);
  const DType type = query.matrix.value().dtype();
  check(key.matrix.value().dtype() == type && value.matrix.value().dtype() == type,
        "attention: queries, keys and values are of different types");
  check(layout.key_segments.defined() || layout.groups() <= layout.segments(),
        "attention: {} groups of queries for {} segments of keys", layout.groups(),
        layout.segments());
  check(options.dropout >= 0 && options.dropout < 1, "attention: the dropout {} is not in [0, 1)",
        options.dropout);
}

// Whether a GPU's matrix units do it.
template <class In>
bool flashes([[maybe_unused]] const AttentionKernel<In>& kernel, [[maybe_unused]] const Tensor& y,
             [[maybe_unused]] const real* weights) {
#if defined(DRAGOMAN_KERNELS)
  if constexpr (std::is_same_v<In, Bf16>) {
    return y.device().on_gpu() && y.dtype() == DType::kBf16 && !weights && flash::serves(kernel);
  }
#endif
  return false;
}

// For queries, keys and values of the type In.
template <class In>
Variable attend(Tape& tape, const Columns& query, const Columns& key, const Columns& value,
                const AttentionLayout& layout, const AttentionOptions& options) {
  AttentionKernel<In> kernel = make_kernel<In>(query, key, value, layout, options);
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
  if (options.weights) {
    *options.weights = Tensor::empty({n, heads, layout.longest_key}, DType::kReal, device);
  }
  real* const weights = options.weights ? options.weights->data() : nullptr;
  const bool step = kernel.key_segments != nullptr || kernel.key_rows != nullptr;
  check(!step || !kernel.drops, "attention: no dropout on shared segments or lists of rows");
  const Tensor row_max = Tensor::empty({heads, n}, DType::kReal, device),
               inverse_sum = empty_like(row_max);
  const Statistics statistics{row_max.data(), inverse_sum.data(), n};
  const auto run = [=](const auto& kernel_of_kind, int64_t work_of_kind) {
    launch::tasks(device, tasks, kernel_of_kind.scratch(), work_of_kind, kernel_of_kind);
  };
  const bool flash = flashes(kernel, y, weights);
  visit(y, [&]<class T>(T* out) {
#if defined(DRAGOMAN_KERNELS)
    if constexpr (std::is_same_v<In, Bf16> && std::is_same_v<T, Bf16>) {
      if (flash) return flash::forward(device, layout.groups(), n, {kernel, out, statistics});
    }
#endif
    if (!step) return run(AttentionForward<In, T>{{kernel}, out, statistics, weights}, work);
    const AttentionStep<In, T> of_step{{kernel}, out, weights};
#if defined(DRAGOMAN_KERNELS)
    if (device.on_gpu() && attention_detail::gpu::attention_step(device, tasks, of_step)) return;
#endif
    run(of_step, work);
  });
  const Tensor result = flash ? y : Tensor();
  // The kernel holds addresses: what they belong to is kept with it.
  const auto backward = [=, kept = layout](Tensor& dy) {
    check(!step, "attention: no gradient goes through shared segments or lists of rows");
    const bool all_keys = layout.groups() == layout.segments();
    const ColumnGradients gradients({query, key, value}, {true, all_keys, all_keys});
    const Tensor d = convert(dy, dtype_of<In>());
    const auto go_back = [&]<class G>(G*) {
#if defined(DRAGOMAN_KERNELS)
      if constexpr (std::is_same_v<In, Bf16>) {
        if (flash) {
          return flash::backward(
              device, layout.groups(), n, layout.longest_query > 0 ? layout.longest_query : n,
              {kernel, result.template data<Bf16>(), d.template data<Bf16>(), statistics,
               flash::Gradient(gradients.of<G>(0)), flash::Gradient(gradients.of<G>(1)),
               flash::Gradient(gradients.of<G>(2))});
        }
      }
#endif
      run(AttentionBackward<In, G>{{kernel},
                                   d.template data<In>(),
                                   statistics,
                                   gradients.of<G>(0),
                                   gradients.of<G>(1),
                                   gradients.of<G>(2)},
          3 * work);
    };
    gradients.type() == DType::kBf16 ? go_back(static_cast<Bf16*>(nullptr))
                                     : go_back(static_cast<real*>(nullptr));
    // What the kernel and the statistics hold the addresses of is kept.
    (void)layout, (void)row_max, (void)inverse_sum, (void)result;
  };
  return tape.record("attention", y, {query.matrix, key.matrix, value.matrix}, backward)
      .prefers(dtype_of<In>());
}

}  // namespace

Variable attention(Tape& tape, const Columns& query, const Columns& key, const Columns& value,
                   const AttentionLayout& layout, const AttentionOptions& options) {
  check_attention(query, key, value, layout, options);
  // Tasks add to gradients at the same time, so that each must have its own: of columns that are
  // read twice, a copy is. (Keys that are the values have one task.)
  const auto copy = [&](const Columns& of) {
    return slice_columns(tape, of.matrix, of.begin, of.count);
  };
  if (query.share_gradients(key) || query.share_gradients(value)) {
    return attention(tape, copy(query), key, value, layout, options);
  }
  if (key.share_gradients(value) && (key.begin != value.begin || key.count != value.count)) {
    return attention(tape, query, key, copy(value), layout, options);
  }
  return query.matrix.value().dtype() == DType::kBf16
             ? attend<Bf16>(tape, query, key, value, layout, options)
             : attend<real>(tape, query, key, value, layout, options);
}

}  // namespace dragoman
