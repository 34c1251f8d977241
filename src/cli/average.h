// `dragoman average`: one model from the mean of several checkpoints.
#pragma once

#include <CLI/CLI.hpp>

namespace dragoman {

/// Adds the verb to the program.
void add_average(CLI::App& app);

}  // namespace dragoman
