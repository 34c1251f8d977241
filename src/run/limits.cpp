#include "run/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace dragoman {

std::string reason_to_stop(const TrainingConfig& config, const TrainingState& state) {
  if (config.max_steps > 0 && state.step >= config.max_steps)
    return fmt::format("training.max_steps: {}", config.max_steps);
  if (config.max_epochs > 0 && state.position.epoch >= config.max_epochs)
    return fmt::format("training.max_epochs: {}", config.max_epochs);
  if (config.max_minutes > 0 && state.seconds >= 60 * config.max_minutes)
    return fmt::format("training.max_minutes: {}", config.max_minutes);
  if (config.stop_patience > 0 && state.waited >= config.stop_patience) {
    return fmt::format("training.stop_patience: no better {} in {} validations", config.stop_metric,
                       state.waited);
  }
  return "";
}

double fraction_done(const TrainingConfig& config, const TrainingState& state) {
  double fraction = 0;
  const auto limit = [&](double done, double end) {
    if (end > 0) fraction = std::max(fraction, done / end);
  };
  limit(static_cast<double>(state.step), static_cast<double>(config.max_steps));
  limit(state.epochs, static_cast<double>(config.max_epochs));
  limit(state.seconds, 60 * config.max_minutes);
  return std::min(fraction, 1.0);
}

namespace {

bool is_better(const Scores& scores, const Scores& best, StopMetric metric) {
  switch (metric) {
    case StopMetric::kBleu:
      return std::pair(scores.bleu, -scores.loss) > std::pair(best.bleu, -best.loss);
    case StopMetric::kLoss:
      return scores.loss < best.loss;
    case StopMetric::kPerplexity:
      return scores.perplexity < best.perplexity;
  }
  fail_unknown(metric);
}

}  // namespace

bool record_scores(const TrainingConfig& config, const Scores& scores, TrainingState& state) {
  const bool better = state.best.step == 0 || is_better(scores, state.best, config.stop_metric);
  state.latest = scores;
  if (better) state.best = scores;
  state.waited = better ? 0 : state.waited + 1;
  if (config.schedule == ScheduleKind::kPlateau && scores.step > config.warmup_steps) {
    state.plateau_waited = better ? 0 : state.plateau_waited + 1;
    if (state.plateau_waited >= config.plateau_patience) {
      state.plateau_waited = 0;
      ++state.plateaus;
    }
  }
  return better;
}

}  // namespace dragoman
