// Sentences are advanced side by side, each by one lane: a beam is small, and who comes first is
// decided one after the other.
#include "decode/beam.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "data/vocabulary.h"
#include "decode/topk.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

enum State : int32_t { kGoesOn, kDone, kNotANumber };

constexpr double kDead = -std::numeric_limits<double>::infinity();

// How a hypothesis came to be: the row of each step before it, and its pieces.
struct Trace {
  const int32_t* parents;  // [steps, stride]
  const int32_t* tokens;
  int64_t stride;

  DRAGOMAN_HOST_DEVICE int64_t parent(int64_t step, int64_t row) const {
    return parents[step * stride + row];
  }
  DRAGOMAN_HOST_DEVICE int32_t token(int64_t step, int64_t row) const {
    return tokens[step * stride + row];
  }
};

// Bans of a row: `<s>`, `</s>` where the hypothesis is too short, and what followed the last n - 1
// pieces when they came up before.
struct Ban {
  const int32_t *sentences, *shortest;
  int64_t rows_each, step, no_repeat_ngram;
  Trace trace;
  int32_t* bans;  // [rows, width]
  int64_t width;

  DRAGOMAN_HOST_DEVICE void operator()(int64_t row) const {
    int32_t* const out = bans + row * width;
    out[0] = Vocabulary::kBegin;
    out[1] = step < shortest[sentences[row / rows_each]] ? Vocabulary::kEnd : -1;
    if (no_repeat_ngram == 0) return;
    int64_t here = row;
    for (int64_t t = step; t > 0; --t) {
      const int64_t before = trace.parent(t, here);
      const bool repeats = t >= no_repeat_ngram && same_context(t - 1, before, row);
      out[1 + t] = repeats ? trace.token(t, here) : -1;
      here = before;
    }
  }

  // Whether the n - 1 pieces up to step t, where the hypothesis was row `a`, are those up to now,
  // where it is row `b`.
  DRAGOMAN_HOST_DEVICE bool same_context(int64_t t, int64_t a, int64_t b) const {
    for (int64_t i = 0; i + 1 < no_repeat_ngram; ++i) {
      if (trace.token(t - i, a) != trace.token(step - i, b)) return false;
      a = trace.parent(t - i, a);
      b = trace.parent(step - i, b);
    }
    return true;
  }
};

struct Advance {
  int64_t step, width, rows_each;
  const int32_t *sentences, *longest;

  const double* before;  // of the rows of this step
  const int32_t* ids;    // what may follow: [rows, count]
  const real* log_probabilities;
  const real* end;
  int64_t count;
  int32_t* next;  // of each row: the first of what may follow that has not been chosen

  int32_t *parents, *tokens;  // of the rows of the next step
  double* after;

  int32_t *states, *ended;
  int32_t *ended_step, *ended_row;  // [sentences, 2 width]
  double* ended_log_probability;

  // A way to go on.
  struct Continuation {
    int32_t id;  // negative: there is none
    double log_probability;
  };

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t place) const {
    lane.once([&] { advance(place); });
  }

  DRAGOMAN_HOST_DEVICE void advance(int64_t place) const {
    const int64_t sentence = sentences[place], first = place * rows_each;
    if (has_nan(first)) states[sentence] = kNotANumber;
    int64_t live = 0;
    if (states[sentence] == kGoesOn) {
      live = choose(sentence, first, place * width);
      if (live == 0 || ended[sentence] >= width) states[sentence] = kDone;
    }
    for (int64_t row = place * width + live; row < (place + 1) * width; ++row)
      set(row, first, Vocabulary::kEnd, kDead);
  }

  // Lets the best end or go on; returns how many do go on, from the row `to` on.
  DRAGOMAN_HOST_DEVICE int64_t choose(int64_t sentence, int64_t first, int64_t to) const {
    for (int64_t row = first; row < first + rows_each; ++row) next[row] = 0;
    int64_t live = 0;
    for (int64_t rank = 0; live < width; ++rank) {
      int64_t parent = -1;
      Continuation best{-1, kDead};
      for (int64_t row = first; row < first + rows_each; ++row) {
        const Continuation other = continuation(sentence, row);
        if (other.id < 0 || (parent >= 0 && other.log_probability <= best.log_probability))
          continue;
        parent = row;
        best = other;
      }
      if (parent < 0) break;
      ++next[parent];
      if (best.id != Vocabulary::kEnd) {
        set(to + live++, parent, best.id, best.log_probability);
      } else if (rank < width) {
        finish(sentence, parent, best.log_probability);
      }
    }
    return live;
  }

  // The best that may follow a row and has not been chosen.
  DRAGOMAN_HOST_DEVICE Continuation continuation(int64_t sentence, int64_t row) const {
    const int64_t i = next[row];
    if (before[row] == kDead) return {-1, kDead};
    if (step == longest[sentence] || ids[row * count] < 0)
      return {i == 0 ? Vocabulary::kEnd : -1, before[row] + end[row]};
    if (i == count) return {-1, kDead};
    return {ids[row * count + i], before[row] + log_probabilities[row * count + i]};
  }

  DRAGOMAN_HOST_DEVICE void finish(int64_t sentence, int64_t row, double log_probability) const {
    const int64_t at = sentence * 2 * width + ended[sentence]++;
    ended_step[at] = static_cast<int32_t>(step);
    ended_row[at] = static_cast<int32_t>(row);
    ended_log_probability[at] = log_probability;
  }

  DRAGOMAN_HOST_DEVICE void set(int64_t row, int64_t parent, int32_t token,
                                double log_probability) const {
    parents[row] = static_cast<int32_t>(parent);
    tokens[row] = token;
    after[row] = log_probability;
  }

  DRAGOMAN_HOST_DEVICE bool has_nan(int64_t first) const {
    for (int64_t row = first; row < first + rows_each; ++row) {
      if (before[row] != kDead && end[row] != end[row]) return true;
    }
    return false;
  }
};

// A step's rows of what is kept of all steps.
Tensor of_step(const Tensor& trace, int64_t step, int64_t rows) {
  return trace.view(step * trace.columns(), {rows});
}

// Makes room for one more step. Doubling keeps the copies to one an element on average.
void reserve(Tensor& trace, int64_t step) {
  if (step < trace.rows()) return;
  const Tensor longer =
      Tensor::empty({2 * trace.rows(), trace.columns()}, trace.dtype(), trace.device());
  longer.slice_rows(0, trace.rows()).copy_from(trace);
  trace = longer;
}

}  // namespace

Beams::Beams(const BeamLimits& limits, Device device) : limits_(limits), device_(device) {
  constexpr int64_t kFirstSteps = 64;
  const auto n = static_cast<int64_t>(limits.longest.size());
  for (int32_t sentence = 0; sentence < n; ++sentence) going_on_.push_back(sentence);
  sentences_ = iota(n, device);
  parents_ = Tensor::empty({kFirstSteps, n * limits.width}, DType::kInt32, device);
  tokens_ = empty_like(parents_);
  of_step(tokens_, 0, n).copy_from(iota(n, device, Vocabulary::kBegin, 0));
  log_probabilities_ = Tensor::zeros({n}, dtype_of<double>(), device);
  shortest_ = Tensor::from(limits.shortest, {n}, device);
  longest_ = Tensor::from(limits.longest, {n}, device);
  states_ = iota(n, device, kGoesOn, 0);
  ended_ = iota(n, device, 0, 0);
  // Fewer than `width` before the last step, and at most `width` at it.
  ended_step_ = Tensor::empty({n, 2 * limits.width}, DType::kInt32, device);
  ended_row_ = empty_like(ended_step_);
  ended_log_probability_ = Tensor::empty({n, 2 * limits.width}, dtype_of<double>(), device);
}

Tensor Beams::last() const { return of_step(tokens_, step_, rows()); }

Tensor Beams::bans() const {
  const int64_t width = 2 + (limits_.no_repeat_ngram > 0 ? step_ : 0);
  Tensor bans = Tensor::empty({rows(), width}, DType::kInt32, device_);
  launch::map(device_, rows(),
              Ban{.sentences = sentences_.data<int32_t>(),
                  .shortest = shortest_.data<int32_t>(),
                  .rows_each = rows_each_,
                  .step = step_,
                  .no_repeat_ngram = limits_.no_repeat_ngram,
                  .trace = {parents_.data<int32_t>(), tokens_.data<int32_t>(), parents_.columns()},
                  .bans = bans.data<int32_t>(),
                  .width = width});
  return bans;
}

void Beams::advance(const Tensor& logits) {
  const BestTokens best = best_tokens(logits, bans(), limits_.width + 1);  // one may be </s>
  const auto places = static_cast<int64_t>(going_on_.size());
  const int64_t count = best.ids.columns(), rows_after = places * limits_.width;
  reserve(parents_, step_ + 1);
  reserve(tokens_, step_ + 1);
  const Tensor after = Tensor::empty({rows_after}, dtype_of<double>(), device_);
  const Tensor next = Tensor::empty({rows()}, DType::kInt32, device_);
  launch::rows(device_, places, rows_each_ * count,
               Advance{.step = step_,
                       .width = limits_.width,
                       .rows_each = rows_each_,
                       .sentences = sentences_.data<int32_t>(),
                       .longest = longest_.data<int32_t>(),
                       .before = log_probabilities_.data<double>(),
                       .ids = best.ids.data<int32_t>(),
                       .log_probabilities = best.log_probabilities.data(),
                       .end = best.end.data(),
                       .count = count,
                       .next = next.data<int32_t>(),
                       .parents = of_step(parents_, step_ + 1, rows_after).data<int32_t>(),
                       .tokens = of_step(tokens_, step_ + 1, rows_after).data<int32_t>(),
                       .after = after.data<double>(),
                       .states = states_.data<int32_t>(),
                       .ended = ended_.data<int32_t>(),
                       .ended_step = ended_step_.data<int32_t>(),
                       .ended_row = ended_row_.data<int32_t>(),
                       .ended_log_probability = ended_log_probability_.data<double>()});
  log_probabilities_ = after;
  rows_each_ = limits_.width;
  ++step_;
  moved_ = limits_.width > 1;
}

bool Beams::look() {
  const std::vector<int32_t> states = states_.to_host<int32_t>();
  check(std::find(states.begin(), states.end(), kNotANumber) == states.end(),
        "the model's probabilities are not numbers (NaN): its training must have diverged; choose "
        "an earlier checkpoint");
  std::vector<int32_t> kept, kept_rows;
  for (size_t place = 0; place < going_on_.size(); ++place) {
    const int32_t sentence = going_on_[place];
    if (states[static_cast<size_t>(sentence)] == kDone) continue;
    kept.push_back(sentence);
    for (int64_t i = 0; i < rows_each_; ++i)
      kept_rows.push_back(static_cast<int32_t>(static_cast<int64_t>(place) * rows_each_ + i));
  }
  if (kept.size() == going_on_.size() || kept.empty()) return !kept.empty();
  const auto n = static_cast<int64_t>(kept_rows.size());
  const Tensor places = Tensor::from(kept_rows, {n}, device_);
  for (const Tensor& trace : {parents_, tokens_})
    of_step(trace, step_, n).copy_from(take_rows(of_step(trace, step_, rows()), places));
  log_probabilities_ = take_rows(log_probabilities_, places);
  going_on_ = std::move(kept);
  sentences_ = Tensor::from(going_on_, {static_cast<int64_t>(going_on_.size())}, device_);
  moved_ = true;
  return true;
}

Tensor Beams::parents() const { return moved_ ? of_step(parents_, step_, rows()) : Tensor(); }

std::vector<std::vector<Ended>> Beams::ended() const {
  const auto parents = parents_.slice_rows(0, step_ + 1).to_host<int32_t>();
  const auto tokens = tokens_.slice_rows(0, step_ + 1).to_host<int32_t>();
  const Trace trace{parents.data(), tokens.data(), parents_.columns()};
  const auto counts = ended_.to_host<int32_t>();
  const auto steps = ended_step_.to_host<int32_t>();
  const auto rows = ended_row_.to_host<int32_t>();
  const auto log_probabilities = ended_log_probability_.to_host<double>();
  std::vector<std::vector<Ended>> all(counts.size());
  for (size_t sentence = 0; sentence < counts.size(); ++sentence) {
    for (int64_t i = 0; i < counts[sentence]; ++i) {
      const size_t at =
          sentence * static_cast<size_t>(ended_row_.columns()) + static_cast<size_t>(i);
      const auto length = static_cast<size_t>(steps[at]);
      Ended ended{std::vector<int32_t>(length), std::vector<int32_t>(length + 1),
                  log_probabilities[at]};
      int32_t row = rows[at];
      for (size_t t = length; t > 0; --t) {
        ended.rows[t] = row;
        ended.ids[t - 1] = trace.token(static_cast<int64_t>(t), row);
        row = static_cast<int32_t>(trace.parent(static_cast<int64_t>(t), row));
      }
      ended.rows[0] = row;
      all[sentence].push_back(std::move(ended));
    }
  }
  return all;
}

}  // namespace dragoman
