#include "decode/translator.h"

#include <algorithm>

#include "core/check.h"
#include "core/log.h"
#include "core/parallel.h"
#include "tensor/cpu/fair_threads.h"
#include "tensor/cpu/threads.h"

namespace dragoman {
namespace {

constexpr int64_t kLongestSource = 1024;    // pieces
constexpr size_t kTranslationsAtOnce = 32;  // joined to text by a thread: a third of a millisecond

// What is searched in at once: sentences, where the configuration leaves them open, of so many
// tokens at most. A step of few sentences takes a GPU as long as one of many: the host tells it
// what to do, kernel by kernel.
struct BatchSize {
  int64_t sentences;
  int64_t source_tokens;
};
constexpr BatchSize kBatchOfCpu{64, 8192}, kBatchOfGpu{512, 16384};

std::vector<std::string> pieces_of(const Vocabulary& vocabulary, std::span<const int32_t> ids) {
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(vocabulary.piece(id));
  return pieces;
}

}  // namespace

Translator::Translator(std::span<const Model* const> models, const Vocabularies& vocabularies,
                       const DecodingConfig& decoding, bool alignments)
    : models_(models.begin(), models.end()),
      vocabularies_(vocabularies),
      decoding_(decoding),
      alignments_(alignments),
      precision_(precision_of(decoding.precision, "decoding.precision", device())) {
  for (const Model* model : models_) {
    check(model->target_vocabulary() == vocabularies.target.size(),
          "a model that writes a vocabulary of {} pieces cannot translate with one of {}",
          model->target_vocabulary(), vocabularies.target.size());
  }
  const bool attends = std::ranges::any_of(models_, &Model::has_attention);
  check(attends || !alignments,
        "this model has no attention (model.decoder.attention: none), so it has no alignments to "
        "give: ask for the translations alone");
  check(attends || decoding.coverage_penalty == 0,
        "this model has no attention (model.decoder.attention: none), which the coverage penalty "
        "is computed from: set decoding.coverage_penalty to 0");
}

std::vector<Translation> Translator::translate(std::span<const std::string> lines) const {
  return *translate(lines, [](int64_t) { return false; });
}

std::optional<std::vector<Translation>> Translator::translate(std::span<const std::string> lines,
                                                              const BetweenBatches& between) const {
  int64_t most = kLongestSource;
  for (const Model* model : models_)
    most = std::min(most, model->longest_source() - 1);  // </s> is read too
  std::vector<std::vector<int32_t>> sources = vocabularies_.source.encode(lines, thread_count());
  std::vector<size_t> places;  // of the sources among the lines
  int64_t cropped = 0;
  for (size_t line = 0; line < lines.size(); ++line) {
    if (sources[line].empty()) continue;
    if (std::ssize(sources[line]) > most) {
      ++cropped;
      sources[line].resize(static_cast<size_t>(most));
    }
    if (places.size() < line) sources[places.size()] = std::move(sources[line]);
    places.push_back(line);
  }
  sources.resize(places.size());
  if (cropped > 0)
    log::warn("{} of {} lines had too many pieces for this model; they were cut off", cropped,
              lines.size());

  std::vector<Translation> translations(lines.size(), {.source = {}, .candidates = {Candidate{}}});
  FairThreads threads;
  auto done = static_cast<int64_t>(lines.size() - places.size());  // blank ones
  const BatchSize size = device().on_gpu() ? kBatchOfGpu : kBatchOfCpu;
  const int64_t sentences =
      decoding_.batch_sentences > 0 ? decoding_.batch_sentences : size.sentences;
  for (const SourceBatch& batch : make_source_batches(sources, sentences, size.source_tokens)) {
    if (between(done)) return std::nullopt;
    const auto results = search_in(batch);
    parallel_for(
        results.size(), thread_count(),
        [&](size_t i) {
          const size_t line = places[static_cast<size_t>(batch.indices[i])];
          translations[line] = translation(batch.source[static_cast<int32_t>(i)], results[i]);
        },
        kTranslationsAtOnce);
    threads.after(batch.source.tokens());
    done += batch.size();
  }
  return translations;
}

std::vector<std::vector<Hypothesis>> Translator::search_in(const SourceBatch& batch) const {
  return halving_(
      batch,
      [&](const SourceBatch& part) {
        Tape tape(prepared_);
        tape.set_products(precision_);
        return search(models_, tape, part.source, decoding_, alignments_);
      },
      "lower decoding.beam_size (--beam-size) or decoding.max_length (--max-length)");
}

Translation Translator::translation(std::span<const int32_t> source,
                                    const std::vector<Hypothesis>& hypotheses) const {
  Translation result{.source = pieces_of(vocabularies_.source, source), .candidates = {}};
  for (const Hypothesis& hypothesis : hypotheses) {
    result.candidates.push_back({.text = vocabularies_.target.decode(hypothesis.ids),
                                 .score = hypothesis.score,
                                 .log_probability = hypothesis.log_probability,
                                 .pieces = pieces_of(vocabularies_.target, hypothesis.ids),
                                 .attention = hypothesis.attention});
    result.candidates.back().pieces.push_back(vocabularies_.target.piece(Vocabulary::kEnd));
  }
  return result;
}

}  // namespace dragoman
