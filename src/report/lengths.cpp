#include "report/lengths.h"

#include <algorithm>
#include <optional>
#include <sstream>

namespace dragoman {
namespace {

constexpr int64_t kMostBins = 9;

// The width of bins: a round number.
int64_t bin_width(const std::vector<int64_t>& sorted) {
  const int64_t range = sorted[sorted.size() * 98 / 100];
  for (const int64_t width : {2, 3, 5, 10, 15, 20, 25, 50, 100}) {
    if (range <= width * kMostBins) return width;
  }
  return range / kMostBins + 1;
}

// Joins the bins b and b + 1.
void join(Binning& binning, size_t b) {
  LengthBin& bin = binning.bins[b];
  const LengthBin& next = binning.bins[b + 1];
  const double total = bin.mean_length * static_cast<double>(bin.sentences) +
                       next.mean_length * static_cast<double>(next.sentences);
  bin.longest = next.longest;
  bin.sentences += next.sentences;
  bin.mean_length = bin.sentences > 0 ? total / static_cast<double>(bin.sentences) : 0;
  Lines& lines = binning.lines[b];
  lines.insert(lines.end(), binning.lines[b + 1].begin(), binning.lines[b + 1].end());
  binning.bins.erase(binning.bins.begin() + static_cast<std::ptrdiff_t>(b) + 1);
  binning.lines.erase(binning.lines.begin() + static_cast<std::ptrdiff_t>(b) + 1);
}

// The lines that are at least `shortest` and at most `longest`, and what they are together.
std::pair<Lines, LengthBin> lines_between(const std::vector<int64_t>& lengths, int64_t shortest,
                                          int64_t longest) {
  Lines lines;
  LengthBin bin{.shortest = shortest, .longest = longest};
  double total = 0;
  for (size_t line = 0; line < lengths.size(); ++line) {
    if (lengths[line] < shortest || lengths[line] > longest) continue;
    lines.push_back(static_cast<uint32_t>(line));
    total += static_cast<double>(lengths[line]);
  }
  bin.sentences = std::ssize(lines);
  bin.mean_length = total / static_cast<double>(lines.size());
  return {lines, bin};
}

// What is left of `before` in `after`, in percent, element by element; nothing where one of them is
// nothing to begin with.
std::optional<std::vector<double>> shares(std::vector<double> after,
                                          const std::vector<double>& before) {
  for (size_t i = 0; i < after.size(); ++i) {
    if (before[i] <= 0) return std::nullopt;
    after[i] *= 100 / before[i];
  }
  return after;
}

// Short sentences against long ones. The groups are larger than the bins, so that what is said of
// the difference is worth saying.
void compare_ends(const Scorer& bleu, const std::vector<int64_t>& lengths, size_t baseline,
                  LengthResult& result) {
  std::vector<int64_t> sorted = lengths;
  std::sort(sorted.begin(), sorted.end());
  const auto [short_lines, short_bin] =
      lines_between(lengths, sorted.front(), sorted[sorted.size() / 2]);
  const auto [long_lines, long_bin] =
      lines_between(lengths, sorted[sorted.size() * 9 / 10], sorted.back());
  result.short_sentences = short_bin;
  result.long_sentences = long_bin;
  std::vector<std::optional<std::vector<double>>> kept;
  for (size_t s = 0; s < bleu.systems(); ++s) {
    LengthCurve& curve = result.systems[s];
    curve.short_bleu = bleu.score(s, short_lines);
    curve.long_bleu = bleu.score(s, long_lines);
    curve.change = curve.long_bleu - curve.short_bleu;
    const std::vector<double> short_samples = bleu.resampled(s, short_lines);
    const std::vector<double> long_samples = bleu.resampled(s, long_lines);
    curve.change_interval = middle_95(minus(long_samples, short_samples));
    kept.push_back(shares(long_samples, short_samples));
    if (!kept[s]) continue;
    curve.kept = 100 * curve.long_bleu / curve.short_bleu;
    curve.kept_interval = middle_95(*kept[s]);
  }
  for (size_t s = 0; s < bleu.systems(); ++s) {
    if (s == baseline || !kept[s] || !kept[baseline]) continue;
    LengthCurve& curve = result.systems[s];
    curve.beyond_baseline = *curve.kept - *result.systems[baseline].kept;
    curve.beyond_baseline_interval = middle_95(minus(*kept[s], *kept[baseline]));
  }
}

}  // namespace

int64_t count_words(const std::string& line) {
  std::istringstream words(line);
  int64_t count = 0;
  for (std::string word; words >> word;) ++count;
  return count;
}

Binning bin_lengths(const std::vector<int64_t>& lengths, int64_t least) {
  Binning binning;
  if (lengths.empty()) return binning;
  std::vector<int64_t> sorted = lengths;
  std::sort(sorted.begin(), sorted.end());
  const int64_t width = bin_width(sorted);
  const int64_t count = std::max<int64_t>(1, (sorted.back() + width - 1) / width);
  for (int64_t b = 0; b < count; ++b)
    binning.bins.push_back({.shortest = b * width + 1, .longest = (b + 1) * width});
  binning.bins[0].shortest = 0;  // blank lines have a place too
  binning.lines.resize(static_cast<size_t>(count));
  for (size_t line = 0; line < lengths.size(); ++line) {
    const auto b = static_cast<size_t>(std::max<int64_t>(0, (lengths[line] - 1) / width));
    binning.lines[b].push_back(static_cast<uint32_t>(line));
    LengthBin& bin = binning.bins[b];
    ++bin.sentences;
    bin.mean_length +=
        (static_cast<double>(lengths[line]) - bin.mean_length) / static_cast<double>(bin.sentences);
  }
  // A sparse bin joins the next one, the last one that before it.
  for (size_t b = 0; b + 1 < binning.bins.size();) {
    if (binning.bins[b].sentences < least) {
      join(binning, b);
    } else {
      ++b;
    }
  }
  if (binning.bins.size() > 1 && binning.bins.back().sentences < least)
    join(binning, binning.bins.size() - 2);
  binning.bins.front().shortest = sorted.front();
  binning.bins.back().longest = sorted.back();
  return binning;
}

LengthResult by_length(const Scorer& bleu, const TestCorpus& test, size_t baseline) {
  std::vector<int64_t> lengths;
  for (const std::string& line : test.source) lengths.push_back(count_words(line));
  const Binning binning = bin_lengths(lengths);
  LengthResult result;
  result.bins = binning.bins;
  if (result.bins.size() < 2) return result;
  const size_t systems = bleu.systems();
  result.systems.resize(systems);
  for (size_t b = 0; b < result.bins.size(); ++b) {
    for (size_t s = 0; s < systems; ++s) {
      result.systems[s].bleu.push_back(bleu.score(s, binning.lines[b]));
      result.systems[s].intervals.push_back(middle_95(bleu.resampled(s, binning.lines[b])));
    }
  }
  compare_ends(bleu, lengths, baseline, result);
  return result;
}

}  // namespace dragoman
