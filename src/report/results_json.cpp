// results.json, as src/report/README.md describes it.
#include <nlohmann/json.hpp>

#include "report/results.h"

namespace dragoman {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json json_of(const ConfidenceInterval& interval) { return {interval.low, interval.high}; }

Json json_of(const std::optional<ConfidenceInterval>& interval) {
  return interval ? json_of(*interval) : Json(nullptr);
}

Json json_of(const Summary& summary) {
  return {{"mean", summary.mean},
          {"deviation", json_of(summary.deviation)},
          {"values", summary.values}};
}

Json json_of(const Curve& curve) {
  Json steps = Json::array(), minutes = Json::array(), values = Json::array();
  for (const CurvePoint& point : curve) {
    steps.push_back(point.step);
    minutes.push_back(point.minutes);
    values.push_back(point.value);
  }
  return {{"step", steps}, {"minutes", minutes}, {"value", values}};
}

Json json_of(const MeasuredRun& run, double target_bleu) {
  return {{"seed", run.seed},
          {"directory", run.directory},
          {"steps", run.steps},
          {"minutes", run.minutes},
          {"best_validation_bleu", run.best_validation_bleu},
          {"minutes_to_best", json_of(run.minutes_to_best)},
          {"minutes_to_target", json_of(run.minutes_to(target_bleu))},
          {"target_tokens_per_second", json_of(run.target_tokens_per_second)},
          {"peak_bytes", json_of(run.peak_bytes)},
          {"training_loss", json_of(run.training_loss)},
          {"validation_loss", json_of(run.validation_loss)},
          {"validation_bleu", json_of(run.validation_bleu)}};
}

Json json_of(const MeasuredSystem& system, double target_bleu) {
  Json runs = Json::array();
  for (const MeasuredRun& run : system.runs) runs.push_back(json_of(run, target_bleu));
  return {{"name", system.name},
          {"description", system.description},
          {"parameters", system.parameters},
          {"runs", std::move(runs)}};
}

Json json_of(const MetricResults& metric) {
  Json systems = Json::array();
  for (const SystemScore& result : metric.systems) {
    Json& system = systems.emplace_back(json_of(result.score));
    system["interval"] = json_of(result.interval);
    system["difference"] = json_of(result.difference);
    system["difference_interval"] = json_of(result.difference_interval);
    system["p_value"] = json_of(result.p_value);
  }
  return {{"name", metric.name},
          {"signature", metric.signature},
          {"lower_is_better", metric.lower_is_better},
          {"systems", std::move(systems)}};
}

Json json_of(const LengthBin& bin) {
  return {{"shortest", bin.shortest},
          {"longest", bin.longest},
          {"sentences", bin.sentences},
          {"mean_length", bin.mean_length}};
}

Json json_of(const LengthResult& lengths) {
  Json bins = Json::array(), systems = Json::array();
  for (const LengthBin& bin : lengths.bins) bins.push_back(json_of(bin));
  for (const LengthCurve& curve : lengths.systems) {
    Json intervals = Json::array();
    for (const ConfidenceInterval& interval : curve.intervals)
      intervals.push_back(json_of(interval));
    systems.push_back({{"bleu", curve.bleu},
                       {"intervals", std::move(intervals)},
                       {"short_bleu", curve.short_bleu},
                       {"long_bleu", curve.long_bleu},
                       {"change", curve.change},
                       {"change_interval", json_of(curve.change_interval)},
                       {"kept", json_of(curve.kept)},
                       {"kept_interval", json_of(curve.kept_interval)},
                       {"beyond_baseline", json_of(curve.beyond_baseline)},
                       {"beyond_baseline_interval", json_of(curve.beyond_baseline_interval)}});
  }
  return {{"bins", std::move(bins)},
          {"short_sentences", json_of(lengths.short_sentences)},
          {"long_sentences", json_of(lengths.long_sentences)},
          {"systems", std::move(systems)}};
}

Json json_of(const std::vector<Summary>& summaries) {
  Json list = Json::array();
  for (const Summary& summary : summaries) list.push_back(json_of(summary));
  return list;
}

}  // namespace

std::string results_json(const Results& results) {
  const Measurements& m = results.measured;
  Json systems = Json::array(), tests = Json::array();
  for (const MeasuredSystem& system : m.systems) systems.push_back(json_of(system, m.target_bleu));
  for (size_t t = 0; t < m.tests.size(); ++t) {
    const TestResult& test = results.tests[t];
    Json metrics = Json::array();
    for (const MetricResults& metric : test.metrics) metrics.push_back(json_of(metric));
    tests.push_back({{"name", m.tests[t].name},
                     {"sentences", m.tests[t].source.size()},
                     {"metrics", std::move(metrics)},
                     {"lengths", json_of(test.lengths)},
                     {"sentences_per_second", json_of(test.sentences_per_second)},
                     {"tokens_per_second", json_of(test.tokens_per_second)}});
  }
  const Json json = {{"format", "dragoman comparison"},
                     {"version", 1},
                     {"dragoman", DRAGOMAN_VERSION},
                     {"title", m.title},
                     {"source_language", m.source_language},
                     {"target_language", m.target_language},
                     {"baseline", m.systems[m.baseline].name},
                     {"target_bleu", m.target_bleu},
                     {"resamples", results.resamples},
                     {"systems", std::move(systems)},
                     {"tests", std::move(tests)}};
  return json.dump(1) + "\n";
}

}  // namespace dragoman
