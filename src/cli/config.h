// dragoman config: what can be set, and what a configuration comes to.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace dragoman {

/// Adds the repeatable option --set key.path=value, as every verb that reads a configuration has
/// it.
void add_set_option(CLI::App& app, std::vector<std::string>& sets);

/// Adds the verb `config [CONFIG] [--set key.path=value]...`.
void add_config(CLI::App& app);

}  // namespace dragoman
