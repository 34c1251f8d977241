// Bahdanau's alignment model. tanh(query + key) is [keys of the sentence, a] for every query: it is
// computed where it is needed, and never stored. Since
//
//   tanh(q + k) = 1 - 2 r  and  tanh'(q + k) = 4 (r - r^2)  with  r = 1 / (1 + e^2q e^2k),
//
// a key and a query are raised once and a pair of them takes a product and a quotient. The 1 drops
// out: a sum that all scores of a query share leaves its softmax as it is, and the gradients of the
// scores of a query sum to zero.
//
// A step's backward makes the gradient of its queries, which the step before waits for; those of
// keys and values are made of all steps at once, a sentence at a time: adding to them at every step
// would read and write the most of all.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "core/math.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "ops/products.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// e^2x. Beyond the bound, which the sum of a query and a key is far from, it would not be finite.
constexpr real kBound = 43;
DRAGOMAN_HOST_DEVICE inline real raised(real x) {
  const real bounded = x > kBound ? kBound : (x < -kBound ? -kBound : x);
  return exp_of(2 * bounded);
}
// r of the comment above, from the raised query and key.
DRAGOMAN_HOST_DEVICE inline real share_of(real query, real key) { return 1 / (1 + query * key); }

template <class T>
struct RaiseEach {
  const real* from;
  T* to;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { to[i] = raised(from[i]); }
};

// Raised keys, and values, as T: bf16 where products are, since every step reads all of them.
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

template <class T, class Out>
struct AdditiveForward {
  AdditiveKernel<T> step;
  Out* out;

  int64_t scratch() const { return step.dim + step.value_dim; }  // the raised query, the context

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row, real* q) const {
    const int64_t begin = step.key_begin(row), count = step.keys(row);
    const int64_t dim = step.dim, value_dim = step.value_dim, longest = step.longest_key;
    const real *query = step.query + row * dim, *w = step.weight;
    real *a = step.alignment + row * longest, *context = q + dim;
    lane.each(dim, [=](int64_t c) { q[c] = raised(query[c]); });
    lane.sums(count, dim, a, [=, *this](int64_t j) {
      const T* k = step.key + step.key_row(begin + j) * dim;
      return [=](int64_t c) { return w[c] * share_of(q[c], k[c]); };
    });
    lane.each(count, [=](int64_t j) { a[j] *= -2; });
    const real row_max = lane.max(count, [=](int64_t j) { return a[j]; });
    lane.each(count, [=](int64_t j) { a[j] = exp_of(a[j] - row_max); });
    const real total = lane.sum(count, [=](int64_t j) { return a[j]; });
    lane.each(count, [=](int64_t j) { a[j] /= total; });
    lane.each(longest - count, [=](int64_t j) { a[count + j] = 0; });
    lane.each(value_dim, [=](int64_t c) { context[c] = 0; });
    lane.add_up(
        value_dim, count,
        [=, *this](int64_t j) {
          const T* v = step.value + step.key_row(begin + j) * value_dim;
          const real weight = a[j];
          return [=](int64_t c, real& sum) { sum += weight * v[c]; };
        },
        context);
    Out* to = out + row * value_dim;
    lane.each(value_dim, [=](int64_t c) { to[c] = context[c]; });
  }
};

// The gradients of a step's scores and queries, and what those of keys, values and weight are made
// from afterwards, each row put beside those of its sentence's other steps.
template <class T>
struct AdditiveBackward {
  AdditiveKernel<T> step;
  const real* d_out;
  GradientWriter d_query;
  const int32_t* places;                           // where the rows of each sentence begin
  int64_t number;                                  // of the step
  real *queries, *alignments, *d_scores, *d_outs;  // the queries raised

  int64_t scratch() const { return step.dim; }  // the query's gradient

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row, real* dq) const {
    const int64_t begin = step.key_begin(row), count = step.keys(row), place = places[row] + number;
    const int64_t dim = step.dim, value_dim = step.value_dim, longest = step.longest_key;
    const real *a = step.alignment + row * longest, *query = step.query + row * dim;
    const real* w = step.weight;
    const real* d = d_out + row * value_dim;
    real *q = queries + place * dim, *kept_d = d_outs + place * value_dim;
    real *kept_a = alignments + place * longest, *de = d_scores + place * longest;
    lane.sums(count, value_dim, de, [=, *this](int64_t j) {
      const T* v = step.value + (begin + j) * value_dim;
      return [=](int64_t c) { return d[c] * v[c]; };
    });
    const real delta = lane.sum(count, [=](int64_t j) { return a[j] * de[j]; });
    lane.each(count, [=](int64_t j) { de[j] = a[j] * (de[j] - delta); });
    lane.each(value_dim, [=](int64_t c) { kept_d[c] = d[c]; });
    lane.each(count, [=](int64_t j) { kept_a[j] = a[j]; });
    lane.each(dim, [=](int64_t c) {
      q[c] = raised(query[c]);
      dq[c] = 0;
    });
    lane.add_up(
        dim, count,
        [=, *this](int64_t j) {
          const T* k = step.key + (begin + j) * dim;
          const real factor = de[j];
          return [=](int64_t c, real& sum) {
            const real r = share_of(q[c], k[c]);
            sum += factor * (r - r * r);
          };
        },
        dq);
    if (!d_query) return;
    const GradientWriter write = d_query;
    lane.each(dim, [=, to = row * dim](int64_t c) { write(to + c, 4 * w[c] * dq[c]); });
  }
};

// What AdditiveBackward would write of a step that nothing depends on.
struct ClearStep {
  const int32_t* places;
  int64_t number, dim, value_dim, longest_key;
  real *queries, *alignments, *d_scores, *d_outs;

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const int64_t place = places[row] + number;
    lane.each(dim, [=, to = queries + place * dim](int64_t c) { to[c] = 0; });
    lane.each(value_dim, [=, to = d_outs + place * value_dim](int64_t c) { to[c] = 0; });
    lane.each(longest_key, [=, a = alignments + place * longest_key,
                            de = d_scores + place * longest_key](int64_t j) { a[j] = de[j] = 0; });
  }
};

// Numbers that a launch has among its arguments, where a graph of the steps keeps them: it has no
// copies from the host.
struct WriteNumbers {
  std::array<int32_t, 512> numbers;
  int32_t* to;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { to[i] = numbers[static_cast<size_t>(i)]; }
};

Tensor written_by_launches(std::span<const int32_t> numbers, Device device) {
  const Tensor tensor = Tensor::empty({std::ssize(numbers)}, DType::kInt32, device);
  WriteNumbers some{.numbers = {}, .to = tensor.data<int32_t>()};
  while (!numbers.empty()) {
    const auto part = numbers.first(std::min(numbers.size(), some.numbers.size()));
    std::ranges::copy(part, some.numbers.begin());
    launch::map(device, std::ssize(part), some);
    numbers = numbers.subspan(part.size());
    some.to += part.size();
  }
  return tensor;
}

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
      lane.add_up(
          dim, steps,
          [=, *this](int64_t step) {
            const real* q = queries + (begin + step) * dim;
            const real factor = d_scores[(begin + step) * longest_key + j];
            return [=](int64_t c, real& d_weight_sum, real& d_key_sum) {
              const real r = share_of(q[c], k[c]);
              d_weight_sum -= 2 * factor * r;
              d_key_sum += factor * (r - r * r);
            };
          },
          dw, dk);
      if (!d_key) continue;
      const GradientWriter write = d_key;
      lane.each(dim, [=, to = (first + j) * dim](int64_t c) { write(to + c, 4 * w[c] * dk[c]); });
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
      : source_(key.value()),
        key_(Tensor::empty(key.shape(), tape.products(), source_.device())),
        value_(operand(tape, value)),
        weight_(weight.value()),
        layout_(layout) {
    visit(key_, [&]<class T>(T* to) {
      launch::map(key_.device(), key_.size(), RaiseEach<T>{source_.data(), to});
    });
    const Tensor none = Tensor::zeros({1}, DType::kReal, key_.device());
    shared_ = tape.record(
        "additive_attention, keys and values", none, {key, weight, value},
        [this, key = key.gradient_only(), weight = weight.gradient_only(),
         value = value.gradient_only()](Tensor&) { make_gradients(key, weight, value); });
  }

  // Stands for keys, weight and values among the inputs of a step.
  const Variable& shared() const { return shared_; }

  // As the steps read them: the keys raised.
  const Tensor& key() const { return key_; }
  const Tensor& value() const { return value_; }

  // The number of the next step, which has that many queries.
  int64_t add(int64_t queries) {
    steps_.push_back({queries});
    return std::ssize(steps_) - 1;
  }

  template <class T>
  void go_back(int64_t number, const AdditiveKernel<T>& step, const Tensor& dy,
               const Variable& query) {
    if (!places_.defined()) allocate(dy.device());
    steps_[static_cast<size_t>(number)].written = true;
    const AdditiveBackward<T> backward{.step = step,
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
  struct Step {
    int64_t queries;  // those of the sentences from the first on
    bool written = false;
  };
  const int32_t* places() const { return places_.data<int32_t>(); }

  void allocate(Device device) {
    std::vector<int32_t> places(static_cast<size_t>(layout_.segments()) + 1);
    for (const Step& step : steps_) {
      for (int64_t s = 0; s < step.queries; ++s) ++places[static_cast<size_t>(s) + 1];
    }
    std::partial_sum(places.begin(), places.end(), places.begin());
    places_ = written_by_launches(places, device);
    const auto rows = [&](int64_t columns) {
      return Tensor::empty({places.back(), columns}, DType::kReal, device);
    };
    queries_ = rows(key_.columns());
    alignments_ = rows(layout_.longest_key);
    d_scores_ = rows(layout_.longest_key);
    d_outs_ = rows(value_.columns());
  }

  void make_gradients(const Variable& key, const Variable& weight, const Variable& value) {
    const Device device = key_.device();
    const int64_t sentences = layout_.segments(), dim = key_.columns();
    for (size_t number = 0; number < steps_.size(); ++number) {
      const auto& [queries, written] = steps_[number];
      if (written) continue;
      launch::rows(device, queries, dim + value_.columns(),
                   ClearStep{.places = places(),
                             .number = static_cast<int64_t>(number),
                             .dim = dim,
                             .value_dim = value_.columns(),
                             .longest_key = layout_.longest_key,
                             .queries = queries_.data(),
                             .alignments = alignments_.data(),
                             .d_scores = d_scores_.data(),
                             .d_outs = d_outs_.data()});
    }
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

  Tensor source_;  // what the keys were made from, whose address stands for them
  Tensor key_, value_, weight_;
  AttentionLayout layout_;
  Variable shared_;
  std::vector<Step> steps_;
  Tensor places_;  // int32 [sentences + 1]: where each sentence's rows begin in those below
  Tensor queries_, alignments_, d_scores_, d_outs_;
};

}  // namespace

Variable additive_attention(Tape& tape, const Variable& query, const Variable& key,
                            const Variable& weight, const Variable& value,
                            const AttentionLayout& layout, DType type, Tensor* weights) {
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
  Tensor y = Tensor::empty({n, value_dim}, type, device);
  Tensor alignment = Tensor::empty({n, layout.longest_key}, DType::kReal, device);
  const auto steps = tape.shared<AdditiveSteps>(
      {key.data(), weight.data(), value.data(), ids(layout.key_offsets)},
      [&] { return std::make_shared<AdditiveSteps>(tape, key, weight, value, layout); });
  const Tensor keys = steps->key(), values = steps->value();
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
    visit(y, [&]<class Out>(Out* out) {
      const AdditiveForward<T, Out> forward{kernel, out};
      launch::tasks(device, n, forward.scratch(), n * layout.longest_key * (4 * dim + value_dim),
                    forward);
    });
    result = tape.record(
        "additive_attention", y, {query, steps->shared()},
        // The kernel holds addresses: what they belong to is kept with it or by the steps.
        [=, number = steps->add(n), kept = alignment](Tensor& dy) {
          check(kernel.key_segments == nullptr && kernel.key_rows == nullptr,
                "additive_attention: no gradient goes through shared segments or lists of rows");
          steps->go_back(number, kernel, dy, query);
        });
  });
  if (weights) *weights = alignment;
  return result;
}

}  // namespace dragoman
