// What sum_rows of tensor/launch.h is asked for.
#pragma once

#include <cstdint>

#include "core/real.h"

namespace dragoman::launch {

/// The sums of the columns of f: out[c] = f(0, c) + ... + f(rows - 1, c), added to what is there if
/// `accumulate`.
template <class F>
struct ColumnSums {
  real* out;
  bool accumulate;
  F f;
};

/// Rows that one thread, or one block of a GPU's, sums up, whatever their number.
inline constexpr int64_t kRowBlock = 128;

}  // namespace dragoman::launch
