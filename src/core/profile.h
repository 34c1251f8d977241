// Where the time goes, and how much memory was used. The engine makes one operation after the other
// on one thread, which gives parts of it to others; so a profile is a sequence of marks, each of
// which says what the time since the last one was spent on.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace dragoman {

/// While one lives, what its thread computes is timed. A thread has one at a time.
class Profile {
 public:
  /// `wait`, if given, is called before each look at the clock: for a device that works on while
  /// the program goes ahead.
  explicit Profile(std::function<void()> wait = {});
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  enum class Pass { kForward, kBackward };

  /// One operation: when it began, in seconds since the profile did, and how long it took.
  struct Event {
    std::string_view operation;
    Pass pass = Pass::kForward;
    double begin = 0;
    double seconds = 0;
    double flops = 0;  ///< Of matrix products: a multiplication and an addition are two.
  };

  /// All calls of an operation in one direction.
  struct Line {
    std::string name;  ///< Of the operation; "NAME, backward".
    int64_t calls = 0;
    double seconds = 0;
    double flops = 0;
  };

  /// Whether this thread has one.
  static bool lives();
  /// The time since the last mark was spent on `operation`, a literal. Does nothing, at the cost of
  /// a test, where no profile lives; so do the next two.
  static void mark(std::string_view operation, Pass pass = Pass::kForward);
  /// Counts arithmetic towards the operation that is marked next.
  static void count(double flops);
  /// The time since the last mark was nobody's.
  static void skip();

  const std::vector<Event>& events() const { return events_; }
  /// The sums over the events, longest first.
  std::vector<Line> lines() const;
  /// The events for a viewer such as https://ui.perfetto.dev: JSON in the Trace Event Format.
  std::string chrome_trace() const;

 private:
  using Clock = std::chrono::steady_clock;
  double now() const;

  std::function<void()> wait_;
  Clock::time_point begin_;
  double last_ = 0;
  double flops_ = 0;
  std::vector<Event> events_;
};

/// The lines as a table for people, times and calls divided by `steps`.
std::string profile_table(const std::vector<Profile::Line>& lines, int64_t steps);

/// The most memory that the process has had in use since its start or the last reset, in bytes.
int64_t peak_memory_of_process();

/// Makes the present use the peak. Where the system does not allow it, the peak stays that of all
/// of the process.
void reset_peak_memory_of_process();

}  // namespace dragoman
