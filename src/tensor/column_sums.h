// What sum_rows of tensor/launch.h is asked for.
#pragma once

#include <cstdint>
#include <tuple>

#include "core/real.h"
#if defined(DRAGOMAN_KERNELS)
#include "tensor/gpu/vectors_cuda.h"
#endif

namespace dragoman::launch {

/// The sums of the columns of f: out[c] = f(0, c) + ... + f(rows - 1, c), added to what is there if
/// `accumulate`. If f has, on a GPU, f.four(row, c, to), which gives f(row, c), ..., f(row, c + 3)
/// at once, that is called where all matrices have multiples of four columns.
template <class F>
struct ColumnSums {
  real* out;
  bool accumulate;
  F f;
};

/// The elements of a matrix, to be summed up.
template <class T>
struct Elements {
  const T* data;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    return data[row * columns + c];
  }
#if defined(DRAGOMAN_KERNELS)
  __device__ void four(int64_t row, int64_t c, real (&to)[4]) const {
    vectors::read(to, data + row * columns + c);
  }
#endif
};

/// Some sums of the columns of one matrix.
template <class... F>
struct MatrixSums {
  int64_t rows, columns;
  std::tuple<ColumnSums<F>...> sums;
};

/// Matrices that sum_rows_of_each is given at most.
inline constexpr size_t kMostMatrices = 8;

/// Rows that one thread sums up, or one block of a GPU's at most, whatever their number.
inline constexpr int64_t kRowBlock = 128;

}  // namespace dragoman::launch
