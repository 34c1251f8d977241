// BLEU (Papineni et al. 2002), to the last digit as sacreBLEU 2 computes it (Post 2018).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/score.h"
#include "eval/tokenizers.h"

namespace dragoman {

/// What is done about an n-gram order without a match, which would make the geometric mean zero
/// (Chen and Cherry 2014). A score without any matching word is zero with each of them.
enum class Smoothing {
  kExp,    ///< the k-th order without a match counts as 1 / 2^k matches
  kFloor,  ///< it counts as `smooth_value` matches
  kAddK,   ///< `smooth_value` is added to matches and totals of all orders but the first
  kNone,   ///< nothing: the score is zero
};

/// The smoothing of that name: exp, floor, add-k or none. Throws UsageError naming the valid ones.
Smoothing find_smoothing(std::string_view name);

/// The names that `find_smoothing` knows, the default first.
std::vector<std::string> smoothing_names();

struct BleuOptions {
  std::string tokenizer = "13a";
  bool lowercase = false;
  Smoothing smoothing = Smoothing::kExp;
  std::optional<double> smooth_value;  ///< for kFloor (default 0.1) and kAddK (default 1) only
  int max_ngram_order = 4;             ///< the longest n-grams counted
  bool effective_order = false;        ///< leave out orders longer than the text; for sentences
};

/// Everything that a segment contributes to the score of its corpus.
struct BleuStatistics {
  int64_t hypothesis_length = 0;  ///< in tokens
  int64_t reference_length = 0;   ///< of the reference closest in length
  std::vector<int64_t> correct;   ///< n-grams of 1, 2, ... tokens found in a reference, clipped
  std::vector<int64_t> total;     ///< n-grams of 1, 2, ... tokens in the hypothesis

  /// Orders that one of them lacks count as zero.
  BleuStatistics& operator+=(const BleuStatistics& other);
  bool operator==(const BleuStatistics&) const = default;
};

struct BleuScore : Score {
  std::vector<double> precisions;  ///< of each order, in percent, after smoothing
  double brevity_penalty = 1;
  double ratio = 0;  ///< hypothesis_length / reference_length
  int64_t hypothesis_length = 0;
  int64_t reference_length = 0;
};

class Bleu {
 public:
  using Statistics = BleuStatistics;

  /// Throws UsageError for an unknown tokenizer, no n-gram order, or a smoothing value that is
  /// negative or that the smoothing does not use.
  explicit Bleu(BleuOptions options = {});

  /// The statistics of one segment against one or more references. Counts are clipped to the
  /// greatest count in any one reference; the reference length is the one closest to the
  /// hypothesis, the shorter one of two equally close. Throws Error for invalid UTF-8.
  Statistics segment(std::string_view hypothesis, std::span<const std::string> references) const;

  /// The score of a segment, or of a corpus by the sum of its segments:
  /// BP * exp(mean over n of log precision_n), BP = min(1, exp(1 - reference / hypothesis length)).
  BleuScore score(const Statistics& statistics) const;

  /// sacreBLEU's signature, field for field and value for value, but for two: `version` names this
  /// program (`dragoman-0.1.0`), since a signature tells which code computed the number, and
  /// `order` stands there if it is not 4.
  Signature signature(size_t reference_count) const;

 private:
  std::string tokens(std::string_view line) const;

  BleuOptions options_;
  Tokenizer tokenizer_;
  double smooth_value_;
};

/// The score of a whole corpus; `references` is [reference set][segment]. Throws as
/// segment_statistics does.
BleuScore corpus_bleu(std::span<const std::string> hypotheses,
                      std::span<const std::vector<std::string>> references,
                      const BleuOptions& options = {});

/// The score of one sentence, with effective order whatever the options say.
BleuScore sentence_bleu(std::string_view hypothesis, std::span<const std::string> references,
                        BleuOptions options = {});

}  // namespace dragoman
