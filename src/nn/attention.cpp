#include "nn/attention.h"

#include <algorithm>
#include <cmath>

namespace dragoman {
namespace {

real attention_scale(int64_t dim, int64_t heads) {
  return static_cast<real>(1 / std::sqrt(static_cast<double>(dim / heads)));
}

// Keys and values side by side, a row a token, in the order in which they were added.
class KeyValueCache : public MixerState {
 public:
  // Adds one row for each hypothesis: the columns from `begin` on of [hypotheses, ...].
  void append(const Tensor& from, int64_t begin) {
    const int64_t added = from.rows(), columns = from.columns() - begin;
    if (!storage_.defined() || used_ + added > storage_.rows()) {
      // Doubling keeps the copies to one an element on average.
      const int64_t capacity = std::max(2 * used_, 16 * added);
      Tensor larger = Tensor::empty({capacity, columns}, from.dtype(), from.device());
      if (used_ > 0) larger.slice_rows(0, used_).copy_from(rows());
      storage_ = larger;
    }
    copy_columns(from, begin, storage_.slice_rows(used_, used_ + added), 0, columns);
    used_ += added;
  }

  Tensor rows() const { return storage_.slice_rows(0, used_); }

  void reorder(const Tensor& /*rows*/) override {}

 private:
  Tensor storage_;
  int64_t used_ = 0;
};

}  // namespace

SelfAttention::SelfAttention(const Scope& scope, const BlockOptions& options, bool causal)
    : query_key_value_(scope / "query_key_value", options.dim, 3 * options.dim),
      output_(scope / "output", options.dim, options.dim),
      dim_(options.dim),
      heads_(options.heads),
      dropout_(options.attention_dropout),
      causal_(causal) {}

AttentionOptions SelfAttention::options(const Tape& tape) const {
  return {.heads = heads_,
          .scale = attention_scale(dim_, heads_),
          .dropout = dropout_,
          .type = tape.products()};
}

Variable SelfAttention::operator()(Tape& tape, const Variable& x, const Packing& packing,
                                   Tensor* weights) const {
  const Variable all = query_key_value_(tape, x, tape.products());
  AttentionOptions chosen = options(tape);
  chosen.sight.causal = causal_;
  chosen.weights = weights;
  const Variable mixed = attention(tape, {all, 0, dim_}, {all, dim_, dim_}, {all, 2 * dim_, dim_},
                                   self_layout(packing), chosen);
  return output_(tape, mixed, tape.products());
}

std::unique_ptr<MixerState> SelfAttention::start(int64_t /*hypotheses*/, Device /*device*/) const {
  return std::make_unique<KeyValueCache>();
}

Variable SelfAttention::step(Tape& tape, const Variable& x, const Place& place,
                             MixerState& state) const {
  const Variable all = query_key_value_(tape, x, tape.products());
  auto& cache = static_cast<KeyValueCache&>(state);
  cache.append(all.value(), dim_);
  const Variable rows(cache.rows());
  const Variable mixed = attention(tape, {all, 0, dim_}, {rows, 0, dim_}, {rows, dim_, dim_},
                                   place.history, options(tape));
  return output_(tape, mixed, tape.products());
}

CrossAttention::CrossAttention(const Scope& scope, const BlockOptions& options)
    : query_(scope / "query", options.dim, options.dim),
      output_(scope / "output", options.dim, options.dim),
      dim_(options.dim),
      heads_(options.heads),
      dropout_(options.attention_dropout) {}

Variable CrossAttention::operator()(Tape& tape, const Variable& x, const Variable& key_values,
                                    int64_t begin, const AttentionLayout& layout,
                                    Tensor* weights) const {
  const AttentionOptions options{.heads = heads_,
                                 .scale = attention_scale(dim_, heads_),
                                 .dropout = dropout_,
                                 .type = tape.products(),
                                 .weights = weights};
  const Variable query = query_(tape, x, key_values.value().dtype());
  const Variable read = attention(tape, query, {key_values, begin, dim_},
                                  {key_values, begin + dim_, dim_}, layout, options);
  return output_(tape, read, tape.products());
}

}  // namespace dragoman
