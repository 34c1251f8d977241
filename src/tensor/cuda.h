// What the files that name CUDA share: the checks of its calls, and the stream that all work of a
// GPU goes through, so that memory may be used again as soon as its tensor is gone.
#pragma once

#include <cuda_runtime_api.h>

#include "core/check.h"

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

/// Throws Error, with CUDA's own words, unless `status` is success.
inline void check_call(cudaError_t status, const char* what) {
  check(status == cudaSuccess, "CUDA: {}: {} ({}){}", what, cudaGetErrorString(status),
        cudaGetErrorName(status), advice(status));
}

/// What the launchers read of a GPU.
struct Properties {
  int multiprocessors = 0;
  size_t shared_memory_per_block = 0;  ///< Bytes that any kernel may have.
};

/// Makes the GPU the calling thread's, and returns its stream.
cudaStream_t stream_of(int index);
const Properties& properties_of(int index);

/// Lets each block of the kernel have `bytes` of shared memory, and as many of them run at once as
/// fit: for what the driver sets aside otherwise, one may be enough.
template <class Kernel>
void allow_shared_memory(Kernel* kernel, int bytes) {
  const auto set = [&](cudaFuncAttribute attribute, int value) {
    check_call(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value),
               "a kernel wants more shared memory than there is");
  };
  set(cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  set(cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
}

/// kCounters counters in the GPU's memory, which are 0, for kernels that leave them so.
inline constexpr size_t kCounters = size_t{1} << 16;
unsigned* counters(int index);

}  // namespace dragoman::cuda
