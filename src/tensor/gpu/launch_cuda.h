// The launchers of a GPU, but for scatter_cuda.h. Each output is summed by one thread, or by the
// threads of a block in a fixed order: results are the same from run to run.
#pragma once

#include <algorithm>

#include "tensor/allocator.h"
#include "tensor/column_sums.h"
#include "tensor/device.h"
#include "tensor/gpu/kernel.h"
#include "tensor/lane.h"

namespace dragoman::launch::gpu {

namespace detail {

inline constexpr unsigned kThreads = 256;
using reduce::kWarp;

// Up to so many columns, a warp does a row; a block needs barriers.
inline constexpr int64_t kWarpColumns = 1024;

// Blocks that are launched at most: a few for each multiprocessor, whose threads then loop.
inline unsigned most_blocks(int index) {
  return static_cast<unsigned>(cuda::properties_of(index).multiprocessors) * 8;
}

inline unsigned blocks_for(int64_t n, int64_t per_block) {
  return static_cast<unsigned>((n + per_block - 1) / per_block);
}

// Blocks of kThreads that run at the same time: more would begin when these end, and leave the GPU
// half empty at last.
template <class... Arguments>
unsigned blocks_at_once(Device device, void (*kernel)(Arguments...)) {
  return static_cast<unsigned>(cuda::blocks_at_once(device, kernel, kThreads) *
                               cuda::properties_of(device.index).multiprocessors);
}

template <class F>
__global__ void map_kernel(int64_t n, F f) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if constexpr (requires { f.load(i); }) {
    // The compiler cannot know that no store changes what is loaded next. Who says what it loads
    // and what it stores is asked for several loads before their stores.
    constexpr int kLoads = 4;
    for (; i + (kLoads - 1) * step < n; i += kLoads * step) {
      decltype(f.load(i)) loaded[kLoads];
#pragma unroll
      for (int part = 0; part < kLoads; ++part) loaded[part] = f.load(i + part * step);
#pragma unroll
      for (int part = 0; part < kLoads; ++part) f.store(i + part * step, loaded[part]);
    }
  }
  for (; i < n; i += step) f(i);
}

template <class F>
__global__ void map_random_kernel(int64_t n, RandomKey key, F f) {
  constexpr int64_t kCounters = kRandomBlock / 4;
  const int64_t counters = (n + kRandomBlock - 1) / kRandomBlock * kCounters;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < counters;
       i += step) {
    const int64_t begin = i / kCounters * kRandomBlock + i % kCounters;
    uint32_t words[4];
    random_words(key, static_cast<uint64_t>(i), words);
    for (int part = 0; part < 4; ++part) {
      if (begin + part * kCounters < n) f(begin + part * kCounters, words[part]);
    }
  }
}

template <class F>
__global__ void rows_kernel(int64_t rows, F f) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row < rows) f(Lane{}, row);
}

// The scratch of a block lies in its shared memory, or, where that is too small, in `memory`: then
// there are fewer blocks than tasks.
template <class F>
__global__ void tasks_kernel(int64_t count, int64_t scratch, real* memory, F f) {
  real* const own = memory ? memory + blockIdx.x * scratch : cuda::shared_memory<real>();
  for (int64_t task = blockIdx.x; task < count; task += gridDim.x) f(Lane{}, task, own);
}

// A block has kWarp times kWidth columns, a thread kWidth of them, and kRowThreads threads a
// column; it sums some rows, into the results or a row of partial sums for each. Of the blocks that
// share columns the one that comes last adds their partial sums up, in the order of the rows.
inline constexpr unsigned kRowThreads = 8;

// The rows of a block, where one of the `strips` of columns has so many: fewer of them where there
// would not be some blocks for every multiprocessor.
inline int64_t rows_of_block(int index, int64_t rows, int64_t strips) {
  int64_t of_one = kRowBlock;
  while (of_one > kRowBlock / 4 && 2 * strips * (rows / of_one) < most_blocks(index)) of_one /= 2;
  return of_one;
}

// Whether a thread can have several columns.
template <class F>
concept ReadsFour = requires(const F& f, real (&to)[4]) {
  f.four(int64_t{}, int64_t{}, to);
};

template <int kWidth>
using Totals = real[kWidth];

// The sums of what the threads of a column have; the first of them knows them.
template <int kWidth>
__device__ void sum_of_threads(Totals<kWidth>& mine) {
  __shared__ real sums[kRowThreads][kWidth][kWarp];
  __syncthreads();  // whoever still reads the sums before
#pragma unroll
  for (int i = 0; i < kWidth; ++i) sums[threadIdx.y][i][threadIdx.x] = mine[i];
  __syncthreads();
  if (threadIdx.y != 0) return;
  for (unsigned other = 1; other < kRowThreads; ++other) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) mine[i] += sums[other][i][threadIdx.x];
  }
}

template <int kWidth, class F>
__device__ void give(int64_t c, const Totals<kWidth>& totals, const ColumnSums<F>& column) {
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    column.out[c + i] = column.accumulate ? column.out[c + i] + totals[i] : totals[i];
  }
}

template <int kWidth, class F>
__device__ void sum_columns(int64_t rows, int64_t rows_of_one, int64_t columns, int64_t result,
                            int64_t results, real* partial, const ColumnSums<F>& column) {
  const int64_t c = (static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x) * kWidth;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * rows_of_one;
  const int64_t end = begin + rows_of_one < rows ? begin + rows_of_one : rows;
  Totals<kWidth> totals = {};
  if (c < columns) {
#pragma unroll 8
    for (int64_t row = begin + threadIdx.y; row < end; row += kRowThreads) {
      Totals<kWidth> values;
      if constexpr (kWidth == 4) {
        column.f.four(row, c, values);
      } else {
        values[0] = column.f(row, c);
      }
#pragma unroll
      for (int i = 0; i < kWidth; ++i) totals[i] += values[i];
    }
  }
  sum_of_threads<kWidth>(totals);
  if (threadIdx.y != 0 || c >= columns) return;
  if (!partial) return give<kWidth>(c, totals, column);
  real* const to = partial + (blockIdx.y * results + result) * columns + c;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) to[i] = totals[i];
}

template <int kWidth, class F>
__device__ void finish_columns(int64_t blocks, int64_t columns, int64_t result, int64_t results,
                               const real* partial, const ColumnSums<F>& column) {
  const int64_t c = (static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x) * kWidth;
  Totals<kWidth> totals = {};
  if (c < columns) {
#pragma unroll 4
    for (int64_t block = threadIdx.y; block < blocks; block += kRowThreads) {
      const real* const from = partial + (block * results + result) * columns + c;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) totals[i] += __ldcg(from + i);
    }
  }
  sum_of_threads<kWidth>(totals);
  if (threadIdx.y == 0 && c < columns) give<kWidth>(c, totals, column);
}

// The part of a block in the sums of one matrix. `arrived` counts the blocks of each strip of
// columns, and is left at 0.
template <int kWidth, class... F>
__device__ void sum_part(int64_t rows, int64_t rows_of_one, int64_t columns, real* partial,
                         unsigned* arrived, const ColumnSums<F>&... sums) {
  const int64_t blocks = rows > rows_of_one ? (rows + rows_of_one - 1) / rows_of_one : 1;
  if (blockIdx.y >= blocks || blockIdx.x * kWarp * kWidth >= columns) return;
  int64_t result = 0;
  (sum_columns<kWidth>(rows, rows_of_one, columns, result++, sizeof...(F),
                       blocks > 1 ? partial : nullptr, sums),
   ...);
  if (blocks == 1) return;
  // What a block's threads have written before the barrier is written before its arrival, and read
  // behind the last one's: as a grid's barrier does it.
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    __threadfence();
    last = atomicAdd(arrived + blockIdx.x, 1u) + 1 == blocks;
    if (last) {
      atomicExch(arrived + blockIdx.x, 0u);
      __threadfence();
    }
  }
  __syncthreads();
  if (!last) return;
  result = 0;
  (finish_columns<kWidth>(blocks, columns, result++, sizeof...(F), partial, sums), ...);
}

template <class... F>
struct Matrices {
  MatrixSums<F...> of[kMostMatrices];
};

// The sums of several matrices, whose partial sums are `distance` numbers apart.
template <int kWidth, class... F>
__global__ void sum_rows_kernel(const __grid_constant__ Matrices<F...> matrices,
                                int64_t rows_of_one, real* partial, int64_t distance,
                                unsigned* arrived) {
  const MatrixSums<F...>& matrix = matrices.of[blockIdx.z];
  std::apply(
      [&](const ColumnSums<F>&... sums) {
        sum_part<kWidth>(matrix.rows, rows_of_one, matrix.columns, partial + blockIdx.z * distance,
                         arrived + blockIdx.z * gridDim.x, sums...);
      },
      matrix.sums);
}

}  // namespace detail

template <class F>
void map(Device device, int64_t n, F f) {
  if (n == 0) return;
  static const unsigned at_once = detail::blocks_at_once(device, detail::map_kernel<F>);
  const unsigned blocks = std::min(detail::blocks_for(n, detail::kThreads), at_once);
  cuda::launch(device, {blocks, detail::kThreads}, detail::map_kernel<F>, n, f);
}

template <class F>
void map_random(Device device, int64_t n, RandomKey key, F f) {
  if (n == 0) return;
  const unsigned blocks = std::min(detail::blocks_for((n + 3) / 4, detail::kThreads),
                                   detail::most_blocks(device.index));
  cuda::launch(device, {blocks, detail::kThreads}, detail::map_random_kernel<F>, n, key, f);
}

template <class F>
void rows(Device device, int64_t rows, int64_t columns, F f) {
  if (rows == 0) return;
  const bool warps = columns <= detail::kWarpColumns;
  const dim3 block =
      warps ? dim3(detail::kWarp, detail::kThreads / detail::kWarp) : dim3(detail::kThreads);
  cuda::launch(device, {detail::blocks_for(rows, block.y), block}, detail::rows_kernel<F>, rows, f);
}

template <class F>
void tasks(Device device, int64_t count, int64_t scratch, int64_t work, F f) {
  if (count == 0) return;
  // Warps that the work of a task keeps busy: more where tasks are too few to keep the GPU busy.
  const int64_t each = work / count;
  const bool few = count <= 4 * cuda::properties_of(device.index).multiprocessors;
  const unsigned warps = few ? (each < 1024 ? 1 : (each < 16384 ? 4 : 16)) : (each < 4096 ? 1 : 4);
  const unsigned threads = warps * detail::kWarp;
  const size_t bytes = static_cast<size_t>(scratch) * sizeof(real);
  if (bytes <= cuda::properties_of(device.index).shared_memory_per_block) {
    cuda::launch(device, {static_cast<unsigned>(count), threads, bytes}, detail::tasks_kernel<F>,
                 count, scratch, nullptr, f);
  } else {
    const auto blocks =
        static_cast<unsigned>(std::min<int64_t>(count, detail::most_blocks(device.index)));
    // The next tensor that gets this memory is written behind this launch.
    const auto memory = Allocator::of(device).allocate(blocks * bytes);
    cuda::launch(device, {blocks, threads}, detail::tasks_kernel<F>, count, scratch,
                 static_cast<real*>(memory->data()), f);
  }
}

template <class... F>
void sum_rows_of_each(Device device, std::span<const MatrixSums<F...>> matrices) {
  check(matrices.size() <= kMostMatrices, "{} matrices are too many", matrices.size());
  if (matrices.empty()) return;
  int64_t rows = 0, columns = 0;
  bool fours = true;
  for (const MatrixSums<F...>& matrix : matrices) {
    rows = std::max(rows, matrix.rows);
    columns = std::max(columns, matrix.columns);
    fours = fours && matrix.columns % 4 == 0;
  }
  if (columns == 0) return;
  // Functors cannot be made before they are copied: those that are missing are the first.
  const auto given = [&]<size_t... I>(std::index_sequence<I...>) {
    return detail::Matrices<F...>{{matrices[I < matrices.size() ? I : 0]...}};
  }
  (std::make_index_sequence<kMostMatrices>());
  const auto launch = [&]<int kWidth>(std::integral_constant<int, kWidth>) {
    const unsigned strips = detail::blocks_for(columns, detail::kWarp * kWidth);
    const auto count = static_cast<unsigned>(matrices.size());
    const int64_t rows_of_one = detail::rows_of_block(device.index, rows, int64_t{strips} * count);
    const dim3 grid(strips, std::max(1u, detail::blocks_for(rows, rows_of_one)), count);
    const dim3 block(detail::kWarp, detail::kRowThreads);
    check(grid.x * grid.z <= cuda::kCounters, "{} columns are too many to be summed up", columns);
    const size_t distance = sizeof...(F) * grid.y * static_cast<size_t>(columns);
    const auto memory = Allocator::of(device).allocate(grid.z * distance * sizeof(real));
    cuda::launch(device, {grid, block}, detail::sum_rows_kernel<kWidth, F...>, given, rows_of_one,
                 static_cast<real*>(memory->data()), static_cast<int64_t>(distance),
                 cuda::counters(device.index));
  };
  if constexpr ((detail::ReadsFour<F> && ...)) {
    if (fours) return launch(std::integral_constant<int, 4>{});
  }
  launch(std::integral_constant<int, 1>{});
}

template <class... F>
void sum_rows(Device device, int64_t rows, int64_t columns, ColumnSums<F>... sums) {
  const MatrixSums<F...> one[] = {{rows, columns, {sums...}}};
  gpu::sum_rows_of_each(device, std::span<const MatrixSums<F...>>(one));
}

}  // namespace dragoman::launch::gpu
