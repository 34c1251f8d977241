// Norms on a GPU: one or two warps a row, whose numbers are read once and stay in registers.
#pragma once

#include "ops/norm_kernel.h"
#include "tensor/cuda.h"
#include "tensor/vectors_cuda.h"

namespace dragoman::norm_detail::gpu {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kRowsOfBlock = 4;  // where a warp does one; two warps are a block

// What a lane has of a row: of each part, 4 columns a lane, four side by side.
template <int kParts>
using Held = float[kParts][4];

using vectors::read;
using vectors::write;

__device__ inline void write(const GradientWriter& to, int64_t at, const float (&from)[4]) {
  float four[4] = {from[0], from[1], from[2], from[3]};
  if (to.accumulate()) {
    float old[4];
    read(old, to.data() + at);
#pragma unroll
    for (int i = 0; i < 4; ++i) four[i] += old[i];
  }
  write(to.data() + at, four);
}
__device__ inline void write(const Bf16Writer& to, int64_t at, const float (&from)[4]) {
  write(to.data + at, from);
}
__device__ inline void write(const Nowhere&, int64_t, const float (&)[4]) {}

// f(part, column) for the first of the lane's columns in each part.
template <int kParts, class F>
__device__ void each_part(int64_t columns, F f) {
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    const auto column = static_cast<int>((part * blockDim.x + threadIdx.x) * 4);
    if (column < columns) f(part, column);
  }
}

// f(part, i, column) for each of them.
template <int kParts, class F>
__device__ void each_held(int64_t columns, F f) {
  each_part<kParts>(columns, [&](int part, int column) {
#pragma unroll
    for (int i = 0; i < 4; ++i) f(part, i, column + i);
  });
}

template <int kParts, class F>
__device__ float sum_of_held(int64_t columns, F f) {
  float total = 0;
  each_held<kParts>(columns, [&](int part, int i, int) { total += f(part, i); });
#pragma unroll
  for (unsigned other = kWarp / 2; other > 0; other /= 2)
    total += __shfl_xor_sync(0xFFFFFFFFu, total, other);
  if (blockDim.x == kWarp) return total;
  __shared__ float of_warp[2];
  __syncthreads();  // whoever still reads the sums before
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = total;
  __syncthreads();
  return of_warp[0] + of_warp[1];
}

// The factors of a row's mask. The random words of a block of 64 columns come four at a time, for
// columns that lie 16 apart: each lane makes those of one column and of its likes, and asks others
// for those of its own.
template <int kParts>
__device__ void find_factors(Held<kParts>& to, const Mask& mask, int64_t row, int64_t columns) {
  const float kept = mask.kept_factor();
  const int half = static_cast<int>(threadIdx.x) / 16, place = static_cast<int>(threadIdx.x) % 16;
  const int half_of_warp = half % 2;
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    unsigned bits = ~0u;
    const int column = part * static_cast<int>(blockDim.x) * 4 + half * kRandomBlock + place;
    if (mask.drops() && column < columns) bits = mask.kept_of(row, columns, column);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const unsigned theirs = __shfl_sync(
          0xFFFFFFFFu, bits, static_cast<unsigned>(half_of_warp * 16 + place % 4 * 4 + i));
      to[part][i] = theirs >> (place / 4) & 1u ? kept : 0;
    }
  }
}

template <int kParts>
__device__ void take(const AsItIs&, const float* in, int64_t begin, int64_t columns, int64_t,
                     Held<kParts>& v) {
  each_part<kParts>(columns, [&](int part, int c) { read(v[part], in + begin + c); });
}
template <int kParts, class In>
__device__ void take(const AddRow<In>& f, const float*, int64_t begin, int64_t columns, int64_t row,
                     Held<kParts>& v) {
  Held<kParts> added, factors;
  each_part<kParts>(columns, [&](int part, int c) {
    read(v[part], f.x + begin + c);
    read(added[part], f.added + begin + c);
  });
  find_factors<kParts>(factors, f.mask, row, columns);
  each_part<kParts>(columns, [&](int part, int c) {
#pragma unroll
    for (int i = 0; i < 4; ++i) v[part][i] += factors[part][i] * added[part][i];
    write(f.sum + begin + c, v[part]);
  });
}

template <int kParts, class T, class Before>
__device__ void run(const NormaliseRow<T, Before>& f, int64_t row) {
  const int64_t columns = f.columns, begin = row * columns;
  const float share = 1 / static_cast<float>(columns);
  Held<kParts> v;
  take<kParts>(f.before, f.in, begin, columns, row, v);
  const float mean =
      f.bias ? share * sum_of_held<kParts>(columns, [&](int part, int i) { return v[part][i]; })
             : 0;
  const float variance = share * sum_of_held<kParts>(columns, [&](int part, int i) {
                           return (v[part][i] - mean) * (v[part][i] - mean);
                         });
  const float inverse = 1 / std::sqrt(variance + f.epsilon);
  if (threadIdx.x == 0) {
    *reinterpret_cast<float2*>(f.statistics + 2 * row) = make_float2(mean, inverse);
  }
  each_part<kParts>(columns, [&](int part, int c) {
    float gain[4], bias[4] = {0, 0, 0, 0};
    read(gain, f.gain + c);
    if (f.bias) read(bias, f.bias + c);
#pragma unroll
    for (int i = 0; i < 4; ++i) v[part][i] = (v[part][i] - mean) * inverse * gain[i] + bias[i];
    write(f.out + begin + c, v[part]);
  });
}

template <int kParts, class D>
__device__ void find_gradient(Held<kParts>& to, const RowGradient<D>& f, int64_t row) {
  const int64_t columns = f.columns, begin = row * columns;
  const float share = 1 / static_cast<float>(columns);
  const float2 statistics = *reinterpret_cast<const float2*>(f.statistics + 2 * row);
  const float mean = statistics.x, inverse = statistics.y;
  Held<kParts> v;
  each_part<kParts>(columns, [&](int part, int c) {
    float gain[4];
    read(v[part], f.x + begin + c);
    read(to[part], f.d_normed + begin + c);
    read(gain, f.gain + c);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      v[part][i] -= mean;
      to[part][i] *= gain[i];
    }
  });
  const float total =
      f.centred ? share * sum_of_held<kParts>(columns, [&](int part, int i) { return to[part][i]; })
                : 0;
  const float along = share * inverse * sum_of_held<kParts>(columns, [&](int part, int i) {
                        return to[part][i] * v[part][i];
                      });
  each_held<kParts>(columns, [&](int part, int i, int) {
    to[part][i] = inverse * (to[part][i] - total - v[part][i] * inverse * along);
  });
}

template <int kParts, class D>
__device__ void run(const WriteRowGradient<D>& f, int64_t row) {
  const int64_t columns = f.gradient.columns;
  Held<kParts> made;
  find_gradient<kParts>(made, f.gradient, row);
  each_part<kParts>(columns, [&](int part, int c) { write(f.to, row * columns + c, made[part]); });
}

template <int kParts, class D, class W>
__device__ void run(const SumGradient<D, W>& f, int64_t row) {
  const int64_t columns = f.from_norm.columns, begin = row * columns;
  const bool keeps = f.to.accumulate() || !f.from_norm.d_normed;
  Held<kParts> others, made, factors;
  each_part<kParts>(columns, [&](int part, int c) {
    if (keeps) read(others[part], f.to.data() + begin + c);
  });
  if (f.from_norm.d_normed) find_gradient<kParts>(made, f.from_norm, row);
  find_factors<kParts>(factors, f.mask, row, columns);
  each_part<kParts>(columns, [&](int part, int c) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float from_norm = f.from_norm.d_normed ? made[part][i] : 0;
      made[part][i] = keeps ? others[part][i] + from_norm : from_norm;
    }
    write(f.to.data() + begin + c, made[part]);
#pragma unroll
    for (int i = 0; i < 4; ++i) made[part][i] *= factors[part][i];
    write(f.write, begin + c, made[part]);
  });
}

// So many registers that all rows of a batch of 4000 tokens are under way at once.
template <int kParts, class F>
__global__ void __launch_bounds__(kWarp* kRowsOfBlock, 8)
    held_rows_kernel(int64_t rows, const __grid_constant__ F f) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row < rows) run<kParts>(f, row);
}

// Whether rows of that length are whole blocks of a mask, and fit into registers.
inline bool serves(int64_t columns) { return columns % kRandomBlock == 0 && columns <= 1024; }

/// As launch::rows, for a functor of norm_kernel.h.
template <class F>
void rows(Device device, int64_t rows, int64_t columns, const F& f) {
  if (rows == 0) return;
  const cudaStream_t stream = cuda::stream_of(device.index);
  const auto launch = [&]<int kParts>(std::integral_constant<int, kParts>, unsigned warps) {
    const dim3 block(warps * kWarp, warps == 1 ? kRowsOfBlock : 1);
    const auto blocks = static_cast<unsigned>((rows + block.y - 1) / block.y);
    held_rows_kernel<kParts><<<blocks, block, 0, stream>>>(rows, f);
  };
  if (columns <= 256) {
    launch(std::integral_constant<int, 2>{}, 1);
  } else {
    launch(std::integral_constant<int, 4>{}, columns <= 512 ? 1 : 2);
  }
  cuda::check_call(cudaGetLastError(), "a kernel could not be launched");
}

}  // namespace dragoman::norm_detail::gpu
