#pragma once

#include <CLI/CLI.hpp>
#include <limits>
#include <string>

namespace dragoman {

/// Refuses whole numbers below `least` or above `most`, and what is none. (CLI11's own bounds
/// without an end tell of the largest number that there is.)
inline CLI::Validator whole_number_from(int64_t least,
                                        int64_t most = std::numeric_limits<int64_t>::max()) {
  return {[least, most](std::string& text) -> std::string {
            int64_t number = 0;
            if (CLI::detail::lexical_cast(text, number) && number >= least && number <= most)
              return {};
            const bool bounded = most < std::numeric_limits<int64_t>::max();
            return "must be a whole number of at least " + std::to_string(least) +
                   (bounded ? " and at most " + std::to_string(most) : "") + ", not " + text;
          },
          ""};
}

}  // namespace dragoman
