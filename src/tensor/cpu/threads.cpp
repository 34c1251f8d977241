#include "tensor/cpu/threads.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>

#include "core/check.h"

namespace dragoman {
namespace {

// Rounds of spinning before a thread sleeps: long enough for the pauses between the operations of a
// training step. A default of OpenMP's is 300 times as long, and cost two thirds of the speed
// beside one busy process on two processors; this cost half, what is fair, and alone it cost
// nothing.
constexpr const char* kSpins = "1000";

// `quota` microseconds of each `period`, in processors; 0 where one of them is no number.
double processors(const std::string& quota, const std::string& period) {
  const double time = std::atof(quota.c_str()), of = std::atof(period.c_str());
  return time > 0 && of > 0 ? time / of : 0;
}

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The tightest limit of a group and those that it is in, in processors; 0 where there is none.
template <class Limit>
double tightest(const std::filesystem::path& mount, std::filesystem::path group, Limit limit) {
  double least = 0;
  while (true) {
    const double here = limit(mount / group.relative_path());
    if (here > 0 && (least == 0 || here < least)) least = here;
    if (!group.has_relative_path()) return least;
    group = group.parent_path();
  }
}

double limit_of_version_2(const std::filesystem::path& directory) {
  const std::string line = first_line(directory / "cpu.max");  // "QUOTA PERIOD" or "max PERIOD"
  const size_t space = line.find(' ');
  return space == std::string::npos ? 0 : processors(line.substr(0, space), line.substr(space + 1));
}

double limit_of_version_1(const std::filesystem::path& directory) {
  return processors(first_line(directory / "cpu.cfs_quota_us"),
                    first_line(directory / "cpu.cfs_period_us"));
}

int threads_of_start() {
  // What OpenMP starts with heeds OMP_NUM_THREADS and the processors that this process may use.
  const int all = omp_get_max_threads();
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return all;
  const int granted = control_group_processors();
  return granted > 0 ? std::min(all, granted) : all;
}

int start_threads() {
  static const int threads = threads_of_start();
  return threads;
}

std::atomic<int>& threads_set() {
  static std::atomic<int> threads = start_threads();
  return threads;
}

// How often the number was set: what a thread chose for itself holds until the next time.
std::atomic<int> times_set = 0;

struct Choice {
  int threads;
  int times_set;
};
thread_local Choice chosen{0, -1};

}  // namespace

int thread_count() {
  const int most = most_threads();
  return chosen.times_set == times_set ? std::min(chosen.threads, most) : most;
}

void set_thread_count(int threads) {
  check(threads >= 0, "threads must be 0 (all) or more, not {}", threads);
  threads_set() = threads == 0 ? start_threads() : threads;
  ++times_set;
}

int most_threads() { return threads_set(); }

void use_threads(int threads) { chosen = {threads, times_set}; }

void wait_politely(char** arguments) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  ::setenv("GOMP_SPINCOUNT", kSpins, 1);
  ::execv("/proc/self/exe", arguments);
  // Here only where that is not possible: the program works as well, but waits as it did.
}

int control_group_processors(const std::filesystem::path& root, const std::filesystem::path& self) {
  std::ifstream file(self);
  double least = 0;
  for (std::string line; std::getline(file, line);) {  // ID:CONTROLLERS:GROUP
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::filesystem::path group = line.substr(second + 1);
    double limit = 0;
    if (controllers.empty()) {
      limit = tightest(root, group, limit_of_version_2);
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      limit = tightest(root / controllers, group, limit_of_version_1);
    }
    if (limit > 0 && (least == 0 || limit < least)) least = limit;
  }
  return static_cast<int>(std::ceil(least));
}

}  // namespace dragoman
