// Bahdanau's alignment model. tanh(query + key) is [keys of the sentence, a] for every query: it is
// computed where it is needed, and never stored. A step's backward makes the gradient of its
// queries, which the step before waits for; those of keys and values are made of all steps at once,
// a sentence at a time: adding to them at every step would read and write the most of all.
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "ops/products.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// Keys and values as T: bf16 where products are, since every step reads all of them.
template <class T>
struct AdditiveKernel {
  const real *query, *weight;
  const T *key, *value;
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

template <class T>
struct AdditiveForward {
  AdditiveKernel<T> step;
  real* out;
  T* low;  // the same as products read it; null where that is `out`

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row, real*) const {
    const int64_t begin = step.key_begin(row), count = step.keys(row);
    const int64_t dim = step.dim, value_dim = step.value_dim, longest = step.longest_key;
    const real *q = step.query + row * dim, *w = step.weight;
    real *a = step.alignment + row * longest, *to = out + row * value_dim;
    for (int64_t j = 0; j < count; ++j) {
      const T* k = step.key + step.key_row(begin + j) * dim;
      const real score = lane.sum(dim, [=](int64_t c) { return w[c] * tanh_of(q[c] + k[c]); });
      lane.once([=] { a[j] = score; });
    }
    const real most = lane.max(count, [=](int64_t j) { return a[j]; });
    lane.each(count, [=](int64_t j) { a[j] = exp_of(a[j] - most); });
    const real total = lane.sum(count, [=](int64_t j) { return a[j]; });
    lane.each(count, [=](int64_t j) { a[j] /= total; });
    lane.each(longest - count, [=](int64_t j) { a[count + j] = 0; });
    lane.each(value_dim, [=](int64_t c) { to[c] = 0; });
    for (int64_t j = 0; j < count; ++j) {
      const T* v = step.value + step.key_row(begin + j) * value_dim;
      const real share = a[j];
      lane.each(value_dim, [=](int64_t c) { to[c] += share * v[c]; });
    }
    if (low == nullptr) return;
    T* to_low = low + row * value_dim;
    lane.each(value_dim, [=](int64_t c) { to_low[c] = to[c]; });
  }
};

// The gradients of a step's scores and queries, and what those of keys, values and weight are made
// from afterwards, each row put beside those of its sentence's other steps.
template <class T>
struct AdditiveBackward {
  AdditiveKernel<T> step;
  const real *out, *d_out;
  GradientWriter d_query;
  const int32_t* places;  // where the rows of each sentence begin
  int64_t number;         // of the step
  real *queries, *alignments, *d_scores, *d_outs;

  int64_t scratch() const { return step.dim; }  // the query's gradient

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row, real* dq) const {
    const int64_t begin = step.key_begin(row), count = step.keys(row), place = places[row] + number;
    const int64_t dim = step.dim, value_dim = step.value_dim, longest = step.longest_key;
    const real *a = step.alignment + row * longest, *q = step.query + row * dim, *w = step.weight;
    const real *d = d_out + row * value_dim, *y = out + row * value_dim;
    real *kept_q = queries + place * dim, *kept_d = d_outs + place * value_dim;
    real *kept_a = alignments + place * longest, *de = d_scores + place * longest;
    const real along = lane.sum(value_dim, [=](int64_t c) { return d[c] * y[c]; });
    lane.each(value_dim, [=](int64_t c) { kept_d[c] = d[c]; });
    lane.each(count, [=](int64_t j) { kept_a[j] = a[j]; });
    lane.each(dim, [=](int64_t c) {
      kept_q[c] = q[c];
      dq[c] = 0;
    });
    for (int64_t j = 0; j < count; ++j) {
      const T *k = step.key + (begin + j) * dim, *v = step.value + (begin + j) * value_dim;
      const real product = lane.sum(value_dim, [=](int64_t c) { return d[c] * v[c]; });
      const real factor = a[j] * (product - along);
      lane.once([=] { de[j] = factor; });
      lane.each(dim, [=](int64_t c) {
        const real t = tanh_of(q[c] + k[c]);
        dq[c] += factor * (1 - t * t);
      });
    }
    if (!d_query) return;
    const GradientWriter write = d_query;
    lane.each(dim, [=, to = row * dim](int64_t c) { write(to + c, w[c] * dq[c]); });
  }
};

// The gradients of a sentence's keys and values, and its part of the weight's, from all its steps.
template <class T>
struct AdditiveSentence {
  const T* key;
  const real* weight;
  const int32_t *key_offsets, *places;
  const real *queries, *alignments, *d_scores, *d_outs;
  int64_t dim, value_dim, longest_key;
  GradientWriter d_key, d_value;
  real* d_weight;  // [sentences, dim]

  int64_t scratch() const { return dim; }  // a key's gradient

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t sentence, real* dk) const {
    const int64_t begin = places[sentence], steps = places[sentence + 1] - begin;
    const int64_t first = key_offsets[sentence], keys = key_offsets[sentence + 1] - first;
    if (d_value) {  // before the keys, which may be the same variable
      lane.product(keys, value_dim, steps, {alignments + begin * longest_key, 1, longest_key},
                   d_outs + begin * value_dim, value_dim, d_value.data() + first * value_dim,
                   value_dim, d_value.accumulate());
    }
    const real* w = weight;
    real* dw = d_weight + sentence * dim;
    lane.each(dim, [=](int64_t c) { dw[c] = 0; });
    for (int64_t j = 0; j < keys; ++j) {
      const T* k = key + (first + j) * dim;
      lane.each(dim, [=](int64_t c) { dk[c] = 0; });
      for (int64_t step = begin; step < begin + steps; ++step) {
        const real* q = queries + step * dim;
        const real factor = d_scores[step * longest_key + j];
        lane.each(dim, [=](int64_t c) {
          const real t = tanh_of(q[c] + k[c]);
          dw[c] += factor * t;
          dk[c] += factor * (1 - t * t);
        });
      }
      if (!d_key) continue;
      const GradientWriter write = d_key;
      lane.each(dim, [=, to = (first + j) * dim](int64_t c) { write(to + c, w[c] * dk[c]); });
    }
  }
};

// The steps of one tape that attend to the same keys and values.
class AdditiveSteps {
 public:
  // Records the gradients of what the steps share: before those of all steps, so that they are made
  // after them.
  AdditiveSteps(Tape& tape, const Variable& key, const Variable& weight, const Variable& value,
                const AttentionLayout& layout)
      : key_(operand(tape, key)),
        value_(operand(tape, value)),
        weight_(weight.value()),
        layout_(layout) {
    const Tensor none = Tensor::zeros({1}, DType::kReal, key_.device());
    shared_ = tape.record(
        "additive_attention, keys and values", none, {key, weight, value},
        [this, key = key.gradient_only(), weight = weight.gradient_only(),
         value = value.gradient_only()](Tensor&) { make_gradients(key, weight, value); });
  }

  // Stands for keys, weight and values among the inputs of a step.
  const Variable& shared() const { return shared_; }

  // As the steps read them.
  const Tensor& key() const { return key_; }
  const Tensor& value() const { return value_; }

  // The number of the next step, which has that many queries.
  int64_t add(int64_t queries) {
    queries_of_steps_.push_back(queries);
    return std::ssize(queries_of_steps_) - 1;
  }

  template <class T>
  void go_back(int64_t number, const AdditiveKernel<T>& step, const Tensor& out, const Tensor& dy,
               const Variable& query) {
    if (!places_.defined()) allocate(dy.device());
    const AdditiveBackward<T> backward{.step = step,
                                       .out = out.data(),
                                       .d_out = dy.data(),
                                       .d_query = query.gradient(),
                                       .places = places(),
                                       .number = number,
                                       .queries = queries_.data(),
                                       .alignments = alignments_.data(),
                                       .d_scores = d_scores_.data(),
                                       .d_outs = d_outs_.data()};
    launch::tasks(dy.device(), dy.rows(), backward.scratch(),
                  dy.rows() * layout_.longest_key * (4 * step.dim + step.value_dim), backward);
    shared_.zeroed_gradient();
  }

 private:
  const int32_t* places() const { return places_.data<int32_t>(); }

  void allocate(Device device) {
    std::vector<int32_t> places(static_cast<size_t>(layout_.segments()) + 1);
    for (const int64_t queries : queries_of_steps_) {
      for (int64_t s = 0; s < queries; ++s) ++places[static_cast<size_t>(s) + 1];
    }
    std::partial_sum(places.begin(), places.end(), places.begin());
    places_ = Tensor::from(places, {std::ssize(places)}, device);
    // Zero where nothing depends on a step.
    const auto zeros = [&](int64_t columns) {
      return Tensor::zeros({places.back(), columns}, DType::kReal, device);
    };
    queries_ = zeros(key_.columns());
    alignments_ = zeros(layout_.longest_key);
    d_scores_ = zeros(layout_.longest_key);
    d_outs_ = zeros(value_.columns());
  }

  void make_gradients(const Variable& key, const Variable& weight, const Variable& value) {
    const Device device = key_.device();
    const int64_t sentences = layout_.segments(), dim = key_.columns();
    const Tensor d_weights = Tensor::empty({sentences, dim}, DType::kReal, device);
    const GradientWriter d_value = value.gradient(), d_key = key.gradient();
    visit(key_, [&]<class T>(const T* keys) {
      const AdditiveSentence<T> gradients{.key = keys,
                                          .weight = weight_.data(),
                                          .key_offsets = layout_.key_offsets.data<int32_t>(),
                                          .places = places(),
                                          .queries = queries_.data(),
                                          .alignments = alignments_.data(),
                                          .d_scores = d_scores_.data(),
                                          .d_outs = d_outs_.data(),
                                          .dim = dim,
                                          .value_dim = value_.columns(),
                                          .longest_key = layout_.longest_key,
                                          .d_key = d_key,
                                          .d_value = d_value,
                                          .d_weight = d_weights.data()};
      launch::tasks(device, sentences, gradients.scratch(),
                    queries_.rows() * layout_.longest_key * (4 * dim + value_.columns()),
                    gradients);
    });
    convert_and_sum(d_weights, DType::kReal, weight);
  }

  Tensor key_, value_, weight_;
  AttentionLayout layout_;
  Variable shared_;
  std::vector<int64_t> queries_of_steps_;  // those of the sentences from the first on
  Tensor places_;  // int32 [sentences + 1]: where each sentence's rows begin in those below
  Tensor queries_, alignments_, d_scores_, d_outs_;
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
  const auto steps =
      tape.recording()
          ? tape.shared<AdditiveSteps>(
                {key.data(), weight.data(), value.data(), ids(layout.key_offsets)},
                [&] { return std::make_shared<AdditiveSteps>(tape, key, weight, value, layout); })
          : nullptr;
  const Tensor keys = steps ? steps->key() : key.value(),
               values = steps ? steps->value() : value.value();
  const Tensor low =
      keys.dtype() == DType::kBf16 ? Tensor::empty({n, value_dim}, DType::kBf16, device) : Tensor();
  Variable result;
  visit(keys, [&]<class T>(const T* keys_data) {
    const AdditiveKernel<T> kernel{.query = query.data(),
                                   .weight = weight.data(),
                                   .key = keys_data,
                                   .value = values.data<T>(),
                                   .key_offsets = ids(layout.key_offsets),
                                   .key_segments = ids(layout.key_segments),
                                   .key_rows = ids(layout.key_rows),
                                   .dim = dim,
                                   .value_dim = value_dim,
                                   .longest_key = layout.longest_key,
                                   .alignment = alignment.data()};
    launch::tasks(device, n, 0, n * layout.longest_key * (4 * dim + value_dim),
                  AdditiveForward<T>{kernel, y.data(), low.defined() ? low.data<T>() : nullptr});
    if (!steps) {
      result = Variable(y);
      return;
    }
    result = tape.record(
        "additive_attention", y, {query, steps->shared()},
        // The kernel holds addresses: what they belong to is kept with it or by the steps.
        [=, number = steps->add(n), kept = alignment](Tensor& dy) {
          check(kernel.key_segments == nullptr && kernel.key_rows == nullptr,
                "additive_attention: no gradient goes through shared segments or lists of rows");
          steps->go_back(number, kernel, y, dy, query);
        });
  });
  if (weights) *weights = alignment;
  return low.defined() ? result.with_low(low) : result;
}

}  // namespace dragoman
