// `dragoman score`: how probable a model finds given translations.
#pragma once

#include <CLI/CLI.hpp>

namespace dragoman {

/// Adds the verb to the program.
void add_score(CLI::App& app);

}  // namespace dragoman
