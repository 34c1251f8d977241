#include "core/profile.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <utility>

#include "core/check.h"

namespace dragoman {
namespace {

thread_local Profile* current = nullptr;

std::string name_of(const Profile::Event& event) {
  return std::string(event.operation) +
         (event.pass == Profile::Pass::kBackward ? ", backward" : "");
}

}  // namespace

Profile::Profile(std::function<void()> wait) : wait_(std::move(wait)) {
  check(current == nullptr, "a profile is being taken already");
  if (wait_) wait_();
  begin_ = Clock::now();
  current = this;
}

double Profile::now() const {
  if (wait_) wait_();
  return std::chrono::duration<double>(Clock::now() - begin_).count();
}

Profile::~Profile() { current = nullptr; }

bool Profile::lives() { return current != nullptr; }

void Profile::mark(std::string_view operation, Pass pass) {
  Profile* const profile = current;
  if (profile == nullptr) return;
  const double now = profile->now();
  profile->events_.push_back(
      {operation, pass, profile->last_, now - profile->last_, profile->flops_});
  profile->last_ = now;
  profile->flops_ = 0;
}

void Profile::count(double flops) {
  if (current != nullptr) current->flops_ += flops;
}

void Profile::skip() {
  if (current == nullptr) return;
  current->last_ = current->now();
  current->flops_ = 0;
}

std::vector<Profile::Line> Profile::lines() const {
  std::map<std::string, Line> sums;
  for (const Event& event : events_) {
    const std::string name = name_of(event);
    Line& line = sums[name];
    line.name = name;
    ++line.calls;
    line.seconds += event.seconds;
    line.flops += event.flops;
  }
  std::vector<Line> lines;
  for (auto& [name, line] : sums) lines.push_back(line);
  std::ranges::stable_sort(lines, std::ranges::greater(), &Line::seconds);
  return lines;
}

std::string Profile::chrome_trace() const {
  std::string text = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [";
  for (const Event& event : events_) {
    text += fmt::format(
        "{}\n{{\"name\": \"{}\", \"ph\": \"X\", \"pid\": 1, \"tid\": 1, \"ts\": {:.3f}, \"dur\": "
        "{:.3f}, \"args\": {{\"gflops\": {:.1f}}}}}",
        &event == events_.data() ? "" : ",", name_of(event), 1e6 * event.begin, 1e6 * event.seconds,
        event.seconds > 0 ? 1e-9 * event.flops / event.seconds : 0);
  }
  return text + "\n]}\n";
}

std::string profile_table(const std::vector<Profile::Line>& lines, int64_t steps) {
  double total = 0;
  for (const Profile::Line& line : lines) total += line.seconds;
  const auto per_step = static_cast<double>(steps);
  std::string text = fmt::format("{:<32}{:>10}{:>10}{:>8}{:>10}\n", "operation", "calls", "ms",
                                 "share", "GFLOP/s");
  for (const Profile::Line& line : lines) {
    text +=
        fmt::format("{:<32}{:>10.1f}{:>10.3f}{:>7.1f}%{:>10}\n", line.name,
                    static_cast<double>(line.calls) / per_step, 1e3 * line.seconds / per_step,
                    100 * line.seconds / total,
                    line.flops > 0 ? fmt::format("{:.1f}", 1e-9 * line.flops / line.seconds) : "");
  }
  return text;
}

int64_t peak_memory_of_process() {
  // Rather than getrusage(), whose peak no reset reaches.
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

void reset_peak_memory_of_process() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace dragoman
