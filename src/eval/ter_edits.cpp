#include "eval/ter_edits.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "core/check.h"

namespace dragoman {
namespace {

// The limits of sacreBLEU and Tercom.
constexpr int kLongestShift = 10;  // words
constexpr int kFarthestShift = 50;
constexpr int kBeamWidth = 25;
constexpr int kMostCandidates = 1000;

constexpr int32_t kUnreached =
    1 << 29;  // no cost comes near it, and adding to it overflows nothing

// Of a matrix of costs, of which there are two: half a gigabyte together.
constexpr int64_t kMostCells = 1 << 26;

int64_t cells(int64_t hypothesis_length, int64_t reference_length) {
  return (hypothesis_length + 1) * (reference_length + 1);
}

using Words = std::vector<int32_t>;

/// The matrix of edit distances between the beginnings of a hypothesis and a reference. Only cells
/// near the diagonal are filled; which ones depends on the lengths alone, so that the matrix can be
/// filled again for another hypothesis of the same length, from the first word that differs.
class EditMatrix {
 public:
  EditMatrix(int hypothesis_length, std::span<const int32_t> reference)
      : rows_(hypothesis_length),
        columns_(static_cast<int>(reference.size())),
        reference_(reference),
        ratio_(rows_ > 0 ? static_cast<double>(columns_) / rows_ : 1),
        // Where one text is much longer, a row would otherwise not meet the row above.
        beam_(kBeamWidth < ratio_ / 2 ? static_cast<int>(std::ceil(ratio_ / 2 + kBeamWidth))
                                      : kBeamWidth),
        costs_(static_cast<size_t>(cells(rows_, columns_)), kUnreached) {
    for (int j = 0; j <= columns_; ++j) row(0)[j] = j;
  }

  /// Fills the rows of `words` from the `first`-th word on. `above`, which may be another matrix of
  /// the same size, has the row before it.
  void fill(const Words& words, int first, const EditMatrix& above) {
    for (int i = first + 1; i <= rows_; ++i)
      fill_row(words[static_cast<size_t>(i - 1)], i,
               i == first + 1 ? above.row(i - 1) : row(i - 1));
  }

  int32_t cost(int i, int j) const { return row(i)[j]; }
  int32_t distance() const { return cost(rows_, columns_); }

 private:
  int32_t* row(int i) { return costs_.data() + int64_t{i} * (columns_ + 1); }
  const int32_t* row(int i) const { return costs_.data() + int64_t{i} * (columns_ + 1); }

  void fill_row(int32_t word, int i, const int32_t* above) {
    int32_t* costs = row(i);
    const int diagonal = static_cast<int>(std::floor(i * ratio_));
    int j = std::max(0, diagonal - beam_);
    const int end = i == rows_ ? columns_ + 1 : std::min(columns_ + 1, diagonal + beam_);
    if (j == 0) costs[j++] = above[0] + 1;
    for (; j < end; ++j) {
      const int32_t replaced =
          above[j - 1] + (word == reference_[static_cast<size_t>(j - 1)] ? 0 : 1);
      costs[j] = std::min({replaced, above[j] + 1, costs[j - 1] + 1});
    }
  }

  int rows_;     // words of the hypothesis
  int columns_;  // words of the reference
  std::span<const int32_t> reference_;
  double ratio_;
  int beam_;
  std::vector<int32_t> costs_;  // [rows + 1, columns + 1]
};

/// Which words stand opposite each other by the cheapest edits, and which are wrong.
struct Alignment {
  std::vector<int> place;  ///< of each reference word: the hypothesis word there or before, or -1
  std::vector<bool> reference_wrong;
  std::vector<bool> hypothesis_wrong;
};

/// Moves `length` words from `start` to before the word that is at `target`; a target inside of
/// them moves them right by as much.
struct Shift {
  int start;
  int length;
  int target;

  int first_changed() const { return std::min(start, target); }

  void apply(Words& words) const {
    const auto at = [&words](int i) {
      return words.begin() + std::min<std::ptrdiff_t>(i, std::ssize(words));
    };
    if (target < start) {
      std::rotate(at(target), at(start), at(start + length));
    } else {
      const int end = target > start + length ? target : target + length;
      std::rotate(at(start), at(start + length), at(end));
    }
  }
};

/// Moves words of a hypothesis as long as that brings it closer to the reference.
class ShiftSearch {
 public:
  ShiftSearch(std::span<const int32_t> hypothesis, std::span<const int32_t> reference)
      : words_(hypothesis.begin(), hypothesis.end()),
        reference_(reference),
        matrix_(static_cast<int>(hypothesis.size()), reference),
        tried_(matrix_) {
    matrix_.fill(words_, 0, matrix_);
  }

  int64_t edits() {
    int64_t shifts = 0;
    for (;;) {
      best_.reset();
      alignment_ = align();
      try_shifts();
      // The limit also ends a search whose last shift was an improvement, as in sacreBLEU.
      if (candidates_ >= kMostCandidates || !best_ || best_->gain <= 0) break;
      best_->shift.apply(words_);
      matrix_.fill(words_, best_->shift.first_changed(), matrix_);
      ++shifts;
    }
    return shifts + matrix_.distance();
  }

 private:
  struct Candidate {
    int32_t gain;
    Shift shift;

    /// What gains more; then what is longer, starts earlier, goes to an earlier place.
    bool better_than(const Candidate& other) const {
      return std::tuple(gain, shift.length, -shift.start, -shift.target) >
             std::tuple(other.gain, other.shift.length, -other.shift.start, -other.shift.target);
    }
  };

  Alignment align() const;
  void try_shifts();
  void try_places(int start, int reference_start, int length);
  void try_shift(const Shift& shift);

  Words words_;
  std::span<const int32_t> reference_;
  EditMatrix matrix_;  // of words_
  EditMatrix tried_;   // of the words after a shift, from the first row that differs
  Alignment alignment_;
  std::optional<Candidate> best_;
  int candidates_ = 0;
};

/// Goes back through the matrix. Of equally cheap edits, a word kept or replaced comes first, then
/// a hypothesis word too many, then a reference word that is missing.
Alignment ShiftSearch::align() const {
  int i = static_cast<int>(words_.size());
  int j = static_cast<int>(reference_.size());
  Alignment alignment{std::vector<int>(reference_.size()),
                      std::vector<bool>(reference_.size(), true),
                      std::vector<bool>(words_.size(), true)};
  while (i > 0 || j > 0) {
    const auto word = static_cast<size_t>(i - 1);
    const auto reference_word = static_cast<size_t>(j - 1);
    const int32_t cost = matrix_.cost(i, j);
    const bool same = i > 0 && j > 0 && words_[word] == reference_[reference_word];
    if (i > 0 && j > 0 && matrix_.cost(i - 1, j - 1) + (same ? 0 : 1) == cost) {
      alignment.place[reference_word] = i - 1;
      alignment.reference_wrong[reference_word] = alignment.hypothesis_wrong[word] = !same;
      --i, --j;
    } else if (i > 0 && matrix_.cost(i - 1, j) + 1 == cost) {
      --i;
    } else {
      alignment.place[reference_word] = i - 1;
      --j;
    }
  }
  return alignment;
}

/// Tries every row of words that the reference has too.
void ShiftSearch::try_shifts() {
  const int words = static_cast<int>(words_.size());
  const int reference_words = static_cast<int>(reference_.size());
  for (int start = 0; start < words; ++start) {
    const int last = std::min(reference_words - 1, start + kFarthestShift);
    for (int there = std::max(0, start - kFarthestShift); there <= last; ++there) {
      const int longest = std::min({kLongestShift, words - start, reference_words - there});
      for (int length = 1; length <= longest; ++length) {
        if (words_[static_cast<size_t>(start + length - 1)] !=
            reference_[static_cast<size_t>(there + length - 1)])
          break;
        try_places(start, there, length);
        if (candidates_ >= kMostCandidates) return;
      }
    }
  }
}

/// Tries to move a row of words to each place beside the words of the reference that are equal to
/// it, unless one side is right already or the row would be moved into itself.
void ShiftSearch::try_places(int start, int reference_start, int length) {
  const auto any = [length](const std::vector<bool>& wrong, int from) {
    return std::any_of(wrong.begin() + from, wrong.begin() + from + length,
                       [](bool w) { return w; });
  };
  if (!any(alignment_.hypothesis_wrong, start)) return;
  if (!any(alignment_.reference_wrong, reference_start)) return;
  const int there = alignment_.place[static_cast<size_t>(reference_start)];
  if (start <= there && there < start + length) return;

  int before = -1;
  for (int at = reference_start - 1; at < reference_start + length; ++at) {
    const int target = at < 0 ? 0 : alignment_.place[static_cast<size_t>(at)] + 1;
    if (target == before) continue;
    before = target;
    try_shift({start, length, target});
  }
}

void ShiftSearch::try_shift(const Shift& shift) {
  Words shifted = words_;
  shift.apply(shifted);
  tried_.fill(shifted, shift.first_changed(), matrix_);
  ++candidates_;
  const Candidate candidate{matrix_.distance() - tried_.distance(), shift};
  if (!best_ || candidate.better_than(*best_)) best_ = candidate;
}

}  // namespace

int64_t translation_edits(std::span<const int32_t> hypothesis, std::span<const int32_t> reference) {
  if (reference.empty()) return std::ssize(hypothesis);
  check(cells(std::ssize(hypothesis), std::ssize(reference)) <= kMostCells,
        "TER: a line of {} words cannot be compared with one of {}: give lines of up to 8000 words",
        hypothesis.size(), reference.size());
  return ShiftSearch(hypothesis, reference).edits();
}

}  // namespace dragoman
