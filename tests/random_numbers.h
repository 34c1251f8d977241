// Numbers for tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/real.h"
#include "core/rng.h"

namespace dragoman {

/// Normally distributed numbers, the same for the same seed.
inline std::vector<float> random_numbers(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(static_cast<size_t>(count));
  for (float& number : numbers) number = static_cast<float>(random.normal());
  return numbers;
}

/// How far numbers are from others, relative to the size of these.
inline double distance(const std::vector<real>& a, const std::vector<real>& b) {
  double square = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    square += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(square / size);
}

}  // namespace dragoman
