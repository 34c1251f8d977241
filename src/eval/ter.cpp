#include "eval/ter.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <vector>

#include "core/check.h"
#include "eval/ter_edits.h"
#include "eval/unicode.h"

namespace dragoman {
namespace {

/// Gives each word a number, the same for the same word.
class WordNumbers {
 public:
  /// The numbers of words joined by one space each.
  std::vector<int32_t> operator()(const std::string& words) {
    std::vector<int32_t> numbers;
    for (size_t at = 0; at < words.size();) {
      const size_t end = std::min(words.find(' ', at), words.size());
      const auto next = static_cast<int32_t>(known_.size());
      numbers.push_back(known_.try_emplace(words.substr(at, end - at), next).first->second);
      at = end + 1;
    }
    return numbers;
  }

 private:
  std::unordered_map<std::string, int32_t> known_;
};

const char* yes_or_no(bool yes) { return yes ? "yes" : "no"; }

}  // namespace

TerStatistics& TerStatistics::operator+=(const TerStatistics& other) {
  edits += other.edits;
  reference_length += other.reference_length;
  return *this;
}

TerStatistics Ter::segment(std::string_view hypothesis,
                           std::span<const std::string> references) const {
  check(!references.empty(), "TER needs at least one reference");
  WordNumbers numbers;
  const std::vector<int32_t> words = numbers(tokenize_tercom(strip_right(hypothesis), options_));
  TerStatistics statistics{std::numeric_limits<int64_t>::max(), 0};
  size_t reference_words = 0;
  for (const std::string& line : references) {
    // Twice, as sacreBLEU does: the second time splits some points and entities that the first
    // left.
    const std::string once = tokenize_tercom(strip_right(line), options_);
    const std::vector<int32_t> reference = numbers(tokenize_tercom(once, options_));
    statistics.edits = std::min(statistics.edits, translation_edits(words, reference));
    reference_words += reference.size();
  }
  statistics.reference_length =
      static_cast<double>(reference_words) / static_cast<double>(references.size());
  return statistics;
}

Score Ter::score(const Statistics& statistics) const {
  const auto edits = static_cast<double>(statistics.edits);
  double rate = edits > 0 ? 1 : 0;
  if (statistics.reference_length > 0) rate = edits / statistics.reference_length;
  return {"TER", 100 * rate, "", std::nullopt};
}

Signature Ter::signature(size_t reference_count) const {
  return {{"nrefs", std::to_string(reference_count)},
          {"case", options_.case_sensitive ? "mixed" : "lc"},
          {"tok", "tercom"},
          {"norm", yes_or_no(options_.normalized)},
          {"punct", yes_or_no(!options_.no_punct)},
          {"asian", yes_or_no(options_.asian_support)},
          {"version", "dragoman-" DRAGOMAN_VERSION}};
}

}  // namespace dragoman
