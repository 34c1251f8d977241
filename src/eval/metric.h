// Any metric behind one interface, for what is done with each of them alike.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "eval/bleu.h"
#include "eval/chrf.h"
#include "eval/score.h"
#include "eval/ter.h"

namespace dragoman {

/// The score of a sample of segments, which are given by their numbers; a number may be there
/// several times. At least one segment.
using SampleScore = std::function<Score(std::span<const uint32_t> sample)>;

/// The statistics of each segment under a metric, as eval/score.h describes one, computed on up to
/// `threads` threads. `references` is [reference set][segment]. Throws Error where a set is not as
/// long as the hypotheses, or where there is no reference or no segment.
template <class M>
std::vector<typename M::Statistics> segment_statistics(
    const M& metric, std::span<const std::string> hypotheses,
    std::span<const std::vector<std::string>> references, int threads = 1) {
  check(!hypotheses.empty(), "there is no segment to score; the hypotheses are empty");
  check(!references.empty(), "a score needs at least one reference");
  for (size_t set = 0; set < references.size(); ++set) {
    check(references[set].size() == hypotheses.size(),
          "reference set {} has {} segments and the hypotheses have {}; they must be as many",
          set + 1, references[set].size(), hypotheses.size());
  }
  std::vector<typename M::Statistics> statistics(hypotheses.size());
  parallel_for(hypotheses.size(), threads, [&](size_t i) {
    std::vector<std::string> segment_references;
    for (const std::vector<std::string>& set : references) segment_references.push_back(set[i]);
    statistics[i] = metric.segment(hypotheses[i], segment_references);
  });
  return statistics;
}

class Metric {
 public:
  /// Holds `metric`, a class as eval/score.h describes it.
  template <class M>
  explicit Metric(M metric)
      : signature_([metric](size_t reference_count) { return metric.signature(reference_count); }),
        read_([metric](Texts systems, Texts references, int threads) {
          std::vector<typename M::Statistics> segments;
          for (const std::vector<std::string>& system : systems) {
            for (auto& segment : segment_statistics(metric, system, references, threads))
              segments.push_back(std::move(segment));
          }
          return [metric, segments = std::move(segments)](std::span<const uint32_t> sample) {
            typename M::Statistics sum = segments[sample.front()];
            for (const uint32_t i : sample.subspan(1)) sum += segments[i];
            return Score(metric.score(sum));
          };
        }) {}

  /// How the score is computed against `reference_count` references.
  Signature signature(size_t reference_count) const { return signature_(reference_count); }

  /// Reads the output of several systems, [system][segment], for the score of any sample of its
  /// segments. They are numbered through: segment i of system k is k * segments + i. Throws as
  /// segment_statistics does.
  SampleScore read(std::span<const std::vector<std::string>> systems,
                   std::span<const std::vector<std::string>> references, int threads = 1) const {
    return read_(systems, references, threads);
  }

 private:
  using Texts = std::span<const std::vector<std::string>>;

  std::function<Signature(size_t)> signature_;
  std::function<SampleScore(Texts, Texts, int)> read_;
};

/// The options of every metric.
struct MetricOptions {
  BleuOptions bleu;
  ChrfOptions chrf;
  TercomOptions ter;
};

/// The metric of that name. Throws UsageError naming the valid ones, and as the metric's
/// constructor does.
Metric find_metric(std::string_view name, const MetricOptions& options = {});

/// The names that `find_metric` knows, the default first.
std::vector<std::string> metric_names();

}  // namespace dragoman
