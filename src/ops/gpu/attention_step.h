// Attention of the steps of a translation on a GPU: a warp has a head of a query. Its lanes form
// teams that take the keys in turn; a lane has four numbers of a key and of its value. Rows lie
// anywhere and each is waited for, so that those of several keys are under way at once. A team
// keeps the softmax of its keys as it goes (Milakov and Gimelshein 2018); in the end those of the
// teams are put together.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/math.h"
#include "ops/attention_kernel.h"
#include "tensor/gpu/kernel.h"
#include "tensor/gpu/reduce_cuda.h"
#include "tensor/gpu/vectors_cuda.h"

namespace dragoman::attention_detail::gpu {

inline constexpr int kWarp = reduce::kWarp, kWarps = 4;  // of a block
inline constexpr int kNumbers = 4;                       // that a lane has of a row
inline constexpr int kAtOnce = 4;                        // keys of a team

// As F, which is AttentionStep of attention.cpp, for heads of up to kTeam * kNumbers numbers.
template <int kTeam, class F>
__global__ void __launch_bounds__(kWarp* kWarps)
    attention_step_kernel(const __grid_constant__ F f, int64_t tasks) {
  constexpr int kTeams = kWarp / kTeam;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (index >= tasks) return;
  const auto t = f.task(index / f.heads, index % f.heads);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, team = lane / kTeam;
  const int column = lane % kTeam * kNumbers;
  const bool has_columns = column < f.head_dim;
  const int64_t in_row = t.key_head * f.head_dim + (has_columns ? column : 0);
  for (int64_t i = 0; i < t.queries; ++i) {
    const int64_t row = (t.query_begin + i) * f.heads + t.head;
    float query[kNumbers] = {};
    if (has_columns) vectors::read(query, f.query_at(t, i) + column);
    float* const weights = f.weights ? f.weights + row * f.longest_key : nullptr;

    float row_max = Lane::lowest(), total = 0, mixed[kNumbers] = {};
    for (SeenKeys seen = f.seen_by(t, i, 1); seen.more(); seen.next()) {
      const int64_t end = seen.end();
      for (int64_t begin = seen.begin(); begin < end; begin += kTeams * kAtOnce) {
        const auto number_of = [&](int n) { return begin + n * kTeams + team; };
        // Where there is no key any more, the last is read again, so that no load waits for
        // another.
        int64_t from[kAtOnce];
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) from[n] = f.key_row(t, min(number_of(n), end - 1));
        vectors::Four<typename F::Input> key[kAtOnce], value[kAtOnce];
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) {
          vectors::load(key[n], f.key.row(from[n]) + in_row);
          vectors::load(value[n], f.value.row(from[n]) + in_row);
        }
        float score[kAtOnce] = {}, larger = row_max;
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) {
          float x[kNumbers];
          vectors::unpack(x, key[n]);
          for (int c = 0; c < kNumbers; ++c) score[n] += query[c] * x[c];
        }
        reduce::lanes_of_each<kTeam>(score, reduce::Add{});
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) {
          score[n] *= f.scale;
          if (number_of(n) < end) larger = reduce::Larger{}(larger, score[n]);
        }
        const float kept = exp_of(row_max - larger);
        row_max = larger;
        total *= kept;
        for (float& number : mixed) number *= kept;
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) {
          const bool is_key = number_of(n) < end;
          const float weight = is_key ? exp_of(score[n] - row_max) : 0;
          total += weight;
          float x[kNumbers];
          vectors::unpack(x, value[n]);
          for (int c = 0; c < kNumbers; ++c) mixed[c] += weight * x[c];
          if (weights && is_key && column == 0) weights[number_of(n)] = score[n];
        }
      }
    }

    const float largest = reduce::lanes<kTeam, kWarp>(row_max, reduce::Larger{});
    const float kept = exp_of(row_max - largest);
    total = reduce::lanes<kTeam, kWarp>(kept * total, reduce::Add{});
    const float inverse_sum = total == 0 ? 0 : 1 / total;
    for (float& number : mixed)
      number = inverse_sum * reduce::lanes<kTeam, kWarp>(kept * number, reduce::Add{});
    if (team == 0 && has_columns) vectors::write(f.out + row * f.head_dim + column, mixed);
    if (!weights) continue;
    __syncwarp();  // the scores are there
    const int position = f.positions(t, i, 1).begin, keys = static_cast<int>(t.keys);
    for (int j = lane; j < f.longest_key; j += kWarp) {
      const bool sees = j < keys && f.sight.sees(position, j, keys);
      weights[j] = sees ? inverse_sum * exp_of(weights[j] - largest) : 0;
    }
  }
}

/// Launches F for each group and head, unless its heads are too wide or do not lie as lanes read
/// them; says whether it did.
template <class F>
bool attention_step(Device device, int64_t groups, const F& f) {
  const auto aligned = [](const auto& block) {
    return block.stride % kNumbers == 0 &&
           reinterpret_cast<uintptr_t>(block.data) % sizeof(vectors::Four<typename F::Input>) == 0;
  };
  if (f.head_dim != f.value_dim || f.head_dim % kNumbers != 0 || !aligned(f.query) ||
      !aligned(f.key) || !aligned(f.value))
    return false;
  const auto launch = [&]<int kTeam>(std::integral_constant<int, kTeam>) {
    const int64_t tasks = groups * f.heads;
    const auto blocks = static_cast<unsigned>((tasks + kWarps - 1) / kWarps);
    if (blocks > 0)
      cuda::launch(device, {blocks, kWarp * kWarps}, attention_step_kernel<kTeam, F>, f, tasks);
    return true;
  };
  if (f.head_dim <= 8 * kNumbers) return launch(std::integral_constant<int, 8>{});
  if (f.head_dim <= 16 * kNumbers) return launch(std::integral_constant<int, 16>{});
  if (f.head_dim <= 32 * kNumbers) return launch(std::integral_constant<int, 32>{});
  return false;
}

}  // namespace dragoman::attention_detail::gpu
