// Attention over sentences that lie end to end: which kernels do it.
#include "ops/attention_backward.h"
#include "ops/attention_forward.h"
#include "ops/attention_kernel.h"
#include "ops/ops.h"
#if defined(DRAGOMAN_KERNELS)
#include "ops/gpu/attention_step.h"
#include "ops/gpu/flash_backward.h"
#include "ops/gpu/flash_forward.h"
#endif

namespace dragoman {
namespace {

using namespace attention_detail;

template <class In>
Block<In> block_of(const Columns& columns) {
  return {columns.matrix.value().data<In>() + columns.begin, columns.matrix.columns()};
}

int64_t key_heads_of(const AttentionOptions& options) {
  return options.key_heads == 0 ? options.heads : options.key_heads;
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
          .key_heads = key_heads_of(options),
          .sharing = options.heads / key_heads_of(options),
          .head_dim = query.count / options.heads,
          .value_dim = value.count / key_heads_of(options),
          .longest_key = layout.longest_key,
          .scale = options.scale,
          .sight = options.sight,
          .queries_last = layout.queries_last,
          .drops = false,
          .random_key = {}};
}

void check_attention(const Columns& query, const Columns& key, const Columns& value,
                     const AttentionLayout& layout, const AttentionOptions& options) {
  const int64_t heads = options.heads, key_heads = key_heads_of(options);
  check(key_heads > 0 && heads > 0 && heads % key_heads == 0,
        "attention: {} heads of queries cannot share {} of keys", heads, key_heads);
  check(query.count % heads == 0 && value.count % key_heads == 0,
        "attention: {} query and {} value columns do not divide by {} and {} heads", query.count,
        value.count, heads, key_heads);
  check(key.count == query.count / heads * key_heads,
        "attention: {} heads of keys have {} columns, {} of queries {}", key_heads, key.count,
        heads, query.count);
  const DType type = query.matrix.value().dtype();
  check(key.matrix.value().dtype() == type && value.matrix.value().dtype() == type,
        "attention: queries, keys and values are of different types");
  check(layout.key_segments.defined() || layout.groups() <= layout.segments(),
        "attention: {} groups of queries for {} segments of keys", layout.groups(),
        layout.segments());
  const Sight& sight = options.sight;
  for (const int number :
       {sight.window, sight.stride, sight.global, sight.random_blocks, sight.block}) {
    check(number >= 0 && number < 1 << 30, "attention: a sight has no {} of anything", number);
  }
  check(sight.block > 0, "attention: blocks of no keys");
  check(
      sight.sparse() || sight.global == 0,
      "attention: without a window, a stride or random blocks {} first tokens are seen as all are",
      sight.global);
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
  const int64_t tasks = layout.groups() * kernel.key_heads, columns = heads * kernel.value_dim;
  const int64_t work = n * layout.longest_key * (query.count + columns);
  Tensor y = Tensor::empty({n, columns}, options.type, device);
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
    if (device.on_gpu() && attention_detail::gpu::attention_step(device, layout.groups(), of_step))
      return;
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
