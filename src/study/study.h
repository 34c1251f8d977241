// A study from its file to its report.
#pragma once

#include "config/study.h"

namespace dragoman {

/// Trains every system with every seed, each in a run directory of its own, and writes the report
/// to <directory>/report. Runs that have ended are not trained again, and those that were begun go
/// on. SIGINT and SIGTERM end it as they end run_training; false then. Throws as run_training and
/// compare_runs do.
bool run_study(const StudyConfig& study);

}  // namespace dragoman
