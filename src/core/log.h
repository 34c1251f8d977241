// Lines for people: plain text on standard error and, during training, in a file as well. All of it
// may be called from any thread; a line is never mixed with another thread's.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <utility>

namespace dragoman::log {

enum class Level { info, warning, error };

/// Prints one line (several, if `text` has line breaks) above a progress bar, if one is shown.
/// Warnings and errors are marked as such.
void write(Level level, const std::string& text);

/// Appends every later line to `path` too, with the time in front, until `close_file` or the next
/// call. Error when the file cannot be opened.
void open_file(const std::filesystem::path& path);
void close_file();

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace dragoman::log
