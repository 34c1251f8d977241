#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace dragoman {

/// Refuses whole numbers below `least`, and what is none. (CLI11's own bounds without an end tell
/// of the largest number that there is.)
inline CLI::Validator whole_number_from(int64_t least) {
  return {[least](std::string& text) -> std::string {
            int64_t number = 0;
            if (CLI::detail::lexical_cast(text, number) && number >= least) return {};
            return "must be a whole number of at least " + std::to_string(least) + ", not " + text;
          },
          ""};
}

}  // namespace dragoman
