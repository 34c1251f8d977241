// Four numbers side by side, read or written by a thread of a GPU at once. Their address must be a
// multiple of their size.
#pragma once

#include <type_traits>

#include "core/bf16.h"
#include "tensor/gpu/kernel.h"

namespace dragoman::vectors {

// Four numbers of the type T as they lie in memory.
template <class T>
using Four = std::conditional_t<std::is_same_v<T, Bf16>, uint2, float4>;

__device__ inline void unpack(float (&to)[4], const float4& four) {
  to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}
__device__ inline void unpack(float (&to)[4], const uint2& four) {
  to[0] = __uint_as_float(four.x << 16), to[1] = __uint_as_float(four.x & 0xFFFF0000u);
  to[2] = __uint_as_float(four.y << 16), to[3] = __uint_as_float(four.y & 0xFFFF0000u);
}
template <class T>
__device__ void load(Four<T>& to, const T* from) {
  to = *reinterpret_cast<const Four<T>*>(from);
}
template <class T>
__device__ void read(float (&to)[4], const T* from) {
  Four<T> four;
  load<T>(four, from);
  unpack(to, four);
}
__device__ inline void write(float* to, const float (&from)[4]) {
  *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
}
__device__ inline void write(Bf16* to, const float (&from)[4]) {
  *reinterpret_cast<uint2*>(to) = {bf16_pair(from[0], from[1]), bf16_pair(from[2], from[3])};
}

}  // namespace dragoman::vectors
