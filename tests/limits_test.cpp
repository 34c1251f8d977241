// When training ends: its limits, and signals.
#include "run/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "core/check.h"
#include "run/stop_signals.h"

namespace dragoman {
namespace {

using ::testing::HasSubstr;

// Limits ------------------------------------------------------------------------------------------

TEST(Limits, EndTraining) {
  TrainingConfig config;
  config.max_steps = 10;
  config.max_epochs = 3;
  config.max_minutes = 2;
  config.stop_patience = 4;
  TrainingState state;
  state.step = 9;
  state.position.epoch = 2;
  state.epochs = 2.4;
  state.seconds = 119;
  state.waited = 3;
  EXPECT_EQ(reason_to_stop(config, state), "");
  EXPECT_DOUBLE_EQ(fraction_done(config, state), 119.0 / 120);
  const auto reason = [&](auto change) {
    TrainingState changed = state;
    change(changed);
    return reason_to_stop(config, changed);
  };
  EXPECT_THAT(reason([](auto& s) { s.step = 10; }), HasSubstr("training.max_steps: 10"));
  EXPECT_THAT(reason([](auto& s) { s.position.epoch = 3; }), HasSubstr("training.max_epochs: 3"));
  EXPECT_THAT(reason([](auto& s) { s.seconds = 120; }), HasSubstr("training.max_minutes: 2"));
  EXPECT_THAT(reason([](auto& s) { s.waited = 4; }), HasSubstr("no better bleu in 4 validations"));
  config.max_steps = config.max_epochs = config.stop_patience = 0;
  config.max_minutes = 0;
  state.step = state.waited = 1'000'000;
  EXPECT_EQ(reason_to_stop(config, state), "") << "0 is no limit";
  EXPECT_EQ(fraction_done(config, state), 0);
}

TEST(Limits, TheBestIsByTheChosenMetric) {
  const Scores first{.step = 1, .loss = 3, .perplexity = 9, .bleu = 10};
  const Scores second{.step = 2, .loss = 4, .perplexity = 8, .bleu = 9};
  const std::vector<std::pair<StopMetric, bool>> second_is_better = {
      {StopMetric::kBleu, false}, {StopMetric::kLoss, false}, {StopMetric::kPerplexity, true}};
  for (const auto& [metric, better] : second_is_better) {
    TrainingConfig config;
    config.stop_metric = metric;
    TrainingState state;
    EXPECT_TRUE(record_scores(config, first, state)) << to_string(metric);
    EXPECT_EQ(record_scores(config, second, state), better) << to_string(metric);
    EXPECT_EQ(state.best, better ? second : first) << to_string(metric);
    EXPECT_EQ(state.latest, second);
    EXPECT_EQ(state.waited, better ? 0 : 1);
    EXPECT_FALSE(record_scores(config, second, state)) << "an equal one is no better";
  }
  TrainingState state;
  EXPECT_TRUE(record_scores({}, {.step = 1, .loss = 7, .bleu = 0}, state));
  EXPECT_TRUE(record_scores({}, {.step = 2, .loss = 6, .bleu = 0}, state)) << "BLEU is often 0";
  EXPECT_FALSE(record_scores({}, {.step = 3, .loss = 6.5, .bleu = 0}, state));
}

TEST(Limits, APlateauIsPatienceWithoutABetterScoreAfterTheWarmup) {
  TrainingConfig config;
  config.schedule = ScheduleKind::kPlateau;
  config.plateau_patience = 2;
  config.warmup_steps = 2;
  TrainingState state;
  for (int64_t step = 1; step <= 7; ++step) {
    record_scores(config, {.step = step, .bleu = 5}, state);
    // 1 is the best, 2 is in the warm-up, 3 and 4 make a plateau, 5 and 6 the next.
    EXPECT_EQ(state.plateaus, step < 4 ? 0 : step < 6 ? 1 : 2) << step;
  }
  record_scores(config, {.step = 8, .bleu = 6}, state);
  EXPECT_EQ(state.plateau_waited, 0);
}

// Signals -----------------------------------------------------------------------------------------

TEST(StopSignals, TheFirstIsAWishAndTheSecondEndsTheProcess) {
  const auto is_default = [](int signal) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    return action.sa_handler == SIG_DFL;
  };
  for (const int signal : {SIGINT, SIGTERM}) {
    const StopSignals signals;
    EXPECT_FALSE(StopSignals::requested());
    std::raise(signal);
    EXPECT_TRUE(StopSignals::requested());
    EXPECT_TRUE(is_default(SIGINT) && is_default(SIGTERM));
  }
}

}  // namespace
}  // namespace dragoman
