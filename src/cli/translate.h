// `dragoman translate`: lines in, their translations out.
#pragma once

#include <CLI/CLI.hpp>

namespace dragoman {

/// Adds the verb to the program.
void add_translate(CLI::App& app);

}  // namespace dragoman
