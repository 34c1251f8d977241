// dragoman bench: how fast a configuration is on this machine.
#pragma once

#include <CLI/CLI.hpp>

namespace dragoman {

/// Adds the verb `bench train CONFIG`.
void add_bench(CLI::App& app);

}  // namespace dragoman
