#include "eval/metric.h"

#include <fmt/ranges.h>

namespace dragoman {

Metric find_metric(std::string_view name, const MetricOptions& options) {
  if (name == "bleu") return Metric(Bleu(options.bleu));
  if (name == "chrf") return Metric(Chrf(options.chrf));
  if (name == "ter") return Metric(Ter(options.ter));
  fail_usage("unknown metric '{}': choose one of {}", name, fmt::join(metric_names(), ", "));
}

std::vector<std::string> metric_names() { return {"bleu", "chrf", "ter"}; }

}  // namespace dragoman
