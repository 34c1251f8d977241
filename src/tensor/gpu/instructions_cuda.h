// Instructions of a GPU that C++ has no name for: those of the matrix units, and copies that run
// while a thread goes on. emulated/instructions.h has the same for the host.
#pragma once

#include <cstdint>

#include "core/bf16.h"

namespace dragoman::matrix_units {

// c += a b, [16, 16] by [16, 8], of a warp.
__device__ inline void multiply_tile(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                     uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four matrices [8, 8] in shared memory, whose rows the lanes have the addresses of.
__device__ inline void load_tiles(uint32_t (&to)[4], const Bf16* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_tiles_transposed(uint32_t (&to)[4], const Bf16* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// Begins to copy 16 bytes into shared memory, of which the first `bytes` are read and the others
// zeros.
__device__ inline void begin_copy(Bf16* to, const Bf16* from, int bytes) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes)
               : "memory");
}
// Waits for the copies of this thread.
__device__ inline void finish_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

}  // namespace dragoman::matrix_units
