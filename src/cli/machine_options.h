// What a verb uses of the machine, as options.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

namespace dragoman {

/// Adds --threads, which takes effect where it is given.
void add_threads_option(CLI::App& verb);

/// Adds --threads over training.threads.
void add_threads_option(CLI::App& verb, std::optional<int>& threads);

/// Adds --device, a name for find_device. `left_out` is what happens without it, for the help.
void add_device_option(CLI::App& verb, std::string& device, const std::string& left_out);

}  // namespace dragoman
