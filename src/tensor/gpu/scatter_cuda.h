// Rows that are added by an index, on a GPU. Who has an index is found first, in any order; then
// one warp, or one block, adds the rows of an index in their order, so that results are the same
// from run to run.
#pragma once

#include "tensor/gpu.h"
#include "tensor/gpu/launch_cuda.h"

namespace dragoman::launch::gpu {

namespace detail {

// Of an index: how many rows have it, which is the first of them, and where their list begins. What
// depends on the order in which threads came is nothing but where a list lies and how it is
// ordered.
struct Occurrences {
  unsigned count, before_end;  // the rows from the first on; 0: none
  unsigned begin;
};

// What is counted over all indices: the places of lists that are taken, and the indices of many
// rows.
struct Lists {
  unsigned taken, many;
};

inline constexpr unsigned kFew = kWarp;  // rows that a warp adds alone
inline constexpr unsigned kWarps = kThreads / kWarp;
inline constexpr int kTogether = 4;  // columns that a thread adds up at a time

__global__ inline void count_kernel(int64_t rows, const int32_t* index, Occurrences* of,
                                    unsigned* place) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows || index[row] < 0) return;
  place[row] = atomicAdd(&of[index[row]].count, 1u);
  atomicMax(&of[index[row]].before_end, static_cast<unsigned>(rows - row));
}

// The sum of the numbers of a warp's lanes up to this one's.
__device__ inline unsigned sum_up_to(unsigned number, unsigned lane) {
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const unsigned other = __shfl_up_sync(0xFFFFFFFFu, number, distance);
    if (lane >= distance) number += other;
  }
  return number;
}

__global__ inline void begin_kernel(int64_t rows, const int32_t* index, Occurrences* of,
                                    Lists* lists, int32_t* many) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int32_t id = row < rows ? index[row] : -1;
  const bool is_first = id >= 0 && rows - of[id].before_end == row;
  const unsigned count = is_first ? of[id].count : 0;
  // A warp asks for places once.
  const unsigned lane = threadIdx.x % kWarp;
  const unsigned sum = sum_up_to(count, lane);
  unsigned begin = 0;
  if (lane == kWarp - 1 && sum > 0) begin = atomicAdd(&lists->taken, sum);
  begin = __shfl_sync(0xFFFFFFFFu, begin, kWarp - 1);
  if (is_first) of[id].begin = begin + sum - count;
  if (count > kFew) many[atomicAdd(&lists->many, 1u)] = id;
}

__global__ inline void list_kernel(int64_t rows, const int32_t* index, const Occurrences* of,
                                   const unsigned* place, unsigned* list) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows || index[row] < 0) return;
  list[of[index[row]].begin + place[row]] = static_cast<unsigned>(row);
}

// total[k] += the sum over `count` of those rows of the column c + k * kWarp.
template <class F>
__device__ void add_up(real (&total)[kTogether], const unsigned* of_rows, unsigned count, int64_t c,
                       int64_t columns, const F& f) {
#pragma unroll 4
  for (unsigned i = 0; i < count; ++i) {
    const int64_t row = of_rows[i];
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      if (c + k * kWarp < columns) total[k] += f(row, c + k * kWarp);
    }
  }
}

// A warp a row: that of the first row with an index of few rows.
template <class F>
__global__ void scatter_few_kernel(int64_t rows, int64_t columns, const int32_t* index,
                                   const Occurrences* of, const unsigned* list, real* to, F f) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.y;
  if (row >= rows || index[row] < 0) return;
  const int64_t id = index[row];
  const Occurrences mine = of[id];
  if (rows - mine.before_end != row || mine.count > kFew) return;
  __shared__ unsigned ordered_of_warp[kWarps][kFew];
  unsigned* const ordered = ordered_of_warp[threadIdx.y];
  const unsigned own = threadIdx.x < mine.count ? list[mine.begin + threadIdx.x] : ~0u;
  unsigned before = 0;
  for (unsigned i = 0; i < mine.count; ++i) before += __shfl_sync(0xFFFFFFFFu, own, i) < own;
  if (threadIdx.x < mine.count) ordered[before] = own;
  __syncwarp();
  for (int64_t c = threadIdx.x; c < columns; c += kTogether * kWarp) {
    real total[kTogether];
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      total[k] = c + k * kWarp < columns ? to[id * columns + c + k * kWarp] : 0;
    }
    add_up(total, ordered, mine.count, c, columns, f);
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      if (c + k * kWarp < columns) to[id * columns + c + k * kWarp] = total[k];
    }
  }
}

// What comes before a thread's number in the block, and the sum of all.
struct Before {
  unsigned mine, all;
};
__device__ inline Before sum_before(unsigned number) {
  __shared__ unsigned of_warp[kWarp];
  const unsigned sum = sum_up_to(number, threadIdx.x);
  __syncthreads();  // whoever still reads the sums before
  if (threadIdx.x == kWarp - 1) of_warp[threadIdx.y] = sum;
  __syncthreads();
  Before before{sum - number, 0};
  for (unsigned warp = 0; warp < blockDim.y; ++warp) {
    if (warp < threadIdx.y) before.mine += of_warp[warp];
    before.all += of_warp[warp];
  }
  return before;
}

// A block for an index of many rows and for some columns. Rows are put in order kWindow at a time,
// by a bit for each; of those that are found each warp adds some that follow one another.
inline constexpr unsigned kManyWarps = 32, kWindow = kManyWarps * kWarp * 8;

template <class F>
__global__ void __launch_bounds__(kManyWarps* kWarp)
    scatter_many_kernel(int64_t rows, int64_t columns, const Lists* lists, const int32_t* many,
                        const Occurrences* of, const unsigned* list, real* to, F f) {
  constexpr unsigned kThreadsOfMany = kManyWarps * kWarp;
  __shared__ unsigned bits[kWindow / 32];
  __shared__ unsigned ordered[kWindow];
  const unsigned thread = threadIdx.y * kWarp + threadIdx.x;
  const int64_t c = static_cast<int64_t>(blockIdx.y) * kTogether * kWarp + threadIdx.x;
  for (unsigned number = blockIdx.x; number < lists->many; number += gridDim.x) {
    const int64_t id = many[number];
    const Occurrences mine = of[id];
    real total[kTogether] = {};
    for (int64_t window = 0; window < rows; window += kWindow) {
      if (thread < kWindow / 32) bits[thread] = 0;
      __syncthreads();
      for (unsigned i = thread; i < mine.count; i += kThreadsOfMany) {
        const int64_t at = static_cast<int64_t>(list[mine.begin + i]) - window;
        if (at >= 0 && at < kWindow) atomicOr(&bits[at / 32], 1u << at % 32);
      }
      __syncthreads();
      const unsigned word = thread < kWindow / 32 ? bits[thread] : 0;
      const Before before = sum_before(static_cast<unsigned>(__popc(word)));
      unsigned at = before.mine;
      for (unsigned left = word; left != 0; left &= left - 1) {
        ordered[at++] = static_cast<unsigned>(window) + thread * 32 +
                        static_cast<unsigned>(__ffs(static_cast<int>(left)) - 1);
      }
      __syncthreads();
      const unsigned share = (before.all + kManyWarps - 1) / kManyWarps;
      const unsigned first = min(threadIdx.y * share, before.all);
      add_up(total, ordered + first, min(share, before.all - first), c, columns, f);
      __syncthreads();
    }
    // Of all warps; where the rows' numbers were.
    auto* const parts = reinterpret_cast<real*>(ordered);
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      parts[(threadIdx.y * kTogether + k) * kWarp + threadIdx.x] = total[k];
    }
    __syncthreads();
    const int64_t column = c - threadIdx.x + thread;
    if (thread < kTogether * kWarp && column < columns) {
      real sum = to[id * columns + column];
      for (unsigned warp = 0; warp < kManyWarps; ++warp) {
        sum += parts[warp * kTogether * kWarp + thread];
      }
      to[id * columns + column] = sum;
    }
    __syncthreads();
  }
}
static_assert(kWindow / 32 <= kManyWarps * kWarp && kWindow >= kManyWarps * kTogether * kWarp);

}  // namespace detail

template <class F>
void scatter_add_rows(Device device, int64_t rows, int64_t columns, const int32_t* index,
                      int64_t targets, real* to, F f) {
  using namespace detail;
  if (rows == 0 || columns == 0) return;
  const auto all = static_cast<size_t>(rows);
  const size_t cleared = sizeof(Lists) + static_cast<size_t>(targets) * sizeof(Occurrences);
  // Places, lists, and the indices of many rows.
  const auto memory = Allocator::of(device).allocate(cleared + 3 * all * sizeof(unsigned));
  auto* const lists = static_cast<Lists*>(memory->data());
  auto* const of = reinterpret_cast<Occurrences*>(lists + 1);
  auto* const place = reinterpret_cast<unsigned*>(of + targets);
  unsigned* const list = place + all;
  auto* const many = reinterpret_cast<int32_t*>(list + all);
  dragoman::gpu::fill(device.index, lists, 0, cleared);
  const cuda::Grid a_thread_each{blocks_for(rows, kThreads), kThreads};
  cuda::launch(device, a_thread_each, count_kernel, rows, index, of, place);
  cuda::launch(device, a_thread_each, begin_kernel, rows, index, of, lists, many);
  cuda::launch(device, a_thread_each, list_kernel, rows, index, of, place, list);
  cuda::launch(device, {blocks_for(rows, kWarps), {kWarp, kWarps}}, scatter_few_kernel<F>, rows,
               columns, index, of, list, to, f);
  if (rows > kFew) {
    const dim3 grid(std::min(blocks_for(rows, kFew + 1), most_blocks(device.index)),
                    blocks_for(columns, kTogether * kWarp));
    cuda::launch(device, {grid, {kWarp, kManyWarps}}, scatter_many_kernel<F>, rows, columns, lists,
                 many, of, list, to, f);
  }
}

}  // namespace dragoman::launch::gpu
