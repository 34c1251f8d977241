// Errors are exceptions with a sentence a user can act on: what is wrong, where, what to do.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace dragoman {

/// Something a user can cause or mend. The program prints the message and exits with 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Wrong usage: an unknown option, an invalid configuration. The program exits with 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// A formatter of types that have a to_string: it is called when a message is built, that is, on
/// failure, and not whenever something is checked.
struct ByToString : fmt::formatter<std::string> {
  template <class T, class Context>
  auto format(const T& value, Context& context) const {
    return fmt::formatter<std::string>::format(to_string(value), context);
  }
};

/// Throws Error with a formatted message.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws UsageError with a formatted message.
template <class... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error with a formatted message unless `ok`. The message is only built on failure.
template <class... Args>
void check(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) [[unlikely]]
    fail(format, std::forward<Args>(args)...);
}

}  // namespace dragoman
