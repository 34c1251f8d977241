#include "run/evaluation.h"

#include <chrono>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "core/log.h"
#include "core/progress.h"
#include "decode/halving.h"

namespace dragoman {

std::optional<Evaluation> evaluate(const Translator& translator,
                                   std::span<const std::string> source,
                                   std::span<const std::vector<std::string>> references,
                                   const StopRequested& stop) {
  Evaluation evaluation;
  const auto begin_time = std::chrono::steady_clock::now();
  LineProgress progress("translated", std::ssize(source));
  const auto translations = translator.translate(source, [&](int64_t lines) {
    progress.update(lines);
    return stop && stop();
  });
  progress.finish();
  if (!translations) return std::nullopt;
  for (const Translation& translation : *translations) {
    evaluation.hypotheses.push_back(translation.text());
    evaluation.target_tokens += std::ssize(translation.candidates.front().pieces);
  }
  const std::chrono::duration<double> duration = std::chrono::steady_clock::now() - begin_time;
  evaluation.seconds = duration.count();
  evaluation.bleu = corpus_bleu(evaluation.hypotheses, references);
  return evaluation;
}

Validator::Validator(const Config& config, const Vocabularies& vocabularies, const Model& model)
    : model_(model),
      vocabularies_(vocabularies),
      decoding_(config.decoding),
      label_smoothing_(static_cast<real>(config.training.label_smoothing)),
      text_(read_parallel(find_corpus(config.data.directory, config.data.validation,
                                      config.data.source, config.data.target))) {
  (void)Translator(model, vocabularies, decoding_);  // throws now, and not after an hour
  std::vector<std::vector<int32_t>> sources, targets;
  for (size_t line = 0; line < text_.source.size(); ++line) {
    std::vector<int32_t> source = vocabularies.source.encode(text_.source[line]);
    std::vector<int32_t> target = vocabularies.target.encode(text_.target[line]);
    const bool fits = std::ssize(source) < model.longest_source() &&  // less by one for </s>
                      std::ssize(target) < model.longest_target();
    if (source.empty() || target.empty() || !fits) continue;
    sources.push_back(std::move(source));
    targets.push_back(std::move(target));
  }
  const size_t left_out = text_.source.size() - sources.size();
  check(!sources.empty(),
        "no pair of the validation corpus '{}' is left: each has an empty side or "
        "is too long for the model",
        config.data.validation);
  if (left_out > 0) {
    log::warn(
        "{} of {} validation pairs are left out of loss and perplexity: one side is empty or "
        "too long for the model",
        left_out, text_.source.size());
  }
  batches_ = make_batches(sources, targets, config.training.batch_tokens);
}

std::optional<Validation> Validator::run(int64_t step, const StopRequested& stop) const {
  double loss = 0, log_probability = 0;
  int64_t tokens = 0;
  Halving halving;  // training has much of the memory
  const auto measure = [&](const Batch& batch) {
    Tape tape(/*recording=*/false);
    const CrossEntropy result = model_.loss(tape, model_.load(batch), label_smoothing_);
    std::vector<real> log_probabilities = result.log_probabilities.to_host();
    loss += result.loss.value().to_host()[0];
    return log_probabilities;
  };
  for (const Batch& batch : batches_) {
    if (stop()) return std::nullopt;
    const std::vector<real> log_probabilities =
        halving(batch, measure, "lower training.batch_tokens, which leaves validation more memory");
    log_probability =
        std::accumulate(log_probabilities.begin(), log_probabilities.end(), log_probability);
    tokens += batch.target_output.tokens();
  }
  const std::vector<std::vector<std::string>> references = {text_.target};
  const Translator translator(model_, vocabularies_, decoding_);  // of the weights as they are now
  auto evaluation = evaluate(translator, text_.source, references, stop);
  if (!evaluation) return std::nullopt;
  const auto n = static_cast<double>(tokens);
  return Validation{.scores = {.step = step,
                               .loss = loss / n,
                               .perplexity = std::exp(-log_probability / n),
                               .bleu = evaluation->bleu.value},
                    .hypotheses = std::move(evaluation->hypotheses)};
}

}  // namespace dragoman
