// `dragoman evaluate`: translates a text with a model and scores the result.
#pragma once

#include <CLI/CLI.hpp>

namespace dragoman {

/// Adds the verb to the program.
void add_evaluate(CLI::App& app);

}  // namespace dragoman
