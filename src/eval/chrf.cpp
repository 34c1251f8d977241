#include "eval/chrf.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/utf8.h"
#include "eval/ngrams.h"
#include "eval/unicode.h"

namespace dragoman {
namespace {

bool is_ascii_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

/// The words of a text, with ASCII punctuation at one end of a word as a word of its own: that at
/// the end, or else that at the beginning.
std::string split_word_ends(std::string_view text) {
  std::string words = normalize_spaces(text);
  std::string split;
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    const std::string_view word = std::string_view(words).substr(at, end - at);
    if (!split.empty()) split += ' ';
    if (word.size() > 1 && is_ascii_punctuation(word.back())) {
      split.append(word.substr(0, word.size() - 1)).append({' ', word.back()});
    } else if (word.size() > 1 && is_ascii_punctuation(word.front())) {
      split.append({word.front(), ' '}).append(word.substr(1));
    } else {
      split.append(word);
    }
    at = end + 1;
  }
  return split;
}

std::string without_spaces(std::string_view text) {
  std::string rest;
  for (const int32_t codepoint : decode_utf8(text)) {
    if (!is_space(codepoint)) append_utf8(rest, codepoint);
  }
  return rest;
}

/// The n-grams of every order: of characters, then of words.
class SegmentNgrams {
 public:
  SegmentNgrams(std::string_view line, const ChrfOptions& options)
      : text_(options.lowercase ? lowercase(line) : std::string(line)),
        characters_(NgramText::characters(options.whitespace ? text_ : without_spaces(text_))),
        words_(NgramText::words(options.word_order > 0 ? split_word_ends(text_) : "")) {
    for (int n = 1; n <= options.char_order; ++n)
      counts_.push_back(characters_.ngrams(static_cast<size_t>(n)));
    for (int n = 1; n <= options.word_order; ++n)
      counts_.push_back(words_.ngrams(static_cast<size_t>(n)));
  }
  SegmentNgrams(const SegmentNgrams&) = delete;  // the counts view its texts

  const std::vector<NgramCounts>& counts() const { return counts_; }

 private:
  std::string text_;
  NgramText characters_;
  NgramText words_;
  std::vector<NgramCounts> counts_;
};

int64_t total(const NgramCounts& counts) {
  int64_t sum = 0;
  for (const auto& row : counts) sum += row.second;
  return sum;
}

ChrfStatistics compare(const std::vector<NgramCounts>& hypothesis,
                       const std::vector<NgramCounts>& reference) {
  ChrfStatistics statistics;
  for (size_t order = 0; order < hypothesis.size(); ++order) {
    statistics.orders.push_back({reference[order].empty() ? 0 : total(hypothesis[order]),
                                 total(reference[order]),
                                 common_ngrams(hypothesis[order], reference[order])});
  }
  return statistics;
}

}  // namespace

ChrfStatistics& ChrfStatistics::operator+=(const ChrfStatistics& other) {
  if (orders.size() < other.orders.size()) orders.resize(other.orders.size());
  for (size_t i = 0; i < other.orders.size(); ++i) {
    orders[i].hypothesis += other.orders[i].hypothesis;
    orders[i].reference += other.orders[i].reference;
    orders[i].matches += other.orders[i].matches;
  }
  return *this;
}

Chrf::Chrf(ChrfOptions options) : options_(options) {
  if (options.char_order < 0 || options.word_order < 0 || options.beta < 0)
    fail_usage("chrF: the orders of characters and words and beta must be numbers from 0 up");
  if (options.char_order + options.word_order == 0)
    fail_usage("chrF: characters or words must have an order of 1 or more");
}

ChrfStatistics Chrf::segment(std::string_view hypothesis,
                             std::span<const std::string> references) const {
  check(!references.empty(), "chrF needs at least one reference");
  const SegmentNgrams hypothesis_ngrams(hypothesis, options_);
  ChrfStatistics best;
  double best_score = -1;
  for (const std::string& reference : references) {
    ChrfStatistics statistics =
        compare(hypothesis_ngrams.counts(), SegmentNgrams(reference, options_).counts());
    const double score = f_score(statistics);
    if (score > best_score) {
      best_score = score;
      best = std::move(statistics);
    }
  }
  return best;
}

double Chrf::f_score(const Statistics& statistics) const {
  constexpr double kEpsilon = 1e-16;
  const double factor = options_.beta * options_.beta;
  double sum = 0, precision_sum = 0, recall_sum = 0;
  int orders = 0;  // that both texts have n-grams of
  for (const auto& [hypothesis, reference, matches] : statistics.orders) {
    const auto share = [count = static_cast<double>(matches)](int64_t of) {
      return of > 0 ? count / static_cast<double>(of) : kEpsilon;
    };
    const double precision = share(hypothesis);
    const double recall = share(reference);
    const double denominator = factor * precision + recall;
    sum += denominator > 0 ? (1 + factor) * precision * recall / denominator : kEpsilon;
    if (hypothesis == 0 || reference == 0) continue;
    precision_sum += precision;
    recall_sum += recall;
    ++orders;
  }
  if (options_.eps_smoothing) return 100 * sum / (options_.char_order + options_.word_order);
  if (orders == 0 || precision_sum + recall_sum == 0) return 0;
  const double precision = precision_sum / orders;
  const double recall = recall_sum / orders;
  return 100 * ((1 + factor) * precision * recall / (factor * precision + recall));
}

Score Chrf::score(const Statistics& statistics) const {
  const std::string pluses(static_cast<size_t>(options_.word_order), '+');
  return {fmt::format("chrF{}{}", options_.beta, pluses), f_score(statistics), "", std::nullopt};
}

Signature Chrf::signature(size_t reference_count) const {
  return {
      {"nrefs", std::to_string(reference_count)},     {"case", options_.lowercase ? "lc" : "mixed"},
      {"eff", options_.eps_smoothing ? "no" : "yes"}, {"nc", std::to_string(options_.char_order)},
      {"nw", std::to_string(options_.word_order)},    {"space", options_.whitespace ? "yes" : "no"},
      {"version", "dragoman-" DRAGOMAN_VERSION}};
}

}  // namespace dragoman
