// The language of kernels as the host's compiler reads it, in the build that emulates a GPU: the
// words of CUDA that kernels use, and their launch. emulated/block.h runs their threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "tensor/device.h"
#include "tensor/gpu/emulated/block.h"
#include "tensor/gpu/emulated/gpu.h"

#define __global__
#define __device__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static thread_local  // threads of a block are fibers of one thread
#define threadIdx (::dragoman::emulated::thread())
#define blockIdx (::dragoman::emulated::place().block)
#define blockDim (::dragoman::emulated::place().threads)
#define gridDim (::dragoman::emulated::place().blocks)

using dim3 = dragoman::emulated::Dimensions;

// What is read and written at once, and must lie as a GPU wants it.
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

using std::max;
using std::min;

inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline int __popc(uint32_t bits) { return std::popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
template <class T>
T __ldcg(const T* from) {
  return *from;
}

inline void __threadfence() { dragoman::emulated::fence(); }
inline void __syncthreads() { dragoman::emulated::wait_for_block(); }
inline void __syncwarp() { dragoman::emulated::wait_for_warp(); }

namespace dragoman::emulated {

// The value that the lane from(lane) gives.
template <class T, class From>
T shuffle(uint32_t mask, T value, From from) {
  require(mask == ~0u, "only whole warps exchange numbers");
  const T* const values = exchange(value);
  return values[from(lane()) % kLanes];
}

}  // namespace dragoman::emulated

template <class T>
T __shfl_sync(uint32_t mask, T value, uint32_t from) {
  return dragoman::emulated::shuffle(mask, value, [=](uint32_t) { return from; });
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, uint32_t other) {
  return dragoman::emulated::shuffle(mask, value, [=](uint32_t lane) { return lane ^ other; });
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, uint32_t distance) {
  return dragoman::emulated::shuffle(
      mask, value, [=](uint32_t lane) { return lane >= distance ? lane - distance : lane; });
}

namespace dragoman::emulated {

// A number to be changed atomically. That puts nothing else in order: fences do.
inline std::atomic_ref<uint32_t> atomic(uint32_t* number) {
  note_atomic();
  return std::atomic_ref(*number);
}

}  // namespace dragoman::emulated

inline uint32_t atomicAdd(uint32_t* to, uint32_t value) {
  return dragoman::emulated::atomic(to).fetch_add(value, std::memory_order_relaxed);
}
inline uint32_t atomicOr(uint32_t* to, uint32_t value) {
  return dragoman::emulated::atomic(to).fetch_or(value, std::memory_order_relaxed);
}
inline uint32_t atomicExch(uint32_t* to, uint32_t value) {
  return dragoman::emulated::atomic(to).exchange(value, std::memory_order_relaxed);
}
inline uint32_t atomicMax(uint32_t* to, uint32_t value) {
  const auto number = dragoman::emulated::atomic(to);
  uint32_t old = number.load(std::memory_order_relaxed);
  while (old < value && !number.compare_exchange_weak(old, value, std::memory_order_relaxed)) {
  }
  return old;
}

// As in kernel_cuda.h.
namespace dragoman::cuda {

struct Grid {
  dim3 blocks, threads;
  size_t shared = 0;
};

template <class... P>
void launch(Device, const Grid& grid, void (*kernel)(P...),
            const std::type_identity_t<P>&... arguments) {
  gpu::emulate([=, arguments = std::tuple<P...>(arguments...)] {
    emulated::run(grid.blocks, grid.threads, grid.shared, [&] { std::apply(kernel, arguments); });
  });
}

template <class T>
T* shared_memory() {
  return static_cast<T*>(emulated::shared_memory());
}

// Few, so that tests see threads that have more than one element to do.
template <class... P>
int blocks_at_once(Device, void (*)(P...), unsigned) {
  return 1;
}

// A block has what it asks for.
template <class... P>
void allow_shared_memory(Device, void (*)(P...), size_t) {}

}  // namespace dragoman::cuda
