#include "decode/search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "core/check.h"
#include "decode/beam.h"

namespace dragoman {
namespace {

constexpr double kLeastCoverage = 1e-6;

// A look waits for a GPU, which has nothing to do until the host has given it more.
constexpr int64_t kStepsBetweenLooks = 8;

// Attention of one step: [rows, columns].
struct StepAttention {
  std::vector<real> weights;
  int64_t columns;
};

BeamLimits limits_of(std::span<const int32_t> source_pieces, const SearchOptions& options) {
  const DecodingConfig& decoding = options.decoding;
  BeamLimits limits{.width = decoding.beam_size,
                    .shortest = {},
                    .longest = {},
                    .no_repeat_ngram = decoding.no_repeat_ngram};
  for (const double pieces : source_pieces) {
    const double most = std::min({std::floor(decoding.max_length_ratio * pieces + 10),
                                  static_cast<double>(decoding.max_length),
                                  static_cast<double>(options.longest_target - 1)});
    // 1.1 * 10 is a little more than 11.
    const double least = std::ceil(decoding.min_length_ratio * pieces - 1e-9);
    limits.shortest.push_back(static_cast<int32_t>(std::min(least, most)));
    limits.longest.push_back(static_cast<int32_t>(most));
  }
  return limits;
}

// The sum over the source's pieces in the score.
double coverage(const std::vector<std::vector<real>>& attention, int64_t source_pieces) {
  double total = 0;
  for (size_t j = 0; j < static_cast<size_t>(source_pieces); ++j) {
    double attended = 0;
    for (const std::vector<real>& weights : attention) attended += weights[j];
    total += std::log(std::clamp(attended, kLeastCoverage, 1.0));
  }
  return total;
}

class Search {
 public:
  Search(StepModel& model, std::span<const int32_t> source_pieces, const SearchOptions& options)
      : model_(model), source_pieces_(source_pieces), options_(options) {}

  std::vector<std::vector<Hypothesis>> run() {
    if (source_pieces_.empty()) return {};
    const BeamLimits limits = limits_of(source_pieces_, options_);
    Beams beams(limits, model_.device());
    const std::vector<std::vector<Ended>> all = find(beams, std::ranges::max(limits.longest));
    std::vector<std::vector<Hypothesis>> results(all.size());
    for (size_t sentence = 0; sentence < all.size(); ++sentence) {
      for (const Ended& ended : all[sentence])
        results[sentence].push_back(scored(ended, source_pieces_[sentence]));
      keep_best(results[sentence]);
    }
    return results;
  }

 private:
  bool wants_attention() const {
    return options_.alignments || options_.decoding.coverage_penalty > 0;
  }

  // All that end, sentence by sentence, with `longest` pieces at most. Between two looks nothing
  // waits for the device.
  std::vector<std::vector<Ended>> find(Hypotheses& hypotheses, int64_t longest) {
    const int64_t interval = model_.device().on_gpu() ? kStepsBetweenLooks : 1;
    std::vector<Tensor> attention;  // of each step, if wanted
    for (;;) {
      const Model::Step step = model_.step(hypotheses.last(), wants_attention());
      if (wants_attention()) {
        check(step.attention.defined(), "a decoder without attention was asked for its attention");
        attention.push_back(step.attention);
      }
      hypotheses.advance(step.logits);
      const bool looks = hypotheses.step() % interval == 0 || hypotheses.step() > longest;
      if (looks && !hypotheses.look()) break;
      if (const Tensor parents = hypotheses.parents(); parents.defined()) model_.reorder(parents);
    }
    for (const Tensor& weights : attention)
      attention_.push_back({weights.to_host(), weights.columns()});
    return hypotheses.ended();
  }

  Hypothesis scored(const Ended& ended, int64_t source_pieces) const {
    const DecodingConfig& decoding = options_.decoding;
    Hypothesis hypothesis{
        .ids = ended.ids, .log_probability = ended.log_probability, .score = 0, .attention = {}};
    const auto length = static_cast<double>(ended.rows.size());
    hypothesis.score = ended.log_probability / std::pow(length, decoding.length_penalty);
    if (!wants_attention()) return hypothesis;
    for (size_t t = 0; t < ended.rows.size(); ++t) {
      const StepAttention& all = attention_[t];
      const auto begin = all.weights.begin() + ended.rows[t] * all.columns;
      hypothesis.attention.emplace_back(begin, begin + source_pieces + 1);
    }
    hypothesis.score += decoding.coverage_penalty * coverage(hypothesis.attention, source_pieces);
    if (!options_.alignments) hypothesis.attention.clear();
    return hypothesis;
  }

  void keep_best(std::vector<Hypothesis>& hypotheses) const {
    std::ranges::stable_sort(hypotheses, std::greater{}, &Hypothesis::score);
    const auto n_best = static_cast<size_t>(options_.decoding.n_best);
    if (hypotheses.size() > n_best) hypotheses.resize(n_best);
  }

  StepModel& model_;
  std::span<const int32_t> source_pieces_;
  const SearchOptions& options_;
  std::vector<StepAttention> attention_;  // step by step, if wanted
};

}  // namespace

std::vector<std::vector<Hypothesis>> search(StepModel& model,
                                            std::span<const int32_t> source_pieces,
                                            const SearchOptions& options) {
  return Search(model, source_pieces, options).run();
}

std::vector<std::vector<Hypothesis>> search(std::span<const Model* const> models, Tape& tape,
                                            const Sentences& source, const DecodingConfig& decoding,
                                            bool alignments) {
  const std::unique_ptr<StepModel> steps = make_steps(models, tape, source);
  std::vector<int32_t> pieces;
  for (int32_t s = 0; s < source.size(); ++s) pieces.push_back(source.length(s) - 1);
  SearchOptions options{.decoding = decoding,
                        .longest_target = models.front()->longest_target(),
                        .alignments = alignments};
  for (const Model* model : models)
    options.longest_target = std::min(options.longest_target, model->longest_target());
  return search(*steps, pieces, options);
}

}  // namespace dragoman
