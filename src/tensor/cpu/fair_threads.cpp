#include "tensor/cpu/fair_threads.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "tensor/cpu/threads.h"

namespace dragoman {
namespace {

// Processors' worth of waiting that is nothing to look into: a busy program takes half of one.
constexpr double kTolerated = 0.15;

constexpr double kFirstPatience = 0.5, kMostPatience = 16;

// Seconds of a period at least. What is decided after one may be wrong, and is tried again.
constexpr double kPeriod = 0.2;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

int ThreadSearch::after(const Period& period) {
  const double rate = period.work / period.seconds, missing = period.waited / period.seconds;
  left_ -= period.seconds;
  if (before_ != 0) {
    const bool better = rate > rate_;
    patience_ = better ? kFirstPatience : std::min(2 * patience_, kMostPatience);
    left_ = patience_;
    if (!better) now_ = before_;
    before_ = 0;
  } else if (left_ <= 0 && (missing > kTolerated || now_ < most_)) {
    const bool fewer = missing > kTolerated && now_ > 1;
    before_ = now_;
    rate_ = rate;
    now_ = fewer ? std::max(1, now_ - std::max(1, static_cast<int>(std::lround(missing))))
                 : std::min(most_, now_ + 1);
  }
  return now_;
}

double waited_for_processors() {
  double total = 0;
  std::error_code none;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", none)) {
    double ran = 0, waited = 0;  // nanoseconds
    std::ifstream(task.path() / "schedstat") >> ran >> waited;
    total += waited;
  }
  return total * 1e-9;
}

FairThreads::FairThreads()
    : search_(most_threads(), thread_count()),
      begin_(seconds_now()),
      waited_(waited_for_processors()) {}

void FairThreads::after(double work) {
  work_ += work;
  const double now = seconds_now();
  if (most_threads() == 1 || now - begin_ < kPeriod) return;
  const double waited = waited_for_processors();  // less than before where a thread has ended
  use_threads(search_.after({now - begin_, std::max(0.0, waited - waited_), work_}));
  begin_ = now;
  waited_ = waited;
  work_ = 0;
}

}  // namespace dragoman
