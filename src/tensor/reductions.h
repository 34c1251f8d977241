// What numbers are reduced by, on every device.
#pragma once

#include "core/real.h"

namespace dragoman::reduce {

struct Add {
  DRAGOMAN_HOST_DEVICE auto operator()(auto a, auto b) const { return a + b; }
};

/// The larger of two numbers; NaN as the second is left out.
struct Larger {
  DRAGOMAN_HOST_DEVICE real operator()(real a, real b) const {
#if defined(__CUDA_ARCH__)
    return fmax(a, b);  // one instruction
#else
    return b > a ? b : a;
#endif
  }
};

/// What a maximum begins with.
inline constexpr real kLowest = static_cast<real>(-3.4028234663852886e38);

}  // namespace dragoman::reduce
