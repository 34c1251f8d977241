// The loss of a row of logits on a GPU: a block a row, whose logits are read once and stay in
// registers.
#pragma once

#include <cmath>
#include <type_traits>

#include "core/math.h"
#include "tensor/gpu/kernel.h"
#include "tensor/gpu/reduce_cuda.h"
#include "tensor/gpu/vectors_cuda.h"

namespace dragoman::loss_detail::gpu {

inline constexpr int kThreads = 512, kWarps = kThreads / reduce::kWarp;
inline constexpr int kTogether = 4;  // numbers that a thread reads at once

// Blocks that are to have registers at once, so that one reads while another computes, by the bytes
// that each thread holds.
constexpr int blocks_with(size_t bytes) { return bytes <= 64 ? 3 : (bytes <= 128 ? 2 : 1); }

// As F, which is RowLoss of loss.cpp, for rows of up to kThreads * kHeld classes. What a thread
// holds is as it lies in memory, and its exponentials are made twice: all for more blocks at once.
template <int kHeld, class F>
__global__ void __launch_bounds__(kThreads, blocks_with(kHeld * sizeof(typename F::Logit)))
    row_loss_kernel(const __grid_constant__ F f) {
  const int64_t row = blockIdx.x;
  const int classes = static_cast<int>(f.classes), target = f.targets[row];
  const auto* const from = f.logits + row * classes;
  auto* const to = f.gradient ? f.gradient + row * classes : nullptr;
  vectors::Four<typename F::Logit> held[kHeld / kTogether];
  const auto each_part = [&](auto use) {
#pragma unroll
    for (int part = 0; part < kHeld / kTogether; ++part) {
      const int c = (part * kThreads + static_cast<int>(threadIdx.x)) * kTogether;
      if (c < classes) use(held[part], c);
    }
  };
  if (target < 0) {
    if (threadIdx.x == 0) f.losses[row] = f.log_probabilities[row] = 0;
    if (to) each_part([&](auto&, int c) { vectors::write(to + c, {0, 0, 0, 0}); });
    return;
  }
  each_part([&](auto& four, int c) { vectors::load(four, from + c); });
  const float at_target = from[target];
  float most = reduce::kLowest, total = 0, sum = 0;
  each_part([&](const auto& four, int) {
    float x[kTogether];
    vectors::unpack(x, four);
    for (int i = 0; i < kTogether; ++i) {
      most = reduce::Larger{}(most, x[i]);
      total += x[i];
    }
  });
  most = reduce::block<kWarps>(most, reduce::Larger{});
  total = reduce::block<kWarps>(total, reduce::Add{});
  const auto exponential = [scaled = -kLog2e * most](float x) {
    return exp2_of(kLog2e * x + scaled);
  };
  each_part([&](const auto& four, int) {
    float x[kTogether];
    vectors::unpack(x, four);
    for (int i = 0; i < kTogether; ++i) sum += exponential(x[i]);
  });
  sum = reduce::block<kWarps>(sum, reduce::Add{});
  const float log_total = most + std::log(sum), chosen = at_target - log_total;
  if (threadIdx.x == 0) {
    f.log_probabilities[row] = chosen;
    f.losses[row] =
        -(1 - f.smoothing) * chosen + f.uniform * (static_cast<float>(classes) * log_total - total);
  }
  if (!to) return;
  const float share = 1 / sum, spread = f.uniform, hit = 1 - f.smoothing;
  each_part([&](const auto& four, int c) {
    float x[kTogether];
    vectors::unpack(x, four);
    for (int i = 0; i < kTogether; ++i) x[i] = exponential(x[i]) * share - spread;
    if (c == target / kTogether * kTogether) {
      for (int i = 0; i < kTogether; ++i) x[i] -= c + i == target ? hit : 0;
    }
    vectors::write(to + c, x);
  });
}

/// Launches F for each row, unless its rows are too long or do not lie as threads read them; says
/// whether it did.
template <class F>
bool row_losses(Device device, int64_t rows, const F& f) {
  const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  if (f.classes % kTogether != 0 || !aligned(f.logits) || !aligned(f.gradient)) return false;
  const auto launch = [&]<int kHeld>(std::integral_constant<int, kHeld>) {
    cuda::launch(device, {static_cast<unsigned>(rows), kThreads}, row_loss_kernel<kHeld, F>, f);
    return true;
  };
  if (f.classes <= 8 * kThreads) return launch(std::integral_constant<int, 8>{});
  if (f.classes <= 16 * kThreads) return launch(std::integral_constant<int, 16>{});
  if (f.classes <= 64 * kThreads) return launch(std::integral_constant<int, 64>{});
  if constexpr (std::is_same_v<typename F::Logit, Bf16>) {
    if (f.classes <= 128 * kThreads) return launch(std::integral_constant<int, 128>{});
  }
  return false;
}

}  // namespace dragoman::loss_detail::gpu
