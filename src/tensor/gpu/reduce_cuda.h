// What a GPU's threads make of a number of each: the same result for all of them, bit for bit, in
// an order that never changes.
#pragma once

#include "tensor/gpu/kernel.h"
#include "tensor/reductions.h"

namespace dragoman::reduce {

inline constexpr unsigned kWarp = 32;

/// f over the numbers of the lanes of a warp that are kFrom, 2 kFrom, ... and less than kTo apart.
/// To be called by all lanes; f must not tell its two arguments apart.
template <unsigned kFrom = 1, unsigned kTo = kWarp, class T, class F>
__device__ T lanes(T value, F f) {
#pragma unroll
  for (unsigned apart = kTo / 2; apart >= kFrom; apart /= 2)
    value = f(value, __shfl_xor_sync(0xFFFFFFFFu, value, apart));
  return value;
}

/// The same of several numbers of each lane, side by side: an exchange takes long.
template <unsigned kTo = kWarp, int kCount, class T, class F>
__device__ void lanes_of_each(T (&values)[kCount], F f) {
#pragma unroll
  for (unsigned apart = kTo / 2; apart > 0; apart /= 2) {
#pragma unroll
    for (T& value : values) value = f(value, __shfl_xor_sync(0xFFFFFFFFu, value, apart));
  }
}

/// f over the numbers of the threads of a block, or of its warps each where a block is as wide as
/// one. To be called by all of them. kWarps is the block's number of warps where that is known.
template <unsigned kWarps = 0, class T, class F>
__device__ T block(T value, F f) {
  value = lanes(value, f);
  if (kWarps == 0 && blockDim.x == kWarp) {
    __syncwarp();  // as a barrier does, what lanes wrote before is there for all
    return value;
  }
  __shared__ T parts[kWarps > 0 ? kWarps : kWarp];
  __syncthreads();  // whoever still reads the parts of the reduction before
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = parts[0];
  for (unsigned warp = 1; warp < (kWarps > 0 ? kWarps : blockDim.x / kWarp); ++warp)
    value = f(value, parts[warp]);
  return value;
}

}  // namespace dragoman::reduce
