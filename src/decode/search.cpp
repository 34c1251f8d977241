#include "decode/search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "data/vocabulary.h"
#include "decode/topk.h"

namespace dragoman {
namespace {

constexpr double kLeastCoverage = 1e-6;

// An unfinished hypothesis.
struct Live {
  std::vector<int32_t> ids;
  double log_probability = 0;
  std::vector<int32_t> rows;  // where it stood in the batch, step by step
};

// A way to go on.
struct Continuation {
  size_t parent;  // of the live hypotheses
  int32_t id;
  double log_probability;
};

// The search in one sentence.
struct Beam {
  size_t sentence = 0;
  int64_t source_pieces = 0;
  int64_t shortest = 0;  // pieces of a translation
  int64_t longest = 0;
  std::vector<Live> live;
  std::vector<Hypothesis> finished;
};

// Attention of one step: [rows, columns].
struct StepAttention {
  std::vector<real> weights;
  int64_t columns;
};

Beam first_beam(size_t sentence, int64_t source_pieces, const SearchOptions& options) {
  const DecodingConfig& decoding = options.decoding;
  const auto pieces = static_cast<double>(source_pieces);
  const double most = std::min({std::floor(decoding.max_length_ratio * pieces + 10),
                                static_cast<double>(decoding.max_length),
                                static_cast<double>(options.longest_target - 1)});
  // 1.1 * 10 is a little more than 11.
  const double least = std::ceil(decoding.min_length_ratio * pieces - 1e-9);
  return {.sentence = sentence,
          .source_pieces = source_pieces,
          .shortest = static_cast<int64_t>(std::min(least, most)),
          .longest = static_cast<int64_t>(most),
          .live = {Live{}},
          .finished = {}};
}

// Bans each id that would complete an n-gram for the second time.
void ban_repetitions(const std::vector<int32_t>& ids, int64_t n, int64_t row, Bans& bans) {
  const int64_t context = n - 1, size = std::ssize(ids);
  for (int64_t begin = 0; begin + context < size; ++begin) {
    if (std::equal(ids.end() - context, ids.end(), ids.begin() + begin))
      bans.add(row, ids[static_cast<size_t>(begin + context)]);
  }
}

class Search {
 public:
  Search(StepModel& model, std::span<const int32_t> source_pieces, const SearchOptions& options)
      : model_(model),
        options_(options),
        width_(static_cast<size_t>(options.decoding.beam_size)),
        results_(source_pieces.size()) {
    for (size_t s = 0; s < source_pieces.size(); ++s)
      beams_.push_back(first_beam(s, source_pieces[s], options));
  }

  std::vector<std::vector<Hypothesis>> run() {
    for (int64_t length = 0; !beams_.empty(); ++length) {
      const BestTokens best = step(length);
      std::vector<int32_t> rows;  // of the hypotheses that go on
      int32_t row = 0;
      for (Beam& beam : beams_) {
        const auto next_row = row + static_cast<int32_t>(beam.live.size());
        advance(beam, continuations(beam, best, row, length), row);
        if (is_done(beam)) {
          finish(beam);
        } else {
          for (const Live& live : beam.live) rows.push_back(live.rows.back());
        }
        row = next_row;
      }
      std::erase_if(beams_, [this](const Beam& beam) { return is_done(beam); });
      if (!beams_.empty() && !is_identity(rows, row)) model_.reorder(rows);
    }
    return std::move(results_);
  }

 private:
  bool wants_attention() const {
    return options_.alignments || options_.decoding.coverage_penalty > 0;
  }

  bool is_done(const Beam& beam) const {
    return beam.live.empty() || beam.finished.size() >= width_;
  }

  static bool is_identity(const std::vector<int32_t>& rows, int32_t rows_before) {
    if (std::ssize(rows) != rows_before) return false;
    for (int32_t i = 0; i < rows_before; ++i)
      if (rows[static_cast<size_t>(i)] != i) return false;
    return true;
  }

  // Asks the model what follows the hypotheses, which have `length` pieces each.
  BestTokens step(int64_t length) {
    std::vector<int32_t> last;
    Bans bans;
    for (const Beam& beam : beams_) {
      for (const Live& live : beam.live) {
        const int64_t row = std::ssize(last);
        last.push_back(live.ids.empty() ? Vocabulary::kBegin : live.ids.back());
        bans.add(row, Vocabulary::kBegin);
        if (length < beam.shortest) bans.add(row, Vocabulary::kEnd);
        if (options_.decoding.no_repeat_ngram > 0)
          ban_repetitions(live.ids, options_.decoding.no_repeat_ngram, row, bans);
      }
    }
    const Model::Step step = model_.step(last, wants_attention());
    if (wants_attention()) {
      check(step.attention.defined(), "a decoder without attention was asked for its attention");
      attention_.push_back({step.attention.to_host(), step.attention.columns()});
    }
    // One of them may be </s>.
    return best_tokens(step.logits, bans, static_cast<int64_t>(width_) + 1);
  }

  // All ways to go on that may be among the best, best first. The beam's first row is `row`.
  std::vector<Continuation> continuations(const Beam& beam, const BestTokens& best, int32_t row,
                                          int64_t length) const {
    std::vector<Continuation> all;
    for (size_t parent = 0; parent < beam.live.size(); ++parent) {
      const size_t here = static_cast<size_t>(row) + parent;
      const double before = beam.live[parent].log_probability;
      const size_t begin = here * static_cast<size_t>(best.count);
      if (length == beam.longest || best.ids[begin] < 0) {
        all.push_back({parent, Vocabulary::kEnd, before + best.end[here]});
        continue;
      }
      for (size_t i = begin; i < begin + static_cast<size_t>(best.count) && best.ids[i] >= 0; ++i)
        all.push_back({parent, best.ids[i], before + best.log_probabilities[i]});
    }
    std::ranges::stable_sort(all, std::greater{}, &Continuation::log_probability);
    return all;
  }

  // Lets the best continuations end or go on.
  void advance(Beam& beam, const std::vector<Continuation>& continuations, int32_t row) {
    const std::vector<Live> parents = std::move(beam.live);
    beam.live.clear();
    for (size_t rank = 0; rank < continuations.size() && beam.live.size() < width_; ++rank) {
      const Continuation& next = continuations[rank];
      if (next.id == Vocabulary::kEnd && rank >= width_) continue;
      Live live = parents[next.parent];
      live.log_probability = next.log_probability;
      live.rows.push_back(row + static_cast<int32_t>(next.parent));
      if (next.id == Vocabulary::kEnd) {
        beam.finished.push_back(finished(std::move(live), beam.source_pieces));
      } else {
        live.ids.push_back(next.id);
        beam.live.push_back(std::move(live));
      }
    }
  }

  Hypothesis finished(Live live, int64_t source_pieces) const {
    Hypothesis hypothesis{.ids = std::move(live.ids),
                          .log_probability = live.log_probability,
                          .score = 0,
                          .attention = {}};
    const auto length = static_cast<double>(hypothesis.ids.size() + 1);
    hypothesis.score =
        hypothesis.log_probability / std::pow(length, options_.decoding.length_penalty);
    if (!wants_attention()) return hypothesis;
    for (size_t t = 0; t < live.rows.size(); ++t) {
      const StepAttention& all = attention_[t];
      const auto begin = all.weights.begin() + live.rows[t] * all.columns;
      hypothesis.attention.emplace_back(begin, begin + source_pieces + 1);
    }
    hypothesis.score += options_.decoding.coverage_penalty * coverage(hypothesis, source_pieces);
    if (!options_.alignments) hypothesis.attention.clear();
    return hypothesis;
  }

  static double coverage(const Hypothesis& hypothesis, int64_t source_pieces) {
    double total = 0;
    for (size_t j = 0; j < static_cast<size_t>(source_pieces); ++j) {
      double attended = 0;
      for (const std::vector<real>& weights : hypothesis.attention) attended += weights[j];
      total += std::log(std::clamp(attended, kLeastCoverage, 1.0));
    }
    return total;
  }

  void finish(Beam& beam) {
    std::vector<Hypothesis>& result = results_[beam.sentence];
    result = std::move(beam.finished);
    std::ranges::stable_sort(result, std::greater{}, &Hypothesis::score);
    const auto n_best = static_cast<size_t>(options_.decoding.n_best);
    if (result.size() > n_best) result.resize(n_best);
    beam.live.clear();
  }

  StepModel& model_;
  const SearchOptions& options_;
  size_t width_;
  std::vector<Beam> beams_;
  std::vector<StepAttention> attention_;  // step by step, if wanted
  std::vector<std::vector<Hypothesis>> results_;
};

class ModelSteps : public StepModel {
 public:
  ModelSteps(const Model& model, const Sentences& source) : model_(model) {
    state_ = model_.start(tape_, model_.encode(tape_, model_.load(source)));
  }
  Model::Step step(const std::vector<int32_t>& last, bool want_attention) override {
    const Tensor ids = Tensor::from(last, {std::ssize(last)}, model_.device());
    return model_.step(tape_, *state_, ids, want_attention);
  }
  void reorder(const std::vector<int32_t>& rows) override { model_.reorder(*state_, rows); }

 private:
  const Model& model_;
  Tape tape_{/*recording=*/false};
  std::unique_ptr<DecoderState> state_;
};

}  // namespace

std::vector<std::vector<Hypothesis>> search(StepModel& model,
                                            std::span<const int32_t> source_pieces,
                                            const SearchOptions& options) {
  return Search(model, source_pieces, options).run();
}

std::vector<std::vector<Hypothesis>> search(const Model& model, const Sentences& source,
                                            const DecodingConfig& decoding, bool alignments) {
  ModelSteps steps(model, source);
  std::vector<int32_t> pieces;
  for (int32_t s = 0; s < source.size(); ++s) pieces.push_back(source.length(s) - 1);
  return search(
      steps, pieces,
      {.decoding = decoding, .longest_target = model.longest_target(), .alignments = alignments});
}

}  // namespace dragoman
