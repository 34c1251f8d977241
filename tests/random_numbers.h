// Numbers for tests.
#pragma once

#include <cstdint>
#include <vector>

#include "core/rng.h"

namespace dragoman {

/// Normally distributed numbers, the same for the same seed.
inline std::vector<float> random_numbers(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(static_cast<size_t>(count));
  for (float& number : numbers) number = static_cast<float>(random.normal());
  return numbers;
}

}  // namespace dragoman
