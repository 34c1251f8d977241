// Four numbers side by side, read or written by a thread of a GPU at once. Their address must be a
// multiple of their size.
#pragma once

#include <cuda_runtime.h>

#include "core/bf16.h"

namespace dragoman::vectors {

__device__ inline void read(float (&to)[4], const float* from) {
  const float4 four = *reinterpret_cast<const float4*>(from);
  to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}
__device__ inline void read(float (&to)[4], const Bf16* from) {
  const uint2 four = *reinterpret_cast<const uint2*>(from);
  to[0] = __uint_as_float(four.x << 16), to[1] = __uint_as_float(four.x & 0xFFFF0000u);
  to[2] = __uint_as_float(four.y << 16), to[3] = __uint_as_float(four.y & 0xFFFF0000u);
}
__device__ inline void write(float* to, const float (&from)[4]) {
  *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
}
__device__ inline void write(Bf16* to, const float (&from)[4]) {
  const Bf16 four[] = {from[0], from[1], from[2], from[3]};
  *reinterpret_cast<uint2*>(to) = *reinterpret_cast<const uint2*>(four);
}

}  // namespace dragoman::vectors
