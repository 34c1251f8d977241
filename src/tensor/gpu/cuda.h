// What the files that name CUDA share: the checks of its calls, and the stream that all work of a
// GPU goes through, so that memory may be used again as soon as its tensor is gone.
#pragma once

#include <cuda_runtime_api.h>

#include "core/check.h"
#include "tensor/allocator.h"

namespace dragoman::cuda {

/// What to do about an error that a user can mend; empty for others.
inline const char* advice(cudaError_t status) {
  switch (status) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
      return "; this program has no code for this kind of GPU: build it with "
             "-DCMAKE_CUDA_ARCHITECTURES=native";
    case cudaErrorInsufficientDriver:
    case cudaErrorUnsupportedPtxVersion:
      return "; the driver is too old for this program: update it, or build with an older CUDA "
             "Toolkit";
    case cudaErrorDevicesUnavailable:
      return "; another process may have it for itself: look at nvidia-smi";
    default:
      return "";
  }
}

/// Throws Error, with CUDA's own words, unless `status` is success; OutOfMemory where the driver
/// itself had too little.
inline void check_call(cudaError_t status, const char* what) {
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forgets it: the next launch would tell it again
    throw OutOfMemory(fmt::format("out of memory on the GPU: {}", what));
  }
  check(status == cudaSuccess, "CUDA: {}: {} ({}){}", what, cudaGetErrorString(status),
        cudaGetErrorName(status), advice(status));
}

/// Makes the GPU the calling thread's, and returns its stream.
cudaStream_t stream_of(int index);

}  // namespace dragoman::cuda
