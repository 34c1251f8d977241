// What Lane (tensor/lane.h) does where lanes are the threads of a GPU's block, or of a warp: a
// block of one warp's width may be several, a row each.
#pragma once

#include <cstdint>

#include "core/math.h"
#include "core/real.h"
#include "tensor/gpu/reduce_cuda.h"

namespace dragoman::lane_of_threads {

using reduce::kWarp;

__device__ inline void wait() {
  if (blockDim.x == kWarp) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

template <class F>
__device__ void each(int64_t n, F f) {
  wait();
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) f(i);
  wait();
}

// A sum of the type T, for which several numbers of a thread are on their way at once.
template <class T, class F>
__device__ T sum(int64_t n, F f) {
  constexpr int kLoads = 8;
  const int64_t step = blockDim.x;
  T total = 0;
  for (int64_t begin = threadIdx.x; begin < n; begin += kLoads * step) {
    real loaded[kLoads];
#pragma unroll
    for (int k = 0; k < kLoads; ++k)
      loaded[k] = begin + k * step < n ? f(begin + k * step) : real{0};
#pragma unroll
    for (int k = 0; k < kLoads; ++k) total += loaded[k];
  }
  return reduce::block(total, reduce::Add{});
}

template <class F>
__device__ real max(int64_t n, F f) {
  real most = reduce::kLowest;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) most = reduce::Larger{}(most, f(i));
  return reduce::block(most, reduce::Larger{});
}

template <class F>
__device__ void sums(int64_t count, int64_t n, real* to, F f) {
  wait();
  for (int64_t j = threadIdx.x / kWarp; j < count; j += blockDim.x / kWarp) {
    const auto of = f(j);
    real total = 0;
#pragma unroll 8
    for (int64_t i = threadIdx.x % kWarp; i < n; i += kWarp) total += of(i);
    total = reduce::lanes(total, reduce::Add{});
    if (threadIdx.x % kWarp == 0) to[j] = total;
  }
  wait();
}

// A warp has several blocks of numbers at once, so that loads and exchanges wait for each other
// less.
template <int64_t kWidth, class F>
__device__ void exponentials(int64_t n, real* most, real* total, F f) {
  constexpr int kBlocks = 4, kEach = kWidth / kWarp;  // a lane has so many numbers of each block
  const int64_t lane = threadIdx.x % kWarp, count = (n + kWidth - 1) / kWidth;
  const auto place = [=](int64_t block, int e) { return block * kWidth + e * kWarp + lane; };
  wait();
  for (int64_t begin = threadIdx.x / kWarp * kBlocks; begin < count;
       begin += blockDim.x / kWarp * kBlocks) {
    real x[kBlocks][kEach], largest[kBlocks], sum[kBlocks];
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const int64_t i = place(begin + b, e);
        x[b][e] = i < n ? f(i) : reduce::kLowest;
      }
    }
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      largest[b] = reduce::kLowest;
#pragma unroll
      for (int e = 0; e < kEach; ++e) largest[b] = reduce::Larger{}(largest[b], x[b][e]);
    }
    reduce::lanes_of_each(largest, reduce::Larger{});
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      sum[b] = 0;
#pragma unroll
      for (int e = 0; e < kEach; ++e)
        sum[b] += place(begin + b, e) < n ? exp_of(x[b][e] - largest[b]) : real{0};
    }
    reduce::lanes_of_each(sum, reduce::Add{});
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      if (lane != b || begin + b >= count) continue;
      most[begin + b] = largest[b];
      total[begin + b] = sum[b];
    }
  }
  wait();
}

// f with copies of the numbers, which it may change.
template <class F, class... Numbers>
__device__ void with_copies(F f, Numbers... numbers) {
  f(numbers...);
}

template <class F, class... Numbers>
__device__ void add_up(int64_t n, int64_t count, F f, Numbers*... to) {
  each(n, [=](int64_t i) {
    // In registers.
    with_copies(
        [=](auto&... sums) {
#pragma unroll 4
          for (int64_t j = 0; j < count; ++j) f(j)(i, sums...);
          ((to[i] = sums), ...);
        },
        to[i]...);
  });
}

}  // namespace dragoman::lane_of_threads
