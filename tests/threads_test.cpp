#include "tensor/cpu/threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/check.h"
#include "temporary_directory.h"
#include "tensor/cpu/fair_threads.h"
#include "tensor/cpu/launch_cpu.h"
#include "tensor/gemm.h"
#include "tensor/tensor.h"

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

// The threads of an operation that the caller launches.
int threads_of_a_launch() {
  std::atomic<int> threads = 0;
  launch::cpu::rows(64, 1 << 12, [&](Lane, int64_t) { threads = omp_get_num_threads(); });
  return threads;
}

std::set<std::string> threads_of_process() {
  std::set<std::string> ids;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task"))
    ids.insert(task.path().filename());
  return ids;
}

TEST(Threads, HoldForWhateverThreadLaunches) {
  const int threads = most_threads() + 1;  // a number that no thread has from the start
  set_thread_count(threads);
  EXPECT_EQ(threads_of_a_launch(), threads);
  std::jthread([=] {
    EXPECT_EQ(thread_count(), threads);
    EXPECT_EQ(threads_of_a_launch(), threads);
  }).join();
  set_thread_count(0);
}

TEST(Threads, HoldForProductsOfWhateverThreadLaunches) {
  const int threads = most_threads() + 1;
  set_thread_count(threads);
  for (const DType type : {DType::kReal, DType::kBf16}) {
    if (type == DType::kBf16 && !has_bf16_products(Device{})) continue;
    for (const bool transpose_a : {false, true}) {
      const int64_t n = 512;
      const Tensor a = convert(Tensor::zeros({n, n}), type), c = Tensor::zeros({n, n});
      const Gemm product{.m = n,
                         .n = n,
                         .k = n,
                         .inputs = type,
                         .a = a.address(),
                         .lda = n,
                         .transpose_a = transpose_a,
                         .b = a.address(),
                         .ldb = n,
                         .c = c.data(),
                         .ldc = n};
      const std::set<std::string> before = threads_of_process();
      std::jthread([&] {
        gemm(Device{}, product);
        int made = 0;  // others, of a thread that has ended, may still be about to end
        for (const std::string& id : threads_of_process()) made += before.count(id) == 0 ? 1 : 0;
        EXPECT_EQ(made, threads) << "that thread and its helpers";
      }).join();
    }
  }
  set_thread_count(0);
}

TEST(Threads, MayBeFewerForOneThatChoseSo) {
  set_thread_count(3);
  use_threads(2);
  EXPECT_EQ(thread_count(), 2);
  EXPECT_EQ(most_threads(), 3);
  std::jthread([] {
    EXPECT_EQ(thread_count(), 3);
    use_threads(1);
    EXPECT_EQ(thread_count(), 1);
  }).join();
  EXPECT_EQ(threads_of_a_launch(), 2);
  set_thread_count(4);
  EXPECT_EQ(thread_count(), 4) << "what is set for all holds at once";
  use_threads(5);
  EXPECT_EQ(thread_count(), 4) << "it is not more than that";
  set_thread_count(0);
}

// The work of several threads that each launch, allocate, and give back what another allocated.
TEST(Threads, LaunchAndAllocateAtOnce) {
  const auto work = [](int64_t seed) {
    constexpr int64_t kRows = 300, kColumns = 70;
    const Tensor x = iota(kRows * kColumns, Device{}, static_cast<int32_t>(seed));
    const Tensor sums = Tensor::empty({kColumns}), total = Tensor::empty({kRows});
    launch::cpu::sum_rows(
        kRows, kColumns,
        launch::ColumnSums{sums.data(), false, [in = x.data<int32_t>()](int64_t row, int64_t c) {
                             return static_cast<float>(in[row * kColumns + c]);
                           }});
    launch::cpu::tasks(kRows, kColumns, kRows * kColumns,
                       [from = sums.data(), to = total.data()](Lane, int64_t task, float* scratch) {
                         std::copy_n(from, kColumns, scratch);
                         to[task] = scratch[task % kColumns];
                       });
    return total;
  };
  const size_t before = Allocator::of(Device{}).statistics().in_use;
  {
    std::vector<Tensor> results(40);
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (size_t i = t; i < results.size(); i += 4) results[i] = work(static_cast<int64_t>(i));
      });
    }
    threads.clear();
    for (size_t i = 0; i < results.size(); ++i) {
      EXPECT_EQ(results[i].to_host(), work(static_cast<int64_t>(i)).to_host());
      results[i] = {};
    }
  }
  EXPECT_LE(Allocator::of(Device{}).statistics().in_use, before + (1 << 20)) << "but for scratch";
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
