// Norms on a GPU: a warp for every 256 columns of a row, whose numbers are read once and stay in
// registers.
#pragma once

#include <algorithm>

#include "ops/norm_kernel.h"
#include "tensor/gpu/kernel.h"
#include "tensor/gpu/reduce_cuda.h"
#include "tensor/gpu/vectors_cuda.h"
#include "tensor/tensor.h"

namespace dragoman::norm_detail::gpu {

using reduce::kWarp;
inline constexpr unsigned kMostWarps = 4;  // of a row, and of a block

// What a lane has of a row: of each part, 4 columns a lane, four side by side.
inline constexpr int kParts = 2;
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
template <class F>
__device__ void each_part(int64_t columns, F f) {
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    const auto column = static_cast<int>((part * blockDim.x + threadIdx.x) * 4);
    if (column < columns) f(part, column);
  }
}

// f(part, i, column) for each of them.
template <class F>
__device__ void each_held(int64_t columns, F f) {
  each_part(columns, [&](int part, int column) {
#pragma unroll
    for (int i = 0; i < 4; ++i) f(part, i, column + i);
  });
}

template <class F>
__device__ float sum_of_held(int64_t columns, F f) {
  float total = 0;
  each_held(columns, [&](int part, int i, int) { total += f(part, i); });
  return reduce::block(total, reduce::Add{});
}

// Which of a lane's numbers of a row its mask keeps, a bit each, in the order of parts. The random
// words of a block of 64 columns come four at a time, for columns that lie 16 apart: each lane
// makes those of one column and of its likes, and asks others for those of its own.
__device__ inline unsigned find_kept(const Mask& mask, int64_t row, int64_t columns) {
  const int half = static_cast<int>(threadIdx.x) / 16, place = static_cast<int>(threadIdx.x) % 16;
  const int half_of_warp = half % 2;
  unsigned kept = 0;
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    unsigned bits = ~0u;
    const int column = part * static_cast<int>(blockDim.x) * 4 + half * kRandomBlock + place;
    if (mask.drops() && column < columns) bits = mask.kept_of(row, columns, column);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const unsigned theirs = __shfl_sync(
          0xFFFFFFFFu, bits, static_cast<unsigned>(half_of_warp * 16 + place % 4 * 4 + i));
      kept |= (theirs >> (place / 4) & 1u) << (part * 4 + i);
    }
  }
  return kept;
}

// The factors of one part.
__device__ inline void factors_of(float (&to)[4], const Mask& mask, unsigned kept, int part) {
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = kept >> (part * 4 + i) & 1u ? mask.kept_factor() : 0;
}

__device__ inline void take(const AsItIs&, const float* in, int64_t begin, int64_t columns, int64_t,
                            Held& v) {
  each_part(columns, [&](int part, int c) { read(v[part], in + begin + c); });
}
template <class In>
__device__ void take(const AddRow<In>& f, const float*, int64_t begin, int64_t columns, int64_t row,
                     Held& v) {
  Held added;
  each_part(columns, [&](int part, int c) {
    read(v[part], f.x + begin + c);
    read(added[part], f.added + begin + c);
  });
  const unsigned kept = find_kept(f.mask, row, columns);
  each_part(columns, [&](int part, int c) {
    float factors[4];
    factors_of(factors, f.mask, kept, part);
#pragma unroll
    for (int i = 0; i < 4; ++i) v[part][i] += factors[i] * added[part][i];
    write(f.sum + begin + c, v[part]);
  });
}

template <class T, class Before>
__device__ void run(const NormaliseRow<T, Before>& f, int64_t row) {
  const int64_t columns = f.columns, begin = row * columns;
  const float share = 1 / static_cast<float>(columns);
  Held v;
  take(f.before, f.in, begin, columns, row, v);
  const float mean =
      f.bias ? share * sum_of_held(columns, [&](int part, int i) { return v[part][i]; }) : 0;
  const float variance = share * sum_of_held(columns, [&](int part, int i) {
                           return (v[part][i] - mean) * (v[part][i] - mean);
                         });
  const float inverse = 1 / std::sqrt(variance + f.epsilon);
  if (threadIdx.x == 0) {
    *reinterpret_cast<float2*>(f.statistics + 2 * row) = make_float2(mean, inverse);
  }
  each_part(columns, [&](int part, int c) {
    float gain[4], bias[4] = {0, 0, 0, 0};
    read(gain, f.gain + c);
    if (f.bias) read(bias, f.bias + c);
#pragma unroll
    for (int i = 0; i < 4; ++i) v[part][i] = (v[part][i] - mean) * inverse * gain[i] + bias[i];
    write(f.out + begin + c, v[part]);
  });
}

// Writes what of a row of a sum's gradient goes through dropout.
template <class D, class W>
__device__ void give_added(const SumGradient<D, W>& f, int64_t row, Held& v) {
  const int64_t columns = f.from_norm.columns;
  const unsigned kept = find_kept(f.mask, row, columns);
  each_part(columns, [&](int part, int c) {
    float factors[4];
    factors_of(factors, f.mask, kept, part);
#pragma unroll
    for (int i = 0; i < 4; ++i) v[part][i] *= factors[i];
    write(f.write, row * columns + c, v[part]);
  });
}

// A row of a sum whose normalised rows nobody reads.
template <class D, class W>
__device__ void run(const SumGradient<D, W>& f, int64_t row) {
  const int64_t columns = f.from_norm.columns, begin = row * columns;
  Held v;
  each_part(columns, [&](int part, int c) { read(v[part], f.to.data() + begin + c); });
  give_added(f, row, v);
}

// What a lane reads of a row for its gradient, as it lies in memory, so that it can be asked for
// long before it is used.
template <class D>
struct Inputs {
  float4 x[kParts], others[kParts];
  vectors::Four<D> d_normed[kParts];
  float2 statistics;

  // `sum` has what is added to, or is null.
  __device__ void ask(const RowGradient<D>& f, const float* sum, int64_t row) {
    const int64_t begin = row * f.columns;
    statistics = *reinterpret_cast<const float2*>(f.statistics + 2 * row);
    each_part(f.columns, [&](int part, int c) {
      x[part] = *reinterpret_cast<const float4*>(f.x + begin + c);
      d_normed[part] = *reinterpret_cast<const vectors::Four<D>*>(f.d_normed + begin + c);
      if (sum) others[part] = *reinterpret_cast<const float4*>(sum + begin + c);
    });
  }
};

template <class D>
__device__ Inputs<D> inputs_of(const RowGradient<D>&) {
  return {};
}

template <class D>
__device__ const RowGradient<D>& gradient_of(const WriteRowGradient<D>& f) {
  return f.gradient;
}
template <class D, class W>
__device__ const RowGradient<D>& gradient_of(const SumGradient<D, W>& f) {
  return f.from_norm;
}
template <class D>
__device__ const float* others_of(const WriteRowGradient<D>&) {
  return nullptr;  // who writes it adds
}
template <class D, class W>
__device__ const float* others_of(const SumGradient<D, W>& f) {
  return f.to.accumulate() ? f.to.data() : nullptr;
}

// What a lane adds up over its rows for the gradients of gain and bias.
struct Sums {
  Held gain = {}, bias = {};
};

template <class D>
__device__ void find_gradient(Held& to, const RowGradient<D>& f, const Inputs<D>& in, Sums& sums) {
  const int64_t columns = f.columns;
  const float share = 1 / static_cast<float>(columns);
  const float mean = in.statistics.x, inverse = in.statistics.y;
  Held v;
  each_part(columns, [&](int part, int c) {
    float gain[4];
    read(gain, f.gain + c);
    vectors::unpack(v[part], in.x[part]);
    vectors::unpack(to[part], in.d_normed[part]);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      v[part][i] -= mean;
      sums.gain[part][i] += to[part][i] * v[part][i] * inverse;
      sums.bias[part][i] += to[part][i];
      to[part][i] *= gain[i];
    }
  });
  const float total =
      f.centred ? share * sum_of_held(columns, [&](int part, int i) { return to[part][i]; }) : 0;
  const float along = share * inverse * sum_of_held(columns, [&](int part, int i) {
                        return to[part][i] * v[part][i];
                      });
  each_held(columns, [&](int part, int i, int) {
    to[part][i] = inverse * (to[part][i] - total - v[part][i] * inverse * along);
  });
}

template <class D>
__device__ void give(const WriteRowGradient<D>& f, const Inputs<D>&, int64_t row, Held& made) {
  const int64_t columns = f.gradient.columns;
  each_part(columns, [&](int part, int c) { write(f.to, row * columns + c, made[part]); });
}
template <class D, class W>
__device__ void give(const SumGradient<D, W>& f, const Inputs<D>& in, int64_t row, Held& made) {
  const int64_t columns = f.from_norm.columns;
  each_part(columns, [&](int part, int c) {
    if (f.to.accumulate()) {
      float others[4];
      vectors::unpack(others, in.others[part]);
#pragma unroll
      for (int i = 0; i < 4; ++i) made[part][i] += others[i];
    }
    write(f.to.data() + row * columns + c, made[part]);
  });
  give_added(f, row, made);
}

// So many registers that all rows of a batch of 4000 tokens are under way at once.
template <class F>
__global__ void __launch_bounds__(kWarp* kMostWarps, 8)
    held_rows_kernel(int64_t rows, const __grid_constant__ F f) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row < rows) run(f, row);
}

// The gradients of rows, with partial sums for gain and bias, a row of them a block, each over the
// rows that the block has. A row is asked for while the one before is computed.
template <class F>
__global__ void __launch_bounds__(kWarp* kMostWarps, 4)
    held_gradients_kernel(int64_t rows, int64_t columns, const __grid_constant__ F f,
                          float* to_gain, float* to_bias) {
  Sums sums;
  const auto& gradient = gradient_of(f);
  const float* const others = others_of(f);
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.y;
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  auto next = inputs_of(gradient);
  if (row < rows) next.ask(gradient, others, row);
  for (; row < rows; row += step) {
    const auto in = next;
    if (row + step < rows) next.ask(gradient, others, row + step);
    Held made;
    find_gradient(made, gradient, in, sums);
    give(f, in, row, made);
  }
  const int64_t begin = blockIdx.x * columns;
  if (blockDim.y == 1) {
    each_part(columns, [&](int part, int c) {
      write(to_gain + begin + c, sums.gain[part]);
      if (to_bias) write(to_bias + begin + c, sums.bias[part]);
    });
    return;
  }
  alignas(16) __shared__ float of_warp[2][kMostWarps][kParts * kWarp * 4];
  each_part(columns, [&](int part, int c) {
    write(of_warp[0][threadIdx.y] + c, sums.gain[part]);
    write(of_warp[1][threadIdx.y] + c, sums.bias[part]);
  });
  __syncthreads();
  const auto add_warps = [&](float* to, const float(&from)[kMostWarps][kParts * kWarp * 4], int c) {
    float total = 0;
    for (unsigned warp = 0; warp < blockDim.y; ++warp) total += from[warp][c];
    to[begin + c] = total;
  };
  const auto threads = static_cast<int>(blockDim.x * blockDim.y);
  for (auto c = static_cast<int>(threadIdx.y * kWarp + threadIdx.x); c < columns; c += threads) {
    add_warps(to_gain, of_warp[0], c);
    if (to_bias) add_warps(to_bias, of_warp[1], c);
  }
}

// Whether rows of that length are whole blocks of a mask, and fit into registers.
inline bool serves(int64_t columns) {
  return columns % kRandomBlock == 0 && columns <= kMostWarps * kParts * kWarp * 4;
}

inline dim3 block_for(int64_t columns) {
  const auto warps = static_cast<unsigned>((columns - 1) / (kParts * kWarp * 4)) + 1;
  return {warps * kWarp, warps == 1 ? kMostWarps : 1};
}

/// As launch::rows, for a functor of norm_kernel.h.
template <class F>
void rows(Device device, int64_t rows, int64_t columns, const F& f) {
  if (rows == 0) return;
  const dim3 block = block_for(columns);
  const auto blocks = static_cast<unsigned>((rows + block.y - 1) / block.y);
  cuda::launch(device, {blocks, block}, held_rows_kernel<F>, rows, f);
}

/// The same for the gradient of rows, whose gain and bias (if it is centred) get partial sums.
template <class F>
PartialSums rows_and_sums(Device device, int64_t rows, int64_t columns, bool centred, const F& f) {
  if (rows == 0) return {};
  constexpr int64_t kLeastRows = 4;  // of a block: its sums are numbers to be read again
  const dim3 block = block_for(columns);
  const int at_once = cuda::blocks_at_once(device, held_gradients_kernel<F>, block.x * block.y);
  // As many as run at once, or fewer, so that all have equally many rows.
  const int64_t most = at_once * int64_t{cuda::properties_of(device.index).multiprocessors};
  const int64_t each = std::max((rows + most * block.y - 1) / (most * block.y),
                                (kLeastRows + block.y - 1) / block.y);
  const int64_t blocks = (rows + each * block.y - 1) / (each * block.y);
  const Tensor sums = Tensor::empty({(centred ? 2 : 1) * blocks, columns}, DType::kReal, device);
  const PartialSums parts{sums.slice_rows(0, blocks),
                          centred ? sums.slice_rows(blocks, 2 * blocks) : Tensor()};
  cuda::launch(device, {static_cast<unsigned>(blocks), block}, held_gradients_kernel<F>, rows,
               columns, f, parts.gain.data(), centred ? parts.bias.data() : nullptr);
  return parts;
}

}  // namespace dragoman::norm_detail::gpu
