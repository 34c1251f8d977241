// What a kernel is written with, and how it is launched: with CUDA, kernel_cuda.h; in the build
// that emulates a GPU, emulated/kernel.h, where the same kernels are code of the host.
#pragma once

#if defined(DRAGOMAN_EMULATED_GPU)
#include "tensor/gpu/emulated/kernel.h"
#else
#include "tensor/gpu/kernel_cuda.h"
#endif

namespace dragoman::cuda {

/// What the launchers read of a GPU.
struct Properties {
  int multiprocessors = 0;
  size_t shared_memory_per_block = 0;  ///< Bytes that any kernel may have beside a few of its own.
};
const Properties& properties_of(int index);

/// kCounters counters in the GPU's memory, which are 0, for kernels that leave them so.
inline constexpr size_t kCounters = size_t{1} << 16;
unsigned* counters(int index);

}  // namespace dragoman::cuda
