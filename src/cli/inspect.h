// `dragoman inspect`: what a checkpoint or a prepared corpus holds.
#pragma once

#include <CLI/CLI.hpp>

namespace dragoman {

/// Adds the verb to the program.
void add_inspect(CLI::App& app);

}  // namespace dragoman
