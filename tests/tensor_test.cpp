// Tensors, their memory, devices, and how work is launched on them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <numeric>
#include <thread>

#include "core/check.h"
#include "random_numbers.h"
#include "tensor/cpu/launch_cpu.h"
#include "tensor/cpu/threads.h"
#include "tensor/gemm.h"
#include "tensor/graph.h"
#include "tensor/tensor.h"

// The address sanitizer would end the program where the allocator reports that memory is short.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

namespace dragoman {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using testing::ThrowsMessage;

// Shapes and tensors ------------------------------------------------------------------------------

TEST(Shape, HasExtentsSizeAndText) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape[1], 3);
  EXPECT_EQ(shape.size(), 24);
  EXPECT_EQ(to_string(shape), "[2, 3, 4]");
  EXPECT_EQ(Shape{}.size(), 1);
  EXPECT_EQ((Shape{5, 0}.size()), 0);
  EXPECT_TRUE((shape == Shape{2, 3, 4}));
  EXPECT_FALSE((shape == Shape{2, 12}));
  EXPECT_FALSE((Shape{2} == Shape{2, 0}));
}

TEST(Shape, RejectsNegativeExtentsAndFiveAxes) {
  EXPECT_THROW((Shape{2, -1}), Error);
  EXPECT_THROW((Shape{1, 1, 1, 1, 1}), Error);
}

TEST(Tensor, HoldsValuesOfEitherType) {
  const Tensor numbers = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(numbers.rows(), 2);
  EXPECT_EQ(numbers.columns(), 3);
  EXPECT_THAT(numbers.to_host(), ElementsAre(1, 2, 3, 4, 5, 6));
  const Tensor ids = Tensor::from(std::vector<int32_t>{7, 8});
  EXPECT_TRUE(ids.shape() == Shape{2});
  EXPECT_THAT(ids.to_host<int32_t>(), ElementsAre(7, 8));
  EXPECT_THROW(ids.data<float>(), Error);
  EXPECT_THROW(numbers.data<int32_t>(), Error);
}

TEST(Tensor, RowsAreAllAxesButTheLast) {
  const Tensor tensor = Tensor::zeros({2, 3, 4});
  EXPECT_EQ(tensor.rows(), 6);
  EXPECT_EQ(tensor.columns(), 4);
  EXPECT_EQ(Tensor::zeros({4}).rows(), 1);
  EXPECT_EQ(Tensor::zeros({0, 4}).rows(), 0);
}

TEST(Tensor, RejectsValuesThatDoNotFill) {
  EXPECT_THAT(
      [] {
        Tensor::from(std::vector<float>{1, 2, 3}, {2, 2});
      },
      ThrowsMessage<Error>(HasSubstr("3 values do not fill a tensor [2, 2]")));
}

TEST(Tensor, UndefinedCannotBeRead) {
  const Tensor tensor;
  EXPECT_FALSE(tensor.defined());
  EXPECT_THROW(tensor.data(), Error);
}

TEST(Tensor, ViewsShareMemoryAndClonesDoNot) {
  const Tensor tensor = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {3, 2});
  EXPECT_TRUE(tensor.unique());
  const Tensor rows = tensor.slice_rows(1, 3);
  const Tensor flat = rows.reshape({4});
  const Tensor middle = rows.view(1, {2});
  const Tensor copy = rows.clone();
  EXPECT_FALSE(tensor.unique());
  rows.data()[1] = 40;
  EXPECT_THAT(tensor.to_host(), ElementsAre(1, 2, 3, 40, 5, 6));
  EXPECT_THAT(flat.to_host(), ElementsAre(3, 40, 5, 6));
  EXPECT_THAT(middle.to_host(), ElementsAre(40, 5));
  EXPECT_THAT(copy.to_host(), ElementsAre(3, 4, 5, 6));
  rows.clear();
  EXPECT_THAT(tensor.to_host(), ElementsAre(1, 2, 0, 0, 0, 0));
  rows.copy_from(copy);
  EXPECT_THAT(tensor.to_host(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(Tensor, ViewsStayInside) {
  const Tensor tensor = Tensor::zeros({3, 2});
  const Tensor rows = tensor.slice_rows(1, 2);
  EXPECT_THROW(tensor.reshape({5}), Error);
  EXPECT_THROW(tensor.slice_rows(2, 4), Error);
  EXPECT_THROW(tensor.slice_rows(2, 1), Error);
  EXPECT_THROW(tensor.view(5, {2}), Error);
  EXPECT_THROW(rows.view(1, {2}), Error);
  EXPECT_THROW(tensor.copy_from(rows), Error);
  EXPECT_THROW(tensor.copy_from(Tensor::zeros({3, 2}, DType::kInt32)), Error);
}

TEST(Tensor, MayHaveNoRows) {
  const Tensor tensor = Tensor::empty({0, 3});
  EXPECT_TRUE(tensor.defined());
  EXPECT_TRUE(tensor.to_host().empty());
  EXPECT_EQ(tensor.clone().rows(), 0);
}

TEST(Bf16, TensorsAreConvertedThereAndBack) {
  const Tensor x = Tensor::from(std::vector<float>{1, -0.5f, 3.14159f});
  const Tensor low = convert(x, DType::kBf16);
  EXPECT_EQ(low.dtype(), DType::kBf16);
  EXPECT_EQ(convert(low, DType::kReal).to_host(), (std::vector<float>{1, -0.5f, 3.140625f}));
  EXPECT_EQ(convert(x, DType::kReal).data(), x.data()) << "nothing to do";
  EXPECT_THROW(low.data(), Error);
}

// The allocator -----------------------------------------------------------------------------------

TEST(Allocator, CountsAndReusesMemory) {
  Allocator& allocator = Allocator::of(Device{});
  allocator.release_cached();
  const AllocatorStatistics before = allocator.statistics();
  allocator.reset_peak();
  const void* first_address = nullptr;
  {
    const Tensor tensor = Tensor::empty({1000, 1000});
    first_address = tensor.data();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first_address) % 64, 0u);
    const AllocatorStatistics now = allocator.statistics();
    EXPECT_GE(now.in_use, before.in_use + 4'000'000);
    EXPECT_LE(now.in_use, before.in_use + 4'500'000) << "at most an eighth is lost";
    EXPECT_EQ(now.peak, now.in_use);
    EXPECT_EQ(now.system_calls, before.system_calls + 1);
  }
  EXPECT_EQ(allocator.statistics().in_use, before.in_use);
  EXPECT_GE(allocator.statistics().reserved, before.reserved + 4'000'000) << "kept for reuse";
  // A batch of nearly the same size takes the same memory.
  const Tensor again = Tensor::empty({999, 1000});
  EXPECT_EQ(again.data(), first_address);
  const AllocatorStatistics after = allocator.statistics();
  EXPECT_EQ(after.allocations, before.allocations + 2);
  EXPECT_EQ(after.system_calls, before.system_calls + 1);
}

TEST(Allocator, ReturnsWhatNobodyHolds) {
  Allocator& allocator = Allocator::of(Device{});
  Tensor::empty({1000});
  allocator.release_cached();
  const AllocatorStatistics statistics = allocator.statistics();
  EXPECT_EQ(statistics.reserved, statistics.in_use);
}

TEST(Allocator, PeakIsOfOnePhase) {
  Allocator& allocator = Allocator::of(Device{});
  Tensor::empty({100'000});
  const size_t large = allocator.statistics().peak;
  allocator.reset_peak();
  Tensor::empty({10});
  EXPECT_LT(allocator.statistics().peak, large);
}

TEST(Allocator, PoisonShowsAsNaNAndMinusOne) {
  Allocator::of(Device{}).set_poison(true);
  const std::vector<float> numbers = Tensor::empty({100}).to_host();
  const std::vector<int32_t> ids = Tensor::empty({100}, DType::kInt32).to_host<int32_t>();
  Allocator::of(Device{}).set_poison(false);
  EXPECT_TRUE(std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isnan(x); }));
  EXPECT_THAT(ids, testing::Each(-1));
}

TEST(Allocator, TellsTheAddressSanitizerWhatMayBeTouched) {
#if defined(__SANITIZE_ADDRESS__)
  const float* of_the_last = nullptr;
  {
    const Tensor tensor = Tensor::zeros({70});  // of a block of 320 bytes
    of_the_last = tensor.data();
    EXPECT_EQ(of_the_last[69], 0);
    EXPECT_DEATH(EXPECT_EQ(of_the_last[70], 0), "use-after-poison");
  }
  EXPECT_DEATH(EXPECT_EQ(of_the_last[0], 0), "use-after-poison");
#else
  GTEST_SKIP() << "for a build with the address sanitizer";
#endif
}

TEST(Allocator, SaysHowMuchWasAskedFor) {
  EXPECT_THAT([] { Tensor::empty({int64_t{1} << 50}); },
              ThrowsMessage<OutOfMemory>(
                  AllOf(HasSubstr("out of memory on cpu"), HasSubstr("MiB were asked for"))));
}

TEST(Allocator, AtItsLimitGivesUpWhatItKeepsAndThenFails) {
  for (const Device device : all_devices()) {
    constexpr int64_t kLarge = 1 << 20, kSmall = kLarge / 16;
    Allocator& allocator = Allocator::of(device);
    allocator.release_cached();
    const size_t before = allocator.statistics().reserved;
    allocator.set_limit(before + 6 * kLarge);  // bytes: one large tensor and a half
    const auto make = [&](int64_t size) { return Tensor::empty({size}, DType::kReal, device); };
    {
      const Tensor held = make(kLarge);
      EXPECT_THROW(make(kLarge), OutOfMemory);
      EXPECT_NO_THROW(make(kSmall)) << "a failure takes nothing";
    }
    EXPECT_NO_THROW(make(kLarge + kLarge / 4)) << "the large one was kept, and is in the way";
    EXPECT_LE(allocator.statistics().peak_reserved, before + 6 * kLarge);
    allocator.set_limit(std::numeric_limits<size_t>::max());
  }
}

// Devices -----------------------------------------------------------------------------------------

TEST(Devices, AreFoundByName) {
  EXPECT_EQ(find_device("cpu"), Device{});
  EXPECT_EQ(find_device("auto"), all_devices().size() > 1 ? all_devices()[1] : Device{});
  EXPECT_EQ(why_no_gpu().empty(), all_devices().size() > 1);
  for (const Device device : all_devices()) {
    EXPECT_EQ(find_device(to_string(device)), device);
    EXPECT_THAT(describe(device), StartsWith(to_string(device)));
  }
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda0", "CPU"}) {
    EXPECT_THAT([&] { find_device(name, "--device"); },
                ThrowsMessage<UsageError>(StartsWith(
                    fmt::format("--device: there is no device '{}': write auto, cpu, ", name))));
  }
}

TEST(Devices, SayWhyTheyCannotBeHad) {
  const bool there = all_devices().size() > 1;
  EXPECT_THAT(
      [] { find_device("cuda:99", "--device"); },
      ThrowsMessage<Error>(AllOf(StartsWith("--device: the device 'cuda:99' cannot be had: "),
                                 HasSubstr(there ? "this machine has" : why_no_gpu()))));
  if (there) return;
  EXPECT_THAT([] { find_device("cuda"); },
              ThrowsMessage<Error>("the device 'cuda' cannot be had: " + why_no_gpu()));
}

// Launchers ---------------------------------------------------------------------------------------

// Runs `work`, which fills a vector, with 1, 2 and 3 threads, and expects the same bits.
template <class Work>
std::vector<float> same_for_all_threads(Work work) {
  set_thread_count(1);
  const std::vector<float> one = work();
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    EXPECT_EQ(work(), one) << threads << " threads";
  }
  set_thread_count(0);
  return one;
}

// Several products --------------------------------------------------------------------------------

// Small whole numbers, whose products are exact in any order.
Tensor whole_numbers(const Shape& shape, uint64_t seed, DType type, Device device) {
  std::vector<real> numbers = random_numbers(shape.size(), seed);
  for (real& number : numbers) number = std::round(4 * number);
  return convert(Tensor::from(numbers, shape, device), type);
}

TEST(Gemm, OfSeveralIsThatOfEach) {
  const int64_t m = 24, n = 40, k = 72;
  for (const Device device : all_devices()) {
    for (const DType type : {DType::kReal, DType::kBf16}) {
      if (type == DType::kBf16 && !has_bf16_products(device)) continue;
      for (const bool accumulate : {false, true}) {
        std::vector<Tensor> kept, one, several;
        std::vector<Gemm> products;
        for (size_t i = 0; i < kMostProducts; ++i) {
          const Tensor a = whole_numbers({k, m}, 2 * i, type, device);
          const Tensor b = whole_numbers({k, n}, 2 * i + 1, type, device);
          one.push_back(whole_numbers({m, n}, 99, DType::kReal, device));
          several.push_back(one.back().clone());
          Gemm g{.m = m, .n = n, .k = k, .inputs = type, .transpose_a = true};
          g.a = a.address(), g.lda = m;
          g.b = b.address(), g.ldb = n;
          g.c = one.back().address(), g.ldc = n;
          g.accumulate = accumulate;
          gemm(device, g);
          g.c = several.back().address();
          products.push_back(g);
          kept.insert(kept.end(), {a, b});
        }
        gemm_each(device, products);
        for (size_t i = 0; i < one.size(); ++i) {
          EXPECT_EQ(one[i].to_host(), several[i].to_host()) << to_string(device) << i;
        }
      }
    }
  }
}

TEST(Gemm, OfSeveralWantsThemAlike) {
  const Tensor x = Tensor::zeros({4});
  Gemm g{.m = 2, .n = 2, .k = 1};
  g.a = g.b = g.c = x.address();
  g.lda = g.ldb = g.ldc = 2;
  Gemm other = g;
  other.m = 1;
  EXPECT_THROW(gemm_each(Device{}, std::vector{g, other}), Error);
  other = g;
  other.relu = true;
  EXPECT_THROW(gemm_each(Device{}, std::vector{g, other}), Error);
  EXPECT_THROW(gemm_each(Device{}, std::vector<Gemm>(kMostProducts + 1, g)), Error);
  gemm_each(Device{}, {});
}

// Below and above the size that is worth threads, and no multiple of a block.
class LaunchTest : public testing::TestWithParam<std::pair<int64_t, int64_t>> {};

INSTANTIATE_TEST_SUITE_P(, LaunchTest,
                         testing::Values(std::pair{0, 3}, std::pair{1, 1}, std::pair{3, 65},
                                         std::pair{257, 100}, std::pair{100, 1000}));

TEST_P(LaunchTest, MapVisitsEveryElementOnce) {
  const int64_t n = GetParam().first * GetParam().second;
  const auto values = same_for_all_threads([n] {
    std::vector<float> out(static_cast<size_t>(n));
    launch::cpu::map(n, [to = out.data()](int64_t i) { to[i] += static_cast<float>(i) + 1; });
    return out;
  });
  for (int64_t i = 0; i < n; ++i) ASSERT_EQ(values[static_cast<size_t>(i)], float(i + 1));
}

TEST_P(LaunchTest, RowsAndTheirLanes) {
  const auto [rows, columns] = GetParam();
  const std::vector<float> in = random_numbers(rows * columns, 5);
  const auto values = same_for_all_threads([&, n = rows, d = columns] {
    std::vector<float> out(static_cast<size_t>(2 * n));
    launch::cpu::rows(n, d, [&, d](Lane lane, int64_t row) {
      const float* v = in.data() + row * d;
      out[static_cast<size_t>(2 * row)] = lane.sum(d, [=](int64_t c) { return v[c]; });
      out[static_cast<size_t>(2 * row + 1)] = lane.max(d, [=](int64_t c) { return v[c]; });
    });
    return out;
  });
  for (int64_t row = 0; row < rows; ++row) {
    const auto begin = in.begin() + row * columns, end = begin + columns;
    EXPECT_NEAR(values[static_cast<size_t>(2 * row)], std::accumulate(begin, end, 0.0), 1e-4);
    EXPECT_EQ(values[static_cast<size_t>(2 * row + 1)], *std::max_element(begin, end));
  }
}

TEST_P(LaunchTest, SumRowsAssignsOrAdds) {
  const auto [rows, columns] = GetParam();
  const std::vector<float> in = random_numbers(rows * columns, 6);
  for (const bool accumulate : {false, true}) {
    const auto values = same_for_all_threads([&, n = rows, d = columns] {
      const float before = accumulate ? 10 : std::numeric_limits<float>::quiet_NaN();
      std::vector<float> out(static_cast<size_t>(d), before);
      launch::cpu::sum_rows(
          n, d, launch::ColumnSums{out.data(), accumulate, [&, d](int64_t row, int64_t c) {
                                     return in[size_t(row * d + c)];
                                   }});
      return out;
    });
    for (int64_t c = 0; c < columns; ++c) {
      double total = accumulate ? 10 : 0;
      for (int64_t row = 0; row < rows; ++row) total += in[static_cast<size_t>(row * columns + c)];
      ASSERT_NEAR(values[static_cast<size_t>(c)], total, 1e-4);
    }
  }
}

TEST_P(LaunchTest, ScatterAddRowsLeavesNegativeOnesOut) {
  const auto [rows, columns] = GetParam();
  const int64_t d = columns, targets = 7;
  std::vector<int32_t> index;
  for (int64_t row = 0; row < rows; ++row) index.push_back(static_cast<int32_t>(row * 5 % 8) - 1);
  const auto values = same_for_all_threads([&, n = rows] {
    std::vector<float> out(static_cast<size_t>(targets * d), 0.5f);
    launch::cpu::scatter_add_rows(n, d, index.data(), targets, out.data(),
                                  [](int64_t row, int64_t c) { return float(row + c); });
    return out;
  });
  std::vector<float> expected(static_cast<size_t>(targets * d), 0.5f);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < d && index[size_t(row)] >= 0; ++c) {
      expected[size_t(index[size_t(row)] * d + c)] += float(row + c);
    }
  }
  EXPECT_EQ(values, expected);
}

TEST(Launch, TasksEachHaveTheirOwnScratch) {
  const int64_t count = 100, scratch = 1000;
  const auto values = same_for_all_threads([=] {
    std::vector<float> out(count);
    launch::cpu::tasks(
        count, scratch, count * scratch, [&](Lane lane, int64_t task, float* memory) {
          for (int64_t i = 0; i < scratch; ++i) memory[i] = static_cast<float>(task);
          out[size_t(task)] = lane.sum(scratch, [=](int64_t i) { return memory[i]; });
        });
    return out;
  });
  for (int64_t task = 0; task < count; ++task) {
    EXPECT_EQ(values[static_cast<size_t>(task)], static_cast<float>(task * scratch));
  }
}

// Of a thread that has launched nothing yet, and has no scratch memory.
void on_a_new_thread(const std::function<void()>& work) { std::jthread(work).join(); }

TEST(Launch, ScratchIsCountedAndKept) {
  constexpr int64_t kScratch = 100'000, kTasks = 8;
  const auto launch = [] {
    launch::cpu::tasks(kTasks, kScratch, kTasks * kScratch,
                       [](Lane, int64_t task, float* scratch) { scratch[kScratch - 1] = task; });
  };
  const Allocator& allocator = Allocator::of(Device{});
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    const size_t before = allocator.statistics().in_use;
    on_a_new_thread([&] {
      launch();
      const AllocatorStatistics after = allocator.statistics();
      const size_t bytes = static_cast<size_t>(threads * kScratch) * sizeof(float);
      EXPECT_GE(after.in_use, before + bytes);
      EXPECT_LE(after.in_use, before + bytes + bytes / 8 + 1024);
      launch();
      EXPECT_EQ(allocator.statistics().allocations, after.allocations);
    });
    EXPECT_EQ(allocator.statistics().in_use, before) << "it goes with the thread";
  }
  set_thread_count(0);
}

TEST(Launch, WithoutMemoryForScratchIsOutOfMemory) {
  constexpr int64_t kNumbers = 1 << 20;
  Allocator& allocator = Allocator::of(Device{});
  allocator.release_cached();
  allocator.set_limit(allocator.statistics().reserved + (1 << 20));
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    on_a_new_thread([&] {
      const auto tasks = [](int64_t scratch) {
        std::atomic<int> done = 0;
        launch::cpu::tasks(8, scratch, kNumbers, [&](Lane, int64_t, float*) { ++done; });
        return done.load();
      };
      EXPECT_THROW(tasks(kNumbers), OutOfMemory);
      EXPECT_EQ(tasks(16), 8) << "a failure takes nothing";
      std::vector<float> sums(kNumbers / 2);
      const auto sum = [&](int64_t rows) {
        launch::cpu::sum_rows(
            rows, std::ssize(sums),
            launch::ColumnSums{sums.data(), false, [](int64_t, int64_t) { return 1.0f; }});
      };
      EXPECT_THROW(sum(2), OutOfMemory);
    });
  }
  allocator.set_limit(std::numeric_limits<size_t>::max());
  set_thread_count(0);
}

// What fails in one of several threads is told to who launched, as it is by one.
TEST(Launch, WhatAThreadThrowsReachesWhoLaunched) {
  constexpr int64_t kMany = 1 << 20;
  Allocator& allocator = Allocator::of(Device{});
  allocator.release_cached();
  allocator.set_limit(allocator.statistics().reserved + (1 << 16));
  const auto allocate = [](int64_t i) {
    if (i % 7 == 5) Tensor::empty({kMany});
  };
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    EXPECT_THROW(launch::cpu::rows(8, kMany, [=](Lane, int64_t row) { allocate(row); }),
                 OutOfMemory);
    EXPECT_THROW(
        launch::cpu::tasks(8, 4, kMany, [=](Lane, int64_t task, float*) { allocate(task); }),
        OutOfMemory);
    std::vector<float> out(kMany);
    launch::cpu::map(kMany, [to = out.data()](int64_t i) { to[i] = 1; });
    EXPECT_THAT(out, testing::Each(1.0f)) << "the next launch works";
  }
  allocator.set_limit(std::numeric_limits<size_t>::max());
  set_thread_count(0);
}

// Graphs ------------------------------------------------------------------------------------------

// What of the devices is a GPU; a test that finds none is counted as skipped.
std::vector<Device> gpus() {
  std::vector<Device> devices = all_devices();
  devices.erase(devices.begin());
  return devices;
}

// to = from, by way of a tensor that is gone after it.
void copy_by_way(const Tensor& from, const Tensor& to) { convert(convert(from, DType::kBf16), to); }

TEST(Graph, DoesItsWorkWhenItIsRunWithWhatIsThereThen) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    const Tensor from = Tensor::from(std::vector<float>{1, 2}, {2}, device);
    const Tensor to = Tensor::zeros({2}, DType::kReal, device);
    const Graph graph(device, [&] { copy_by_way(from, to); });
    EXPECT_THAT(to.to_host(), ElementsAre(0, 0)) << "it was kept, not done";
    graph.run();
    EXPECT_THAT(to.to_host(), ElementsAre(1, 2));
    from.copy_from(Tensor::from(std::vector<float>{5, 6}));
    graph.run();
    EXPECT_THAT(to.to_host(), ElementsAre(5, 6));
  }
}

TEST(Graph, KeepsItsMemoryFromAllButOtherGraphs) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    const Allocator& allocator = Allocator::of(device);
    const Tensor from = Tensor::empty({1000}, DType::kReal, device);
    from.fill(5);
    const Tensor to = empty_like(from), other = empty_like(from);
    auto first = std::make_unique<Graph>(device, [&] { copy_by_way(from, to); });
    const size_t reserved = allocator.statistics().reserved;
    const Graph second(device, [&] { copy_by_way(from, other); });
    EXPECT_EQ(allocator.statistics().reserved, reserved) << "the two share what they use";
    // As many tensors as there could be blocks: none may be where the graphs write.
    std::vector<Tensor> tensors;
    for (int i = 0; i < 4; ++i) tensors.push_back(Tensor::zeros({1000}, DType::kReal, device));
    first->run();
    second.run();
    for (const Tensor& tensor : tensors) EXPECT_THAT(tensor.to_host(), testing::Each(0.0f));
    EXPECT_THAT(to.to_host(), testing::Each(5.0f));
    first.reset();
    second.run();
    for (const Tensor& tensor : tensors) EXPECT_THAT(tensor.to_host(), testing::Each(0.0f));
  }
}

TEST(Graph, ThrowsWhatItsWorkThrowsAndWhatCannotBeKept) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    const Tensor x = Tensor::zeros({3}, DType::kReal, device);
    const auto make = [device](const std::function<void()>& work) { Graph(device, work); };
    EXPECT_THAT([&] { make([] { fail("no work today"); }); },
                ThrowsMessage<Error>(HasSubstr("no work today")));
    EXPECT_THAT([&] { make([&] { x.to_host(); }); },
                ThrowsMessage<Error>(HasSubstr("while a graph is made")));
    EXPECT_THAT([&] { make([&] { x.copy_from(Tensor::zeros({3})); }); },
                ThrowsMessage<Error>(HasSubstr("while a graph is made")));
    EXPECT_THAT([&] { make([&] { synchronize(device); }); },
                ThrowsMessage<Error>(HasSubstr("while a graph is made")));
    const Graph graph(device, [&] { x.fill(2); });
    graph.run();
    EXPECT_THAT(x.to_host(), ElementsAre(2, 2, 2)) << "the next is made as if nothing had been";
  }
  EXPECT_THAT([] { Graph(Device{}, [] {}); }, ThrowsMessage<Error>(HasSubstr("not for cpu")));
}

}  // namespace
}  // namespace dragoman
