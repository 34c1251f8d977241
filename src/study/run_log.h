// What the log of a run tells.
#pragma once

#include <filesystem>

#include "report/results.h"

namespace dragoman {

/// Curves, times, speed and memory of the run in `directory`, from its log.jsonl; seed and outputs
/// are left empty. Throws Error where the log is missing, or has a line that is no log's.
MeasuredRun read_run_log(const std::filesystem::path& directory);

}  // namespace dragoman
