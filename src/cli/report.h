// `dragoman report`: how runs that exist compare.
#pragma once

#include <CLI/CLI.hpp>

namespace dragoman {

/// Adds the verb to the program.
void add_report(CLI::App& app);

}  // namespace dragoman
