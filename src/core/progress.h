// A live progress bar on a terminal; elsewhere nothing, so that logs hold plain lines only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace dragoman {

/// A duration to read: "4.2s", "42s", "3m05s", "1h02m", "2d03h".
std::string format_duration(double seconds);

/// The last line of the terminal on standard error. Log lines appear above it. One is shown at a
/// time: of several alive, the one updated last. Erased by `finish` and by destruction.
class Progress {
 public:
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows `fraction` in [0, 1], `text` and the time left. Cheap: redraws ten times a second.
  void update(double fraction, std::string_view text);

  /// Shows `fraction`, `text` and the given time left in seconds (negative: unknown).
  void update(double fraction, std::string_view text, double seconds_left);

  /// Shows `text` alone, of work that has no known end.
  void update(std::string_view text);

  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  bool due();
  void show(std::string line);

  Clock::time_point start_;
  Clock::time_point drawn_;
  /// The fraction of the first update: the work done before, in a run that is continued.
  double first_fraction_ = -1;
};

/// Shows how many lines of a text are done, and of how many: "[##...]  12%  512 lines translated,
/// 380 a second  10s left".
class LineProgress {
 public:
  /// `done` is what becomes of them: "translated". `total` is 0 where it is not known.
  LineProgress(std::string done, int64_t total) : done_(std::move(done)), total_(total) {}
  void update(int64_t lines);
  void finish() { progress_.finish(); }

 private:
  std::string done_;
  int64_t total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Progress progress_;
};

/// The bar as text of at most `width` columns: "[#####-----]  50%  text  3m05s left".
std::string progress_line(double fraction, std::string_view text, double seconds_left, int width);

/// Prints `line` and a line break to standard error, above the progress bar if one is shown.
void print_above_progress(std::string_view line);

}  // namespace dragoman
