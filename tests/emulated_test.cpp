// The emulated GPU itself: that it runs kernels as a GPU does, and finds what a GPU would not tell.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "core/bf16.h"
#include "tensor/gpu/emulated/instructions.h"
#include "tensor/gpu/kernel.h"
#include "tensor/tensor.h"

namespace dragoman {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::UnorderedElementsAre;

constexpr unsigned kAll = 0xFFFFFFFFu;  // lanes

// Runs f in every thread. What kernels of these tests write belongs to the host, so that they are
// run without what protects it.
template <class F>
void in_threads(const dim3& blocks, const dim3& threads, size_t shared, F f) {
  emulated::run(blocks, threads, shared, f);
}

// What f gives in each of the threads of one block.
template <class F>
auto of_threads(unsigned threads, F f) {
  std::vector<decltype(f())> results(threads);
  in_threads(1, threads, 0, [&] { results[threadIdx.x] = f(); });
  return results;
}

TEST(EmulatedGpu, RunsEveryThreadOfEveryBlockOnce) {
  std::multiset<std::vector<unsigned>> ran;
  std::mutex mutex;
  in_threads({2, 3, 2}, {5, 2, 4}, 0, [&] {
    EXPECT_EQ(blockDim.y, 2u);
    EXPECT_EQ(gridDim.z, 2u);
    const std::lock_guard lock(mutex);
    ran.insert({blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z});
  });
  EXPECT_EQ(ran.size(), 2u * 3 * 2 * 5 * 2 * 4);
  EXPECT_EQ(std::set(ran.begin(), ran.end()).size(), ran.size());
  EXPECT_EQ(*ran.rbegin(), (std::vector<unsigned>{1, 2, 1, 4, 1, 3}));
}

TEST(EmulatedGpu, RunsThreadsInAnotherOrderEachTime) {
  const auto order = [] {
    std::vector<unsigned> ran;
    std::mutex mutex;
    in_threads(1, 64, 0, [&] {
      const std::lock_guard lock(mutex);
      ran.push_back(threadIdx.x);
    });
    return ran;
  };
  const auto first = order(), second = order(), third = order();
  EXPECT_NE(first, second);
  EXPECT_NE(second, third);
}

TEST(EmulatedGpu, RunsTwoBlocksAtOnce) {
  std::set<std::thread::id> ran;
  std::mutex mutex;
  in_threads(64, 1, 0, [&] {
    const std::lock_guard lock(mutex);
    ran.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(ran.size(), 2u);
}

TEST(EmulatedGpu, ThreadsOfABlockShareMemoryAndBlocksDoNot) {
  std::vector<unsigned> sums(64);
  in_threads(64, 40, 0, [&] {
    __shared__ unsigned numbers[40];
    numbers[threadIdx.x] = blockIdx.x;
    __syncthreads();
    if (threadIdx.x == 0) sums[blockIdx.x] = std::accumulate(numbers, numbers + 40, 0u);
  });
  for (unsigned block = 0; block < 64; ++block) EXPECT_EQ(sums[block], 40 * block);
}

TEST(EmulatedGpu, ABarrierWaitsForAllThatHaveNotEnded) {
  unsigned before = 0;
  std::vector<unsigned> seen(70);
  in_threads(1, 100, 0, [&] {
    if (threadIdx.x >= 70) return;
    atomicAdd(&before, 1u);
    __syncthreads();
    seen[threadIdx.x] = before;
  });
  EXPECT_THAT(seen, Each(70));
}

TEST(EmulatedGpu, ABlockBeginsWithMemoryThatHoldsNothing) {
  std::vector<float> found;
  std::mutex mutex;
  in_threads(3, 1, 8 * sizeof(float), [&] {
    auto* const shared = cuda::shared_memory<float>();
    const std::lock_guard lock(mutex);
    found.insert(found.end(), shared, shared + 8);
    std::fill_n(shared, 8, 1.0f);
  });
  EXPECT_EQ(found.size(), 24u);
  EXPECT_TRUE(std::all_of(found.begin(), found.end(), [](float x) { return std::isnan(x); }));
}

TEST(EmulatedGpu, LanesExchangeNumbers) {
  const auto numbers = [](auto f) {
    std::vector<unsigned> made(64);
    for (unsigned i = 0; i < 64; ++i) made[i] = f(i);
    return ElementsAreArray(made);
  };
  EXPECT_THAT(of_threads(64, [] { return __shfl_xor_sync(kAll, threadIdx.x, 5); }),
              numbers([](unsigned i) { return i ^ 5; }));
  EXPECT_THAT(of_threads(64, [] { return __shfl_sync(kAll, threadIdx.x, 3); }),
              numbers([](unsigned i) { return i / 32 * 32 + 3; }));
  EXPECT_THAT(of_threads(64, [] { return __shfl_up_sync(kAll, threadIdx.x, 4); }),
              numbers([](unsigned i) { return i % 32 < 4 ? i : i - 4; }));
}

TEST(EmulatedGpu, CountsAtomically) {
  uint32_t sum = 0, most = 0, bits = 0, last = 0;
  std::vector<uint32_t> before_last(3);
  std::vector<uint32_t> before(120);
  in_threads(3, 40, 0, [&] {
    before[blockIdx.x * 40 + threadIdx.x] = atomicAdd(&sum, 2u);
    atomicMax(&most, threadIdx.x);
    atomicOr(&bits, 1u << threadIdx.x % 32);
    if (threadIdx.x == 0) before_last[blockIdx.x] = atomicExch(&last, blockIdx.x + 1);
  });
  EXPECT_EQ(sum, 240u);
  EXPECT_EQ(std::set(before.begin(), before.end()).size(), 120u);
  EXPECT_EQ(most, 39u);
  before_last.push_back(last);
  EXPECT_THAT(before_last, UnorderedElementsAre(0, 1, 2, 3));
  EXPECT_EQ(bits, kAll);
}

// Small whole numbers, whose products have no errors.
float number(int row, int column) { return static_cast<float>((row * 7 + column * 3) % 11 - 5); }

TEST(EmulatedGpu, MultipliesTilesAsTheMatrixUnitsDo) {
  using namespace matrix_units;
  // a is loaded as it lies, b [16, 8] from where it lies transposed and from where it does not.
  alignas(16) static Bf16 a[16][16], b[16][8], b_transposed[8][16];
  static float c[16][8], c_transposed[16][8];
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) a[i][j] = number(i, j);
    for (int j = 0; j < 8; ++j) b_transposed[j][i] = b[i][j] = number(j + 2, i);
  }
  in_threads(1, 32, 0, [&] {
    const int lane = static_cast<int>(threadIdx.x);
    uint32_t left[4], right[4], right_transposed[4];
    load_tiles(left, &a[lane % 16][lane / 16 * 8]);
    load_tiles_transposed(right, b[lane % 16]);
    load_tiles(right_transposed, &b_transposed[lane % 8][lane / 8 % 2 * 8]);
    float sums[4] = {1, 1, 1, 1}, sums_transposed[4] = {1, 1, 1, 1};
    multiply_tile(sums, left, right[0], right[1]);
    multiply_tile(sums_transposed, left, right_transposed[0], right_transposed[1]);
    for (int e = 0; e < 4; ++e) {
      c[lane / 4 + e / 2 * 8][lane % 4 * 2 + e % 2] = sums[e];
      c_transposed[lane / 4 + e / 2 * 8][lane % 4 * 2 + e % 2] = sums_transposed[e];
    }
  });
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      float expected = 1;
      for (int k = 0; k < 16; ++k) expected += number(i, k) * number(j + 2, k);
      EXPECT_EQ(c[i][j], expected) << i << ", " << j;
      EXPECT_EQ(c_transposed[i][j], expected) << i << ", " << j;
    }
  }
}

TEST(EmulatedGpu, WhatIsCopiedIsThereWhenItWasWaitedFor) {
  using namespace matrix_units;
  const std::vector<Bf16> from(8, Bf16(2));
  std::vector<Bf16> to(8, Bf16(1));
  std::vector<float> before, after;
  in_threads(1, 1, 0, [&] {
    begin_copy(to.data(), from.data(), 6);
    before.assign(to.begin(), to.end());
    finish_copies();
    after.assign(to.begin(), to.end());
  });
  EXPECT_THAT(before, Each(1));
  EXPECT_THAT(after, ElementsAre(2, 2, 2, 0, 0, 0, 0, 0));
}

// Its threads are gone in a program that is forked.
class EmulatedGpuDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(EmulatedGpuDeathTest, StopsAtAWarpThatWaitsForLanesThatHaveEnded) {
  EXPECT_DEATH(in_threads(1, 32, 0,
                          [] {
                            if (threadIdx.x != 3) __shfl_xor_sync(kAll, 1, 1);
                          }),
               "lanes of a warp wait for others, which have ended or wait for the block");
}
TEST_F(EmulatedGpuDeathTest, StopsAtLanesThatWaitAtDifferentBarriers) {
  EXPECT_DEATH(in_threads(1, 64, 0,
                          [] {
                            if (threadIdx.x < 16) __syncthreads();
                            __syncwarp();
                          }),
               "lanes of a warp wait for others, which have ended or wait for the block");
}
TEST_F(EmulatedGpuDeathTest, StopsAtAnExchangeOfPartOfAWarp) {
  EXPECT_DEATH(in_threads(1, 32, 0, [] { __shfl_xor_sync(0xFFFFu, 1, 1); }),
               "only whole warps exchange numbers");
}
TEST_F(EmulatedGpuDeathTest, StopsAtShapesThatNoGpuTakes) {
  EXPECT_DEATH(in_threads(1, 1025, 0, [] {}), "more threads, or fewer, than a block can have");
  EXPECT_DEATH(in_threads(0, 32, 0, [] {}), "a launch of no blocks");
  EXPECT_DEATH(in_threads(1, 32, 100 << 10, [] {}), "more shared memory than a block can have");
}

// The sum of what all blocks write, by the one that comes last.
unsigned sum_by_the_last(bool fence_before, bool fence_after) {
  std::vector<unsigned> parts(64);
  unsigned arrived = 0, sum = 0;
  in_threads(64, 1, 0, [&] {
    parts[blockIdx.x] = blockIdx.x;
    if (fence_before) __threadfence();
    if (atomicAdd(&arrived, 1u) + 1 < 64) return;
    if (fence_after) __threadfence();
    sum = std::accumulate(parts.begin(), parts.end(), 0u);
  });
  return sum;
}
TEST(EmulatedGpu, ABlockSeesWhatOthersWroteBeforeAFence) {
  EXPECT_EQ(sum_by_the_last(true, true), 2016u);
}

#if defined(__SANITIZE_THREAD__)
TEST_F(EmulatedGpuDeathTest, IsWatchedByTheThreadSanitizer) {
  const auto sums = [](bool fence_before, bool fence_after) {
    sum_by_the_last(fence_before, fence_after);
    std::exit(0);
  };
  EXPECT_EXIT(sums(true, true), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(sums(false, true), testing::ExitedWithCode(66), "data race");
  EXPECT_EXIT(sums(true, false), testing::ExitedWithCode(66), "data race");
  const auto waits = [](bool wait) {
    unsigned number = 0;
    in_threads(1, 2, 0, [&] {
      if (threadIdx.x == 0) number = 1;
      if (wait) __syncthreads();
      if (threadIdx.x == 1) number = 2;
    });
    std::exit(0);
  };
  EXPECT_EXIT(waits(true), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(waits(false), testing::ExitedWithCode(66), "data race");
}
#endif

void fill_kernel(float* to) { *to = 1; }

TEST_F(EmulatedGpuDeathTest, StopsAtAKernelThatTouchesTheHostsTensors) {
  const Device gpu = find_device("cuda");
  const Tensor there = Tensor::empty({1}, DType::kReal, gpu);
  cuda::launch(gpu, {1, 1}, fill_kernel, there.data());
  EXPECT_THAT(there.to_host(), ElementsAre(1));
  const Tensor here = Tensor::empty({1});
  EXPECT_DEATH(cuda::launch(gpu, {1, 1}, fill_kernel, here.data()), "");
  EXPECT_DEATH(*there.data() = 1, "");
}

}  // namespace
}  // namespace dragoman
