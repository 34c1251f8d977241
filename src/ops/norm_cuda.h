// Norms on a GPU: a warp a row, whose numbers are read once and stay in registers.
#pragma once

#include "ops/norm_kernel.h"
#include "tensor/cuda.h"

namespace dragoman::norm_detail::gpu {

inline constexpr unsigned kWarp = 32, kRowsOfBlock = 8;

// What a lane has of a row: of each 128 columns four, those of one counter of a mask (core/rng.h).
template <int kParts>
using Held = float[kParts][4];

// f(part, i, column) for the lane's columns.
template <int kParts, class F>
__device__ void each_held(int64_t columns, F f) {
  const int first = static_cast<int>(threadIdx.x) / 16 * kRandomBlock + threadIdx.x % 16;
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    const int column = part * 2 * kRandomBlock + first;
    if (column >= columns) continue;  // with the other three: rows are whole blocks
#pragma unroll
    for (int i = 0; i < 4; ++i) f(part, i, column + 16 * i);
  }
}

template <int kParts, class F>
__device__ float sum_of_held(int64_t columns, F f) {
  float total = 0;
  each_held<kParts>(columns, [&](int part, int i, int) { total += f(part, i); });
#pragma unroll
  for (unsigned other = kWarp / 2; other > 0; other /= 2)
    total += __shfl_xor_sync(0xFFFFFFFFu, total, other);
  return total;
}

// The factors of a row's mask.
template <int kParts>
__device__ void find_factors(Held<kParts>& to, const Mask& mask, int64_t row, int64_t columns) {
  const int first = static_cast<int>(threadIdx.x) / 16 * kRandomBlock + threadIdx.x % 16;
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    const int column = part * 2 * kRandomBlock + first;
    if (column < columns) mask.four(row, columns, column, to[part]);
  }
}

template <int kParts>
__device__ void take(const AsItIs&, const float* in, int64_t begin, int64_t columns, int64_t,
                     Held<kParts>& v) {
  each_held<kParts>(columns, [&](int part, int i, int c) { v[part][i] = in[begin + c]; });
}
template <int kParts, class In>
__device__ void take(const AddRow<In>& f, const float*, int64_t begin, int64_t columns, int64_t row,
                     Held<kParts>& v) {
  Held<kParts> added, factors;
  each_held<kParts>(columns, [&](int part, int i, int c) {
    v[part][i] = f.x[begin + c];
    added[part][i] = f.added[begin + c];
  });
  find_factors<kParts>(factors, f.mask, row, columns);
  each_held<kParts>(columns, [&](int part, int i, int c) {
    v[part][i] += factors[part][i] * added[part][i];
    f.sum[begin + c] = v[part][i];
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
    f.statistics[2 * row] = mean;
    f.statistics[2 * row + 1] = inverse;
  }
  each_held<kParts>(columns, [&](int part, int i, int c) {
    const float normed = (v[part][i] - mean) * inverse * f.gain[c];
    f.out[begin + c] = f.bias ? normed + f.bias[c] : normed;
  });
}

template <int kParts, class D>
__device__ void find_gradient(Held<kParts>& to, const RowGradient<D>& f, int64_t row) {
  const int64_t columns = f.columns, begin = row * columns;
  const float share = 1 / static_cast<float>(columns);
  const float mean = f.statistics[2 * row], inverse = f.statistics[2 * row + 1];
  Held<kParts> v;
  each_held<kParts>(columns, [&](int part, int i, int c) {
    v[part][i] = f.x[begin + c] - mean;
    to[part][i] = f.d_normed[begin + c] * f.gain[c];
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
  each_held<kParts>(columns,
                    [&](int part, int i, int c) { f.to(row * columns + c, made[part][i]); });
}

template <int kParts, class D, class W>
__device__ void run(const SumGradient<D, W>& f, int64_t row) {
  const int64_t columns = f.from_norm.columns, begin = row * columns;
  const bool keeps = f.to.accumulate() || !f.from_norm.d_normed;
  Held<kParts> others, made, factors;
  each_held<kParts>(columns, [&](int part, int i, int c) {
    others[part][i] = keeps ? f.to.data()[begin + c] : 0;
    made[part][i] = 0;
  });
  if (f.from_norm.d_normed) find_gradient<kParts>(made, f.from_norm, row);
  find_factors<kParts>(factors, f.mask, row, columns);
  each_held<kParts>(columns, [&](int part, int i, int c) {
    const float total = others[part][i] + made[part][i];
    f.to.data()[begin + c] = total;
    f.write(begin + c, factors[part][i] * total);
  });
}

template <int kParts, class F>
__global__ void held_rows_kernel(int64_t rows, const __grid_constant__ F f) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.y;
  if (row < rows) run<kParts>(f, row);
}

// Whether rows of that length are whole blocks of a mask, and fit into registers.
inline bool serves(int64_t columns) { return columns % kRandomBlock == 0 && columns <= 1024; }

/// As launch::rows, for a functor of norm_kernel.h.
template <class F>
void rows(Device device, int64_t rows, int64_t columns, const F& f) {
  if (rows == 0) return;
  const cudaStream_t stream = cuda::stream_of(device.index);
  const auto blocks = static_cast<unsigned>((rows + kRowsOfBlock - 1) / kRowsOfBlock);
  const dim3 block(kWarp, kRowsOfBlock);
  const auto launch = [&]<int kParts>(std::integral_constant<int, kParts>) {
    held_rows_kernel<kParts><<<blocks, block, 0, stream>>>(rows, f);
  };
  if (columns <= 256) {
    launch(std::integral_constant<int, 2>{});
  } else if (columns <= 512) {
    launch(std::integral_constant<int, 4>{});
  } else {
    launch(std::integral_constant<int, 8>{});
  }
  cuda::check_call(cudaGetLastError(), "a kernel could not be launched");
}

}  // namespace dragoman::norm_detail::gpu
