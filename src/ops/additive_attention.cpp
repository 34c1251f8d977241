// Bahdanau's alignment model. tanh(query + key) is [keys of the sentence, a] for every query: it is
// computed once forward and once backward, and never stored.
#include <cmath>

#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

struct AdditiveKernel {
  const real *query, *key, *weight, *value;
  const int32_t *key_offsets, *key_segments, *key_rows;
  int64_t dim, value_dim, longest_key;
  real* alignment;  // [n, longest_key]

  DRAGOMAN_HOST_DEVICE int64_t key_begin(int64_t row) const {
    return key_offsets[key_segments ? key_segments[row] : row];
  }
  DRAGOMAN_HOST_DEVICE int64_t keys(int64_t row) const {
    return key_offsets[(key_segments ? key_segments[row] : row) + 1] - key_begin(row);
  }
  DRAGOMAN_HOST_DEVICE int64_t key_row(int64_t number) const {
    return key_rows ? key_rows[number] : number;
  }
};

struct AdditiveForward : AdditiveKernel {
  real* out;

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row, real*) const {
    const int64_t begin = key_begin(row), count = keys(row);
    const real* q = query + row * dim;
    const real* w = weight;
    real* a = alignment + row * longest_key;
    real* to = out + row * value_dim;
    for (int64_t j = 0; j < count; ++j) {
      const real* k = key + key_row(begin + j) * dim;
      const real score = lane.sum(dim, [=](int64_t c) { return w[c] * tanh_of(q[c] + k[c]); });
      lane.once([=] { a[j] = score; });
    }
    const real most = lane.max(count, [=](int64_t j) { return a[j]; });
    lane.each(count, [=](int64_t j) { a[j] = exp_of(a[j] - most); });
    const real total = lane.sum(count, [=](int64_t j) { return a[j]; });
    lane.each(count, [=](int64_t j) { a[j] /= total; });
    lane.each(longest_key - count, [=](int64_t j) { a[count + j] = 0; });
    lane.each(value_dim, [=](int64_t c) { to[c] = 0; });
    for (int64_t j = 0; j < count; ++j) {
      const real* v = value + key_row(begin + j) * value_dim;
      const real share = a[j];
      lane.each(value_dim, [=](int64_t c) { to[c] += share * v[c]; });
    }
  }
};

struct AdditiveBackward : AdditiveKernel {
  const real* out;
  const real* d_out;
  GradientWriter d_query, d_key, d_value;
  real* d_weight;  // [n, dim]: each row's part, summed after

  // The gradients of the scores, and that of the query.
  int64_t scratch() const { return longest_key + dim; }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row, real* memory) const {
    const int64_t begin = key_begin(row), count = keys(row);
    const real* a = alignment + row * longest_key;
    const real* d = d_out + row * value_dim;
    const real* y = out + row * value_dim;
    real* de = memory;
    const real along = lane.sum(value_dim, [=](int64_t c) { return d[c] * y[c]; });
    for (int64_t j = 0; j < count; ++j) {
      const real* v = value + (begin + j) * value_dim;
      const real product = lane.sum(value_dim, [=](int64_t c) { return d[c] * v[c]; });
      lane.once([=] { de[j] = a[j] * (product - along); });
      if (!d_value) continue;
      const GradientWriter write = d_value;
      const int64_t to = (begin + j) * value_dim;
      const real share = a[j];
      lane.each(value_dim, [=](int64_t c) { write(to + c, share * d[c]); });
    }
    score_gradients(lane, row, begin, count, de, memory + longest_key);
  }

  // From the scores' gradients to the query's, the keys' and the weight's.
  DRAGOMAN_HOST_DEVICE void score_gradients(Lane lane, int64_t row, int64_t begin, int64_t count,
                                            const real* de, real* dq) const {
    const real* q = query + row * dim;
    const real* w = weight;
    real* dw = d_weight + row * dim;
    lane.each(dim, [=](int64_t c) { dq[c] = dw[c] = 0; });
    for (int64_t j = 0; j < count; ++j) {
      const real* k = key + (begin + j) * dim;
      const real factor = de[j];
      const GradientWriter write = d_key;
      const int64_t to = (begin + j) * dim;
      if (write) {
        lane.each(dim, [=](int64_t c) {
          const real t = tanh_of(q[c] + k[c]);
          const real inner = factor * w[c] * (1 - t * t);
          dw[c] += factor * t;
          dq[c] += inner;
          write(to + c, inner);
        });
      } else {
        lane.each(dim, [=](int64_t c) {
          const real t = tanh_of(q[c] + k[c]);
          dw[c] += factor * t;
          dq[c] += factor * w[c] * (1 - t * t);
        });
      }
    }
    if (!d_query) return;
    const GradientWriter write = d_query;
    lane.each(dim, [=, to = row * dim](int64_t c) { write(to + c, dq[c]); });
  }
};

}  // namespace

Variable additive_attention(Tape& tape, const Variable& query, const Variable& key,
                            const Variable& weight, const Variable& value,
                            const AttentionLayout& layout, Tensor* weights) {
  const int64_t n = query.rows(), dim = query.columns(), value_dim = value.columns();
  check_columns("additive_attention", "the keys", key, dim);
  check_columns("additive_attention", "the weight", weight, dim);
  check(key.rows() == value.rows(), "additive_attention: {} keys and {} values", key.rows(),
        value.rows());
  check(layout.groups() == n, "additive_attention: {} groups for {} queries", layout.groups(), n);
  check(layout.key_segments.defined() || n <= layout.segments(),
        "additive_attention: {} queries for {} segments of keys", n, layout.segments());
  const Device device = query.value().device();
  const auto ids = [](const Tensor& tensor) {
    return tensor.defined() ? tensor.data<int32_t>() : nullptr;
  };
  Tensor y = Tensor::empty({n, value_dim}, DType::kReal, device);
  Tensor alignment = Tensor::empty({n, layout.longest_key}, DType::kReal, device);
  const AdditiveKernel kernel{.query = query.data(),
                              .key = key.data(),
                              .weight = weight.data(),
                              .value = value.data(),
                              .key_offsets = ids(layout.key_offsets),
                              .key_segments = ids(layout.key_segments),
                              .key_rows = ids(layout.key_rows),
                              .dim = dim,
                              .value_dim = value_dim,
                              .longest_key = layout.longest_key,
                              .alignment = alignment.data()};
  const int64_t work = n * layout.longest_key * (4 * dim + value_dim);
  launch::tasks(device, n, 0, work, AdditiveForward{{kernel}, y.data()});
  if (weights) *weights = alignment;
  // The kernel holds addresses: what they belong to is kept with it.
  return tape.record(
      "additive_attention", y, {query, key, weight, value},
      [=, kept = layout, saved = alignment](Tensor& dy) {
        check(kernel.key_segments == nullptr && kernel.key_rows == nullptr,
              "additive_attention: no gradient goes through shared segments or lists of rows");
        const bool all_keys = n == layout.segments();
        const auto open = [all_keys](const Variable& x) {
          return all_keys ? x.gradient() : x.zeroed_gradient();
        };
        Tensor d_weights = Tensor::empty({n, dim}, DType::kReal, device);
        // The kernel writes a row's values before its keys; where they are one variable, the values
        // must be the first to open it.
        const GradientWriter d_value = open(value), d_key = open(key);
        const AdditiveBackward backward{{kernel}, y.data(), dy.data(),       query.gradient(),
                                        d_key,    d_value,  d_weights.data()};
        launch::tasks(device, n, backward.scratch(), 3 * work, backward);
        if (const GradientWriter dw = weight.gradient()) {
          const auto d = d_weights.data();
          launch::sum_rows(device, n, dim,
                           launch::ColumnSums{dw.data(), dw.accumulate(),
                                              [=] DRAGOMAN_HOST_DEVICE(int64_t row, int64_t c) {
                                                return d[row * dim + c];
                                              }});
        }
      });
}

}  // namespace dragoman
