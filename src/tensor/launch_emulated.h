// The launchers of the emulated GPU: the threads of one block do everything.
#pragma once

#include <memory>
#include <vector>

#include "tensor/column_sums.h"
#include "tensor/device.h"
#include "tensor/gpu_emulated.h"
#include "tensor/lane.h"

namespace dragoman::launch::gpu {

namespace detail {

// f(i) for every i of [0, n), divided among the threads of the block.
template <class F>
void divide(int64_t n, F f) {
  dragoman::gpu::emulate([=] {
    const F own = f;
    const Team& team = *Team::current();
    for (int64_t i = team.rank(); i < n; i += team.size()) own(i);
  });
}

}  // namespace detail

template <class F>
void map(Device, int64_t n, F f) {
  detail::divide(n, f);
}

template <class F>
void rows(Device, int64_t rows, int64_t, F f) {
  dragoman::gpu::emulate([=] {
    const F own = f;
    for (int64_t row = 0; row < rows; ++row) own(Lane{}, row);
  });
}

template <class F>
void tasks(Device, int64_t count, int64_t scratch, int64_t, F f) {
  const auto memory = std::make_shared<std::vector<real>>(static_cast<size_t>(scratch));
  dragoman::gpu::emulate([=] {
    const F own = f;
    for (int64_t task = 0; task < count; ++task) own(Lane{}, task, memory->data());
  });
}

template <class F>
void map_random(Device, int64_t n, RandomKey key, F f) {
  dragoman::gpu::emulate([=] { Lane{}.each_random(key, 0, n, f); });
}

template <class... F>
void sum_rows(Device, int64_t rows, int64_t columns, ColumnSums<F>... sums) {
  const auto add = [=](const auto& column, int64_t c) {
    real total = column.accumulate ? column.out[c] : real{0};
    for (int64_t row = 0; row < rows; ++row) total += column.f(row, c);
    column.out[c] = total;
  };
  detail::divide(columns, [=](int64_t c) { (add(sums, c), ...); });
}

template <class F>
void scatter_add_rows(Device, int64_t rows, int64_t columns, const int32_t* index, int64_t,
                      real* to, F f) {
  detail::divide(columns, [=](int64_t c) {
    for (int64_t row = 0; row < rows; ++row) {
      if (index[row] >= 0) to[index[row] * columns + c] += f(row, c);
    }
  });
}

}  // namespace dragoman::launch::gpu
