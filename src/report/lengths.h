// How good translations are by the length of what is translated: Bahdanau et al. 2015, figure 2.
#pragma once

#include <string>
#include <vector>

#include "report/results.h"
#include "report/scorer.h"

namespace dragoman {

/// Bins of like width over the lengths (source words), at most nine and with `least` sentences
/// each; sparse ones join a neighbour.
struct Binning {
  std::vector<LengthBin> bins;
  std::vector<Lines> lines;  ///< Of each bin.
};
Binning bin_lengths(const std::vector<int64_t>& lengths, int64_t least = 20);

/// Words between spaces.
int64_t count_words(const std::string& line);

/// The curves of all systems on the test corpus that `bleu` has read.
LengthResult by_length(const Scorer& bleu, const TestCorpus& test, size_t baseline);

}  // namespace dragoman
