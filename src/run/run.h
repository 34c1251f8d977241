// A whole run, from a configuration to scores on the test corpora.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "run/trainer.h"

namespace dragoman {

/// Trains as `config` says in its run directory and then translates and scores its test corpora. A
/// run that was begun there before is continued; one that has ended says so. SIGINT and SIGTERM end
/// it after a step, with everything saved; false then. `show_progress` as in Trainer.
///
/// Throws UsageError when the directory holds a run of another configuration, and Error for all
/// that goes wrong, a device that cannot be had among it.
bool run_training(const Config& config, const ShowProgress& show_progress = {});

/// The settings, in words, in which a run cannot be continued: all in which `now` differs from
/// `before` but those that say how long, where and how fast it runs and what it reports.
std::vector<std::string> conflicts(const Config& before, const Config& now);

}  // namespace dragoman
