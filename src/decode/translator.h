// From lines of text to lines of text.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "autograd/precision.h"
#include "config/config.h"
#include "data/batch.h"
#include "data/vocabulary.h"
#include "decode/halving.h"
#include "decode/search.h"
#include "models/model.h"

namespace dragoman {

/// Told before each batch how many lines are translated; returns whether to give up.
using BetweenBatches = std::function<bool(int64_t lines)>;

/// One way to translate a line.
struct Candidate {
  std::string text;                 ///< Detokenised.
  double score = 0;                 ///< As defined in decode/search.h.
  double log_probability = 0;       ///< Natural.
  std::vector<std::string> pieces;  ///< Its pieces and `</s>`.
  /// With alignments: how much of each of `pieces` came from each of the source's pieces; every row
  /// sums to 1.
  std::vector<std::vector<real>> attention;
};

/// The translation of a line. A blank line has one candidate, which is empty and scores 0.
struct Translation {
  std::vector<std::string> source;    ///< The pieces that the model read and `</s>`, if not blank.
  std::vector<Candidate> candidates;  ///< The n best, best first; at least one.

  const std::string& text() const { return candidates.front().text; }
};

/// Translates lines with a model, or with several together (EnsembleSteps in decode/steps.h).
/// Several threads may translate with one translator at once, and several translators share a
/// model: each call gets what it would get alone. (What does not fit into memory beside the batches
/// of the others is halved, as is what does not by itself.)
class Translator {
 public:
  /// The models, at least one, must outlive the translator, which prepares their weights for the
  /// products once: they must not change in that time. All are on one device and have these
  /// vocabularies; what is too long for one of them is for all. Throws Error when alignments or a
  /// coverage penalty are asked of models without attention, a precision of a device that does not
  /// have it, or a model that writes another vocabulary.
  Translator(std::span<const Model* const> models, const Vocabularies& vocabularies,
             const DecodingConfig& decoding, bool alignments = false);
  /// With one.
  Translator(const Model& model, const Vocabularies& vocabularies, const DecodingConfig& decoding,
             bool alignments = false)
      : Translator(std::array{&model}, vocabularies, decoding, alignments) {}

  /// A translation for every line, in their order. They are searched for in batches of lines of
  /// like length. Lines that are longer than the model can read, or than 1024 pieces, are cut off
  /// there, with a warning that counts them. A batch that does not fit into memory is halved until
  /// it does, with a warning; throws Error when a sentence by itself does not.
  std::vector<Translation> translate(std::span<const std::string> lines) const;

  /// The same, but nothing when `between` said so.
  std::optional<std::vector<Translation>> translate(std::span<const std::string> lines,
                                                    const BetweenBatches& between) const;

 private:
  std::vector<std::vector<Hypothesis>> search_in(const SourceBatch& batch) const;
  Translation translation(std::span<const int32_t> source,
                          const std::vector<Hypothesis>& hypotheses) const;

  Device device() const { return models_.front()->device(); }

  std::vector<const Model*> models_;
  Vocabularies vocabularies_;
  DecodingConfig decoding_;
  bool alignments_;
  Precision precision_;
  mutable Halving halving_;  // what it has learned of the memory changes no translation
  std::shared_ptr<PreparedObjects> prepared_ = std::make_shared<PreparedObjects>();
};

}  // namespace dragoman
