#include "core/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mutex>

#include "core/utf8.h"

namespace dragoman {
namespace {

// The last line of the terminal: who shows something there, and what.
struct Terminal {
  std::mutex mutex;
  const Progress* shown_by = nullptr;
  std::string shown;
};

Terminal& terminal() {
  static Terminal instance;
  return instance;
}

bool on_terminal() { return ::isatty(STDERR_FILENO) == 1; }

int terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

constexpr const char* kEraseLine = "\r\033[K";

}  // namespace

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  const int64_t whole = std::llround(std::min(seconds, 1e15));
  const int64_t minutes = whole / 60, hours = minutes / 60, days = hours / 24;
  if (minutes == 0) return fmt::format("{}s", whole);
  if (hours == 0) return fmt::format("{}m{:02}s", minutes, whole % 60);
  if (days == 0) return fmt::format("{}h{:02}m", hours, minutes % 60);
  return fmt::format("{}d{:02}h", days, hours % 24);
}

std::string progress_line(double fraction, std::string_view text, double seconds_left, int width) {
  constexpr int kBar = 20;
  const double bounded = fraction >= 0 ? std::min(fraction, 1.0) : 0.0;  // a NaN is no progress
  const int filled = static_cast<int>(bounded * kBar);
  std::string line = fmt::format("[{:#>{}}{:->{}}] {:3.0f}%  {}", "", filled, "", kBar - filled,
                                 std::floor(100 * bounded), text);
  if (seconds_left >= 0) line += fmt::format("  {} left", format_duration(seconds_left));
  return std::string(first_codepoints(line, static_cast<size_t>(std::max(width, 0))));
}

void print_above_progress(std::string_view line) {
  const std::lock_guard lock(terminal().mutex);
  const std::string& shown = terminal().shown;
  // One write, so that lines of several threads or processes do not mix.
  const std::string text =
      shown.empty() ? fmt::format("{}\n", line) : fmt::format("{}{}\n{}", kEraseLine, line, shown);
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

Progress::Progress() : start_(Clock::now()) {}

Progress::~Progress() { finish(); }

void Progress::update(double fraction, std::string_view text) {
  if (first_fraction_ < 0) first_fraction_ = fraction;
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  const double done = fraction - first_fraction_;
  update(fraction, text, done > 0 ? elapsed * (1 - fraction) / done : -1);
}

void Progress::update(double fraction, std::string_view text, double seconds_left) {
  // The last column stays free: a terminal may start a new line after writing there.
  if (due()) show(progress_line(fraction, text, seconds_left, terminal_width() - 1));
}

void Progress::update(std::string_view text) {
  if (due())
    show(std::string(
        first_codepoints(text, static_cast<size_t>(std::max(terminal_width() - 1, 0)))));
}

bool Progress::due() {
  const Clock::time_point now = Clock::now();
  const bool first = drawn_ == Clock::time_point{};
  if ((!first && now - drawn_ < std::chrono::milliseconds(100)) || !on_terminal()) return false;
  drawn_ = now;
  return true;
}

void Progress::show(std::string line) {
  const std::lock_guard lock(terminal().mutex);
  terminal().shown_by = this;
  terminal().shown = std::move(line);
  fmt::print(stderr, "{}{}", kEraseLine, terminal().shown);
  std::fflush(stderr);
}

void Progress::finish() {
  const std::lock_guard lock(terminal().mutex);
  if (terminal().shown_by != this) return;
  terminal().shown_by = nullptr;
  terminal().shown.clear();
  fmt::print(stderr, "{}", kEraseLine);
  std::fflush(stderr);
}

void LineProgress::update(int64_t lines) {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  std::string text = fmt::format("{} lines {}", lines, done_);
  if (lines > 0)
    text +=
        fmt::format(", {:.0f} a second", std::floor(static_cast<double>(lines) / elapsed.count()));
  if (total_ > 0) {
    progress_.update(static_cast<double>(lines) / static_cast<double>(total_), text);
  } else {
    progress_.update(text);
  }
}

}  // namespace dragoman
