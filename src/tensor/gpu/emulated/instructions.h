// What the instructions of instructions_cuda.h do, by the host. Which lane has which numbers of a
// tile is told by NVIDIA's "PTX ISA", of mma.m16n8k16 and ldmatrix.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/bf16.h"
#include "tensor/gpu/emulated/block.h"

namespace dragoman::matrix_units {

// The two numbers of a word.
inline float number_of(uint32_t word, uint32_t which) {
  return std::bit_cast<float>(which == 0 ? word << 16 : word & 0xFFFF0000u);
}

// What a lane has of both factors. Of a: the row g (g + 8 in the words 1 and 3) and the columns 2 t
// and 2 t + 1 (8 more in the words 2 and 3), where g is lane / 4 and t is lane % 4. Of b: the
// column g and the rows 2 t and 2 t + 1 (8 more in the word 1). Of c, and so of the result: the
// rows g and g + 8, and of each the columns 2 t and 2 t + 1.
struct Factors {
  uint32_t a[4], b[2];
};
inline void multiply_tile(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const Factors* const all = emulated::exchange(Factors{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const uint32_t lane = emulated::lane();
  for (uint32_t e = 0; e < 4; ++e) {
    const uint32_t lower = e / 2, column = lane % 4 * 2 + e % 2;
    for (uint32_t k = 0; k < 16; ++k) {
      const uint32_t later = k / 8, t = k % 8 / 2;
      c[e] += number_of(all[lane / 4 * 4 + t].a[lower + 2 * later], k % 2) *
              number_of(all[column * 4 + t].b[later], k % 2);
    }
  }
}

// Of each matrix a lane gets two numbers: those of the row lane / 4 and of two columns, or of two
// rows and of that column.
inline void load_tiles(uint32_t (&to)[4], const Bf16* row) {
  const Bf16* const* const rows = emulated::exchange(row);
  const uint32_t lane = emulated::lane();
  for (uint32_t m = 0; m < 4; ++m) std::memcpy(&to[m], rows[m * 8 + lane / 4] + lane % 4 * 2, 4);
}
inline void load_tiles_transposed(uint32_t (&to)[4], const Bf16* row) {
  const Bf16* const* const rows = emulated::exchange(row);
  const uint32_t lane = emulated::lane();
  for (uint32_t m = 0; m < 4; ++m) {
    const Bf16* const* const first = rows + m * 8 + lane % 4 * 2;
    to[m] = first[0][lane / 4].bits | uint32_t{first[1][lane / 4].bits} << 16;
  }
}

inline void begin_copy(Bf16* to, const Bf16* from, int bytes) {
  emulated::copies().push_back({to, from, static_cast<size_t>(bytes)});
}
// Not before: who forgets to wait reads what was there.
inline void finish_copies() {
  for (const emulated::Copy& copy : emulated::copies()) {
    std::memset(copy.to, 0, 16);
    std::memcpy(copy.to, copy.from, copy.bytes);
  }
  emulated::copies().clear();
}

}  // namespace dragoman::matrix_units
