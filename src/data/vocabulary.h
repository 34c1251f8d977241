// The pieces that sentences are made of: a sentencepiece model (Kudo and Richardson 2018).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace dragoman {

/// Turns sentences into ids of pieces and back. Ids 0, 1 and 2 are `<unk>`, `<s>` and `</s>`; there
/// is no padding. A vocabulary does not change: copies share one model and cost nothing, and any
/// number of threads may use one.
class Vocabulary {
 public:
  static constexpr int32_t kUnknown = 0;
  static constexpr int32_t kBegin = 1;
  static constexpr int32_t kEnd = 2;

  /// Learns a vocabulary from the lines of text files; the same text and options give the same
  /// bytes. Throws Error when no line has text, or when the text cannot fill a vocabulary of the
  /// wanted size or needs a larger one, with the size that is possible.
  static Vocabulary train(const VocabularyConfig& config, const std::vector<std::string>& files);
  /// The same of any lines: `next` puts one into its argument, or returns false at their end. What
  /// it throws comes out. An Error about them calls them `name`.
  static Vocabulary train(const VocabularyConfig& config,
                          const std::function<bool(std::string&)>& next, const std::string& name);

  /// A vocabulary from what `bytes` returned. Throws Error when it is not a sentencepiece model
  /// with the ids above.
  explicit Vocabulary(std::string bytes);

  /// The ids of a sentence, without `<s>` and `</s>`.
  std::vector<int32_t> encode(std::string_view line) const;

  /// Those of every line, on up to `threads` threads.
  std::vector<std::vector<int32_t>> encode(std::span<const std::string> lines, int threads) const;

  /// Subword regularisation: every line in a segmentation drawn at random, the same for the same
  /// lines and seed. A unigram vocabulary draws from the `nbest` (-1: all) best segmentations with
  /// their probability to the power of `alpha` (Kudo 2018, section 3.1; a small alpha is wild). For
  /// BPE `alpha` is the probability with which a merge is dropped (Provilkov et al. 2020) and
  /// `nbest` means nothing. Throws Error for the other types, which know one segmentation.
  std::vector<std::vector<int32_t>> encode_sampled(std::span<const std::string> lines, int nbest,
                                                   double alpha, uint64_t seed) const;

  /// The text of a sequence of ids, detokenised; `<s>` and `</s>` leave nothing.
  std::string decode(std::span<const int32_t> ids) const;

  int32_t size() const;
  /// The piece with the id `id`, for example `▁Haus`.
  const std::string& piece(int32_t id) const;

  /// The sentencepiece model, to be stored.
  const std::string& bytes() const { return *bytes_; }

  friend bool operator==(const Vocabulary& a, const Vocabulary& b) {
    return a.bytes_ == b.bytes_ || *a.bytes_ == *b.bytes_;
  }

 private:
  std::shared_ptr<const std::string> bytes_;
  std::shared_ptr<const sentencepiece::SentencePieceProcessor> model_;
};

/// The vocabulary of each side; with a shared one, the same twice.
struct Vocabularies {
  Vocabulary source;
  Vocabulary target;
};

}  // namespace dragoman
