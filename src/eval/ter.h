// TER, the translation edit rate (Snover et al. 2006), to the last digit as sacreBLEU 2 computes
// it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "eval/score.h"
#include "eval/tokenizers.h"

namespace dragoman {

/// Everything that a segment contributes to the score of its corpus.
struct TerStatistics {
  int64_t edits = 0;            ///< against the reference that needs the fewest
  double reference_length = 0;  ///< words, the mean over the references

  TerStatistics& operator+=(const TerStatistics& other);
  bool operator==(const TerStatistics&) const = default;
};

class Ter {
 public:
  using Statistics = TerStatistics;

  explicit Ter(TercomOptions options = {}) : options_(options) {}

  /// The statistics of one segment against one or more references, which are tokenised twice.
  /// Throws Error for invalid UTF-8.
  Statistics segment(std::string_view hypothesis, std::span<const std::string> references) const;

  /// The score of a segment, or of a corpus by the sum of its segments: edits per hundred words of
  /// reference. Lower is better. 100 for words where the reference has none.
  Score score(const Statistics& statistics) const;

  /// sacreBLEU's signature, but for `version`, as with Bleu.
  Signature signature(size_t reference_count) const;

 private:
  TercomOptions options_;
};

}  // namespace dragoman
