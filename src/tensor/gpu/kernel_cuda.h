// How kernels are launched on a GPU.
#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "tensor/device.h"
#include "tensor/gpu/cuda.h"

namespace dragoman::cuda {

/// What a kernel is launched with; each block has `shared` bytes of memory beside what its kernel
/// declares.
struct Grid {
  dim3 blocks, threads;
  size_t shared = 0;
};

#if defined(__CUDACC__)
/// Gives the device a kernel to do behind what it was given before.
template <class... P>
void launch(Device device, const Grid& grid, void (*kernel)(P...),
            const std::type_identity_t<P>&... arguments) {
  kernel<<<grid.blocks, grid.threads, grid.shared, stream_of(device.index)>>>(arguments...);
  check_call(cudaGetLastError(), "a kernel could not be launched");
}

/// The memory of a block that its launch asked for.
template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char memory[];
  return reinterpret_cast<T*>(memory);
}

/// Blocks of that many threads that run at the same time on a multiprocessor.
template <class... P>
int blocks_at_once(Device device, void (*kernel)(P...), unsigned threads) {
  stream_of(device.index);
  int blocks = 0;
  check_call(
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, static_cast<int>(threads), 0),
      "a kernel cannot be launched");
  return blocks;
}

/// Lets each block of the kernel have `bytes` of shared memory, and as many of them run at once as
/// fit: for what the driver sets aside otherwise, one may be enough.
template <class... P>
void allow_shared_memory(Device device, void (*kernel)(P...), size_t bytes) {
  stream_of(device.index);
  const auto set = [&](cudaFuncAttribute attribute, int value) {
    check_call(cudaFuncSetAttribute(kernel, attribute, value),
               "a kernel wants more shared memory than there is");
  };
  set(cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  set(cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
}
#endif

}  // namespace dragoman::cuda
