// How far a difference between systems is to be trusted: bootstrap resampling (Koehn 2004) and
// approximate randomisation (Riezler and Maxwell 2005), by the definitions of sacreBLEU 2.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/metric.h"
#include "eval/score.h"

namespace dragoman {

enum class PairedTest {
  kNone,
  kBootstrap,      ///< both systems are scored on the same resamples of the segments
  kRandomization,  ///< the outputs of both systems are exchanged in a random half of the segments
};

/// What is drawn at random. The same seed draws the same samples for every metric and system, on
/// any number of threads.
struct Sampling {
  PairedTest test = PairedTest::kNone;
  int resamples = 0;   ///< for the intervals and the paired bootstrap test; 0: no intervals
  int trials = 10000;  ///< of the randomisation test
  uint64_t seed = 12345;
  int threads = 1;
};

/// How well one system did.
struct SystemResult {
  Score score;  ///< with its interval where `Sampling` asks for resamples
  /// About the probability of a difference from the baseline as large as the one there is, if both
  /// systems were equally good. 1 where there is no difference. None for the baseline.
  std::optional<double> p_value;
};

/// Scores systems, [system][segment], the first of which is the baseline that the others are
/// compared with. Throws as Metric::read does, and UsageError for a number of samples that the test
/// cannot use.
std::vector<SystemResult> compare_systems(const Metric& metric,
                                          std::span<const std::vector<std::string>> systems,
                                          std::span<const std::vector<std::string>> references,
                                          const Sampling& sampling);

/// The scores of `sampling.resamples` samples of the segments `first` to `first + count - 1`, as
/// many segments as there are, drawn with replacement. The samples are the same for every score and
/// `first`.
std::vector<double> bootstrap_scores(const SampleScore& score, uint32_t first, uint32_t count,
                                     const Sampling& sampling);

/// As SystemResult::p_value, from the scores of both systems on the same samples and the difference
/// of their scores on all segments.
double bootstrap_p_value(std::span<const double> baseline, std::span<const double> system,
                         double difference);

/// The signature with what was sampled, where sacreBLEU has it: `nrefs:1|bs:1000|seed:12345|...`.
Signature with_sampling(Signature signature, const Sampling& sampling);

}  // namespace dragoman
