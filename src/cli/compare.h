// `dragoman compare`: trains the systems of a study and reports how they compare.
#pragma once

#include <CLI/CLI.hpp>

namespace dragoman {

/// Adds the verb to the program.
void add_compare(CLI::App& app);

}  // namespace dragoman
