#include "tensor/cpu/threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "core/check.h"
#include "temporary_directory.h"
#include "tensor/cpu/fair_threads.h"

namespace dragoman {
namespace {

using testing::Each;

TEST(Threads, AreSetAndRead) {
  set_thread_count(3);
  EXPECT_EQ(thread_count(), 3);
  set_thread_count(1);
  EXPECT_EQ(thread_count(), 1);
  set_thread_count(0);
  EXPECT_GE(thread_count(), 1);
  EXPECT_THROW(set_thread_count(-1), Error);
}

// What `search` comes to where n threads do `rates[n - 1]` a second, one of which is kept waiting
// for a part of its time: the number in each period.
std::vector<int> numbers_of_threads(ThreadSearch& search, const std::vector<double>& rates,
                                    double waiting, double seconds) {
  std::vector<int> numbers;
  size_t now = rates.size() - 1;
  for (double time = 0; time < seconds; time += 0.25) {
    const double waited = now + 1 == rates.size() ? waiting * 0.25 : 0;
    const int number = search.after({.seconds = 0.25, .waited = waited, .work = rates[now] * 0.25});
    numbers.push_back(number);
    now = static_cast<size_t>(number) - 1;
  }
  return numbers;
}

TEST(ThreadSearch, StaysWithAllWhileNoneWaits) {
  ThreadSearch search(3, 3);
  EXPECT_THAT(numbers_of_threads(search, {9, 5, 1}, 0.1, 10), Each(3)) << "it has no reason to try";
}

TEST(ThreadSearch, TakesFewerWhereTheyDoMoreAndTriesAgainLessAndLessOften) {
  ThreadSearch search(3, 3);
  const std::vector<int> numbers = numbers_of_threads(search, {1, 2, 1}, 0.8, 100);
  EXPECT_EQ(numbers[0], 2) << "at once";
  EXPECT_LT(std::ranges::count(numbers, 3), 12);
  EXPECT_GT(std::ranges::count(std::span(numbers).last(100), 3), 0) << "the others may be gone";
  EXPECT_EQ(std::ranges::count(numbers, 1), 0) << "with two none waits";
}

TEST(ThreadSearch, KeepsAllWhereFewerDoLess) {
  ThreadSearch search(2, 2);
  const std::vector<int> numbers = numbers_of_threads(search, {5, 6}, 0.8, 100);
  EXPECT_LT(std::ranges::count(numbers, 1), 12);
}

TEST(ThreadSearch, ReturnsToAllWhenTheOthersAreGone) {
  ThreadSearch search(4, 1);
  const std::vector<int> numbers = numbers_of_threads(search, {1, 2, 3, 4}, 0, 10);
  EXPECT_THAT(std::span(numbers).last(20), Each(4));
}

// Goes on until `done` or for that many seconds; whether it was done.
bool comes_true(double seconds, const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

TEST(FairThreads, TryFewerWhileTheProcessorsAreBusy) {
  if (!std::filesystem::exists("/proc/self/schedstat"))
    GTEST_SKIP() << "this system does not say how long threads wait";
  set_thread_count(2);
  std::atomic<bool> stop = false;
  const auto spin = [&] {
    while (!stop) {
    }
  };
  std::vector<std::jthread> others;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i) others.emplace_back(spin);
  FairThreads threads;
  EXPECT_TRUE(comes_true(30, [&] {
    threads.after(1);
    return thread_count() == 1;
  }));
  stop = true;
  EXPECT_EQ(most_threads(), 2);
  set_thread_count(0);
}

// Writes the files of control groups, and the list of those of a process.
class ControlGroups : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& line) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << line << '\n';
  }
  int processors(const std::string& groups) const {
    write("self", groups);
    return control_group_processors(root_, root_ / "self");
  }

  const TemporaryDirectory root_;
};

TEST_F(ControlGroups, WithoutALimitThereIsNone) {
  EXPECT_EQ(control_group_processors(root_, root_ / "nowhere"), 0);
  write("cpu.max", "max 100000");
  EXPECT_EQ(processors("0::/"), 0);
  write("cpu/cpu.cfs_quota_us", "-1");
  write("cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(processors("1:cpu:/"), 0);
}

TEST_F(ControlGroups, TheTightestOfAGroupAndItsParentsCounts) {
  write("cpu.max", "max 100000");
  write("a/cpu.max", "150000 100000");
  write("a/b/cpu.max", "400000 100000");
  EXPECT_EQ(processors("0::/a/b"), 2) << "one and a half, rounded up";
  EXPECT_EQ(processors("0::/elsewhere"), 0);
}

TEST_F(ControlGroups, OfTheFirstVersionLieByController) {
  write("cpu,cpuacct/box/cpu.cfs_quota_us", "300000");
  write("cpu,cpuacct/box/cpu.cfs_period_us", "100000");
  EXPECT_EQ(processors("3:cpuset:/box\n4:cpu,cpuacct:/box\n0::/"), 3);
  EXPECT_EQ(processors("3:cpuset:/box\n0::/"), 0);
}

}  // namespace
}  // namespace dragoman
