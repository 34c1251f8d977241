// bfloat16: the upper half of a float. Matrix products read it at twice the speed and half the
// memory; sums are never kept in it.
#pragma once

#include <bit>
#include <cstdint>

#include "core/real.h"

namespace dragoman {

/// A number with the range of a float and 8 bits of precision. Conversion to it rounds to the
/// nearest, of two equally near to the even one; NaN stays NaN.
struct Bf16 {
  uint16_t bits = 0;

  Bf16() = default;
  DRAGOMAN_HOST_DEVICE Bf16(real x) {
#if defined(__CUDA_ARCH__)
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(static_cast<float>(x)));
#else
    const uint32_t word = std::bit_cast<uint32_t>(static_cast<float>(x));
    const uint32_t rounded = (word + 0x7FFFu + ((word >> 16) & 1u)) >> 16;
    bits = static_cast<uint16_t>(x == x ? rounded : 0x7FC0u);
#endif
  }
  DRAGOMAN_HOST_DEVICE operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

/// Two numbers as bf16 in a word, the first in its lower half.
DRAGOMAN_HOST_DEVICE inline uint32_t bf16_pair(float low, float high) {
#if defined(__CUDA_ARCH__)
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return Bf16(low).bits | uint32_t{Bf16(high).bits} << 16;
#endif
}

}  // namespace dragoman
