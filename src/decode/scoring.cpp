#include "decode/scoring.h"

#include <utility>

#include "core/check.h"
#include "data/batch.h"
#include "decode/halving.h"
#include "tensor/cpu/fair_threads.h"
#include "tensor/cpu/threads.h"

namespace dragoman {
namespace {

constexpr int64_t kBatchTokensOfCpu = 2048, kBatchTokensOfGpu = 16384;

std::vector<std::vector<int32_t>> encode(const Vocabulary& vocabulary,
                                         std::span<const std::string> lines, int64_t first_line,
                                         const char* side, int64_t longest) {
  auto sentences = vocabulary.encode(lines, thread_count());
  for (int64_t i = 0; i < std::ssize(sentences); ++i) {
    const size_t pieces = sentences[static_cast<size_t>(i)].size();
    check(std::cmp_less(pieces, longest),
          "line {}: the {} has {} pieces, but this model reads at most {}; leave this pair out",
          first_line + i, side, pieces, longest - 1);
  }
  return sentences;
}

std::vector<real> log_probabilities_of(const Model& model, const Batch& batch) {
  Tape tape(/*recording=*/false);
  return model.loss(tape, model.load(batch), /*label_smoothing=*/0).log_probabilities.to_host();
}

}  // namespace

std::vector<PairScore> score_pairs(const Model& model, const Vocabularies& vocabularies,
                                   std::span<const std::string> sources,
                                   std::span<const std::string> targets, int64_t first_line) {
  const auto source_ids =
      encode(vocabularies.source, sources, first_line, "source", model.longest_source());
  const auto target_ids =
      encode(vocabularies.target, targets, first_line, "target", model.longest_target());
  std::vector<PairScore> scores(sources.size());
  FairThreads threads;
  Halving halving;
  const int64_t batch_tokens = model.device().on_gpu() ? kBatchTokensOfGpu : kBatchTokensOfCpu;
  for (const Batch& batch : make_batches(source_ids, target_ids, batch_tokens)) {
    const std::vector<real> log_probabilities = halving(
        batch, [&](const Batch& part) { return log_probabilities_of(model, part); },
        "score on a device with more memory, such as the cpu");
    for (int32_t s = 0; s < batch.size(); ++s) {
      PairScore& score = scores[static_cast<size_t>(batch.indices[static_cast<size_t>(s)])];
      score.tokens = batch.target_output.length(s);
      const auto begin = log_probabilities.begin() + batch.target_output.offsets[s];
      for (auto log_probability = begin; log_probability < begin + score.tokens; ++log_probability)
        score.log_probability += *log_probability;
    }
    threads.after(batch.target_output.tokens());
  }
  return scores;
}

}  // namespace dragoman
