// How the body of an operation is run over its elements. An operation hands over a functor marked
// DRAGOMAN_HOST_DEVICE; the launchers divide its work among threads and vectors
// (tensor/cpu/launch_cpu.h) or among the threads of a GPU (tensor/gpu/launch_cuda.h). A source that
// includes this is compiled as CUDA where there is CUDA (CMakeLists.txt).
//
// A functor names what it needs before it and captures it all by [=]: CUDA allows no initialised
// captures in code for both sides. Where a closure of the tape follows, these names stand in a
// block of their own, so that the closure cannot hold an address instead of what keeps the memory
// alive.
//
// Every launcher gives the same result, bit for bit, for any number of threads and at every run.
// Several threads may launch at once: on the CPU each has helpers of its own
// (tensor/cpu/threads.h), on a GPU their work is done in the order of their calls (tensor/gpu.h).
#pragma once

#include <cstdint>
#include <span>

#include "core/real.h"
#include "core/rng.h"
#include "tensor/column_sums.h"
#include "tensor/cpu/launch_cpu.h"
#include "tensor/device.h"
#include "tensor/lane.h"
#if defined(DRAGOMAN_KERNELS)
#include "tensor/gpu/launch_cuda.h"
#include "tensor/gpu/scatter_cuda.h"
#elif defined(DRAGOMAN_CUDA)
#error "a source that launches operations is compiled as CUDA: see dragoman_cuda_sources in CMake"
#endif

namespace dragoman::launch {

#if defined(DRAGOMAN_CUDA) || defined(DRAGOMAN_EMULATED_GPU)
#define DRAGOMAN_LAUNCH(launcher, ...) \
  device.on_gpu() ? gpu::launcher(device, __VA_ARGS__) : cpu::launcher(__VA_ARGS__)
#else
#define DRAGOMAN_LAUNCH(launcher, ...) cpu::launcher(__VA_ARGS__)
#endif

/// f(0), ..., f(n - 1), in any order: element-wise operations.
template <class F>
void map([[maybe_unused]] Device device, int64_t n, F f) {
  DRAGOMAN_LAUNCH(map, n, f);
}

/// f(lane, 0), ..., f(lane, rows - 1): operations on whole rows of about `columns` elements.
template <class F>
void rows([[maybe_unused]] Device device, int64_t rows, int64_t columns, F f) {
  DRAGOMAN_LAUNCH(rows, rows, columns, f);
}

/// f(lane, task, scratch) for uneven tasks, each with `scratch` numbers of its own. `work` is about
/// the number of elementary operations of them all.
template <class F>
void tasks([[maybe_unused]] Device device, int64_t count, int64_t scratch, int64_t work, F f) {
  DRAGOMAN_LAUNCH(tasks, count, scratch, work, f);
}

/// f(i, word) for i in [0, n), with the i-th random word of the mask `key`.
template <class F>
void map_random([[maybe_unused]] Device device, int64_t n, RandomKey key, F f) {
  DRAGOMAN_LAUNCH(map_random, n, key, f);
}

/// Makes some ColumnSums in one pass. f is called once for each row and column.
template <class... F>
void sum_rows([[maybe_unused]] Device device, int64_t rows, int64_t columns,
              ColumnSums<F>... sums) {
  DRAGOMAN_LAUNCH(sum_rows, rows, columns, sums...);
}

/// The same for up to kMostMatrices matrices.
template <class... F>
void sum_rows_of_each(Device device, std::span<const MatrixSums<F...>> matrices) {
#if defined(DRAGOMAN_KERNELS)
  if (device.on_gpu()) return gpu::sum_rows_of_each(device, matrices);
#endif
  for (const MatrixSums<F...>& matrix : matrices) {
    std::apply([&](auto... sums) { sum_rows(device, matrix.rows, matrix.columns, sums...); },
               matrix.sums);
  }
}

/// to[index[r]] += f(r, c) for every row r, in order of r, of a matrix with `targets` rows; a
/// negative index is left out.
template <class F>
void scatter_add_rows([[maybe_unused]] Device device, int64_t rows, int64_t columns,
                      const int32_t* index, int64_t targets, real* to, F f) {
  DRAGOMAN_LAUNCH(scatter_add_rows, rows, columns, index, targets, to, f);
}

#undef DRAGOMAN_LAUNCH

}  // namespace dragoman::launch
