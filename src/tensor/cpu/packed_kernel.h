// The innermost kernel of products: a few rows and two registers of columns, whose sums stay in
// registers while it runs down a panel of b.
#pragma once

#include <cstring>

#include "tensor/cpu/packed_panels.h"

#if defined(DRAGOMAN_PACKED_PRODUCTS)

namespace dragoman::packed {

// Where a kernel's sums start and go: kPanel columns, or the `columns` of them that there are. A
// product's last part may write them as bf16, and zeros instead of some.
struct Target {
  float* sums;  // added to if `accumulate`, and written unless `bf16`
  int64_t stride;
  bool accumulate;
  Bf16* bf16;
  int64_t bf16_stride;
  Sums start[2];  // the bias, or zeros
  int64_t columns;
  bool relu = false;
  const void* gate = nullptr;  // of the type that is written
  int64_t gate_stride = 0;

  // From that row on.
  Target from_row(int64_t i) const {
    Target to = *this;
    if (sums) to.sums += i * stride;
    if (bf16) to.bf16 += i * bf16_stride;
    if (gate) {
      to.gate = static_cast<const char*>(gate) +
                i * gate_stride * static_cast<int64_t>(bf16 ? sizeof(Bf16) : sizeof(float));
    }
    return to;
  }
};

// What a kernel asks for on its way, `step` bytes further at every word of depth: what is read
// next, which lies in the third cache or further, so that it is in the second when its turn comes.
struct Ahead {
  const char* data;
  int64_t step;
};

// Where a kernel reads a word of a: row r, depth p at data[r * row + p * column].
struct Rows {
  const char* data;
  int64_t row, column;  // in bytes
};

inline uint32_t word_at(const char* from) {
  uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class Numbers, int kRows, bool kPackedA, bool kWhole>
void kernel(int64_t words, Rows a, const uint32_t* b, Ahead ahead, const Target& to) {
  const Kept left = first(to.columns), right = first(to.columns - kLanes);  // unless kWhole
  const auto read = [&](const float* row, Sums(&x)[2]) {
    x[0] = kWhole ? load(row) : load(row, left);
    x[1] = kWhole ? load(row + kLanes) : load(row + kLanes, right);
  };
  // Two places in a, or the distances of the rows would need more registers than there are.
  const int64_t stride = kPackedA ? 4 : a.row, column = kPackedA ? 4 * kSlice : 4;
  constexpr int kHalf = (kRows + 1) / 2;
  const char *upper = a.data, *lower = a.data + kHalf * stride;
  Sums sums[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    sums[r][0] = to.start[0];
    sums[r][1] = to.start[1];
    if (to.bf16) __builtin_prefetch(to.bf16 + r * to.bf16_stride, 1);
    if (to.sums) {
      __builtin_prefetch(to.sums + r * to.stride, 1);
      __builtin_prefetch(to.sums + r * to.stride + kLanes, 1);
    }
    if (to.gate) {
      const int64_t size = to.bf16 ? sizeof(Bf16) : sizeof(float);
      const char* row = static_cast<const char*>(to.gate) + r * to.gate_stride * size;
      __builtin_prefetch(row);
      __builtin_prefetch(row + kLanes * size);
    }
  }
#pragma GCC unroll kUnrolled
  for (int64_t p = 0; p < words; ++p) {
    __builtin_prefetch(ahead.data + p * ahead.step, 0, 2);
    const Words b0 = load_words(b + p * kPanel);
    const Words b1 = load_words(b + p * kPanel + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const uint32_t word = word_at(r < kHalf ? upper + r * stride : lower + (r - kHalf) * stride);
      sums[r][0] = Numbers::multiply_add(sums[r][0], word, b0);
      sums[r][1] = Numbers::multiply_add(sums[r][1], word, b1);
    }
    upper += column;
    lower += column;
  }
  if (to.accumulate) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      Sums old[2];
      read(to.sums + r * to.stride, old);
      sums[r][0] = add(sums[r][0], old[0]);
      sums[r][1] = add(sums[r][1], old[1]);
    }
  }
  if (to.relu) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      sums[r][0] = relu(sums[r][0]);
      sums[r][1] = relu(sums[r][1]);
    }
  }
  if constexpr (Numbers::kPair == 2) {
    if (to.bf16) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const auto* gate = static_cast<const Bf16*>(to.gate);
        Numbers::write(to.bf16 + r * to.bf16_stride, gate ? gate + r * to.gate_stride : nullptr,
                       kWhole ? kPanel : to.columns, sums[r][0], sums[r][1]);
      }
      return;
    }
  }
  if (to.gate) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      Sums gate[2];
      read(static_cast<const float*>(to.gate) + r * to.gate_stride, gate);
      sums[r][0] = gated(gate[0], sums[r][0]);
      sums[r][1] = gated(gate[1], sums[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    float* c = to.sums + r * to.stride;
    if constexpr (kWhole) {
      store(c, sums[r][0]);
      store(c + kLanes, sums[r][1]);
    } else {
      store(c, sums[r][0], left);
      store(c + kLanes, sums[r][1], right);
    }
  }
}

// The kernel for that many rows, at most kRows.
template <class Numbers, bool kPackedA, bool kWhole, int kRows = int{kPackedA ? kSlice : kMostRows}>
void slice(int64_t rows, int64_t words, Rows a, const uint32_t* b, Ahead ahead, const Target& to) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return kernel<Numbers, kRows, kPackedA, kWhole>(words, a, b, ahead, to);
    slice<Numbers, kPackedA, kWhole, kRows - 1>(rows, words, a, b, ahead, to);
  }
}

}  // namespace dragoman::packed

#endif
