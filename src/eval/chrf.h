// chrF (Popović 2015) and chrF++ (Popović 2017), to the last digit as sacreBLEU 2 computes them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/score.h"

namespace dragoman {

struct ChrfOptions {
  int char_order = 6;       ///< the longest character n-grams
  int word_order = 0;       ///< the longest word n-grams; 2 makes it chrF++
  int beta = 2;             ///< how many times as much as precision recall counts
  bool lowercase = false;   ///< compare without regard to case
  bool whitespace = false;  ///< white space counts as characters
  bool eps_smoothing =
      false;  ///< the mean of the F-scores of all orders, 1e-16 for what is missing;
              ///< otherwise, the F-score of the mean over the orders there are
};

/// Everything that a segment contributes to the score of its corpus.
struct ChrfStatistics {
  struct Order {
    int64_t hypothesis = 0;  ///< n-grams in the hypothesis; 0 where the reference has none
    int64_t reference = 0;   ///< n-grams in the reference
    int64_t matches = 0;     ///< n-grams in both
    bool operator==(const Order&) const = default;
  };
  std::vector<Order> orders;  ///< of characters, then of words, from 1 up

  /// Orders that one of them lacks count as zero.
  ChrfStatistics& operator+=(const ChrfStatistics& other);
  bool operator==(const ChrfStatistics&) const = default;
};

class Chrf {
 public:
  using Statistics = ChrfStatistics;

  /// Throws UsageError for a negative order or beta, or where there is no order at all.
  explicit Chrf(ChrfOptions options = {});

  /// The statistics of one segment against that of its references by which its score is highest.
  /// Throws Error for invalid UTF-8.
  Statistics segment(std::string_view hypothesis, std::span<const std::string> references) const;

  /// The score of a segment, or of a corpus by the sum of its segments: from 0 to 100,
  /// (1 + beta^2) * precision * recall / (beta^2 * precision + recall).
  Score score(const Statistics& statistics) const;

  /// sacreBLEU's signature, but for `version`, as with Bleu.
  Signature signature(size_t reference_count) const;

 private:
  double f_score(const Statistics& statistics) const;

  ChrfOptions options_;
};

}  // namespace dragoman
