// When training ends, and which checkpoint is the best.
#pragma once

#include <string>

#include "config/config.h"
#include "run/state.h"

namespace dragoman {

/// The limit that ends training here, in words, with the setting; empty while it goes on.
std::string reason_to_stop(const TrainingConfig& config, const TrainingState& state);

/// The part of the run that is done by the limit that comes first, in [0, 1]; 0 without a limit.
double fraction_done(const TrainingConfig& config, const TrainingState& state);

/// Takes a validation into `state`: the best and the latest scores, the validations waited since
/// the best, and plateaus, which are looked for after the warm-up. True when it is the best so far
/// by training.stop_metric; of two of the same BLEU, which is often 0 at first, the loss decides.
bool record_scores(const TrainingConfig& config, const Scores& scores, TrainingState& state);

}  // namespace dragoman
