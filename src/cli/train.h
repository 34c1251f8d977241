// `dragoman train`: trains a model as a configuration says.
#pragma once

#include <CLI/CLI.hpp>

namespace dragoman {

/// Adds the verb to the program.
void add_train(CLI::App& app);

}  // namespace dragoman
