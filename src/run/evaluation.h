// How good a model is, on text.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/text.h"
#include "data/vocabulary.h"
#include "decode/translator.h"
#include "eval/bleu.h"
#include "models/model.h"
#include "run/state.h"

namespace dragoman {

/// Asked from time to time whether to give up.
using StopRequested = std::function<bool()>;

/// Translations, their score, and how long they took.
struct Evaluation {
  std::vector<std::string> hypotheses;
  BleuScore bleu;
  double seconds = 0;         ///< Translating, scoring not counted.
  int64_t target_tokens = 0;  ///< Pieces of the translations, `</s>` counted.
};

/// Translates `source` and scores the result by BLEU (tokenizer 13a, cased) against `references`,
/// [reference set][line]. Nothing when `stop` said so.
std::optional<Evaluation> evaluate(const Translator& translator,
                                   std::span<const std::string> source,
                                   std::span<const std::vector<std::string>> references,
                                   const StopRequested& stop = {});

/// What a validation gives.
struct Validation {
  Scores scores;
  std::vector<std::string> hypotheses;
};

/// Measures a model that is being trained on the validation corpus.
class Validator {
 public:
  /// Reads the corpus. Pairs with an empty side, and pairs that are too long for the model, have no
  /// part in loss and perplexity; they are counted and reported. Throws Error when none is left and
  /// when the model cannot do what config.decoding asks for. The model must outlive it.
  Validator(const Config& config, const Vocabularies& vocabularies, const Model& model);

  /// Loss, perplexity and BLEU after `step` steps, without dropout. Nothing when `stop` said so.
  std::optional<Validation> run(int64_t step, const StopRequested& stop) const;

  const ParallelText& text() const { return text_; }

 private:
  const Model& model_;
  Vocabularies vocabularies_;
  DecodingConfig decoding_;
  real label_smoothing_;
  ParallelText text_;
  std::vector<Batch> batches_;
};

}  // namespace dragoman
