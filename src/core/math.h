// Elementary functions that a compiler turns into vector code. The float versions are branch-free
// polynomials with an error of a few units in the last place; the double versions, which only the
// gradient tests run, are the standard library's.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/real.h"

namespace dragoman {

/// log2 e: e^x is 2^(kLog2e x).
inline constexpr float kLog2e = 1.44269504f;

/// 2^x, which is 0 for what a float holds with fewer digits. For kernels of a GPU, where it is one
/// instruction.
DRAGOMAN_HOST_DEVICE inline float exp2_of(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  const float y = std::exp2(x);
  return y < std::numeric_limits<float>::min() ? 0 : y;
#endif
}

/// e^x. Results below 2^-126.5 (of a GPU, 2^-126) are 0, above 2^127.5 (2^128) infinity; NaN stays
/// NaN.
DRAGOMAN_HOST_DEVICE inline float exp_of(float x) {
#if defined(__CUDA_ARCH__)
  return exp2_of(kLog2e * x);
#else
  // x = n ln2 + r with |r| <= ln2 / 2; ln2 is split in two so that n ln2 is exact.
  const float bounded = x > 88.72284f ? 88.72284f : (x < -88.0f ? -88.0f : x);
  // Adding 1.5 * 2^23 rounds to the nearest integer, which then stands in the low bits.
  const float shifted = bounded * kLog2e + 12582912.0f;
  const int32_t n = std::bit_cast<int32_t>(shifted) - 0x4B400000;
  const float whole = shifted - 12582912.0f;
  const float r = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float mantissa = p * r * r + r + 1.0f;
  // 2^n, whose exponent is n + 127: at the bounds, with n = -127 and 128, it is 0 and infinity.
  return mantissa * std::bit_cast<float>((n + 127) << 23);
#endif
}
DRAGOMAN_HOST_DEVICE inline double exp_of(double x) { return std::exp(x); }

/// The logistic function 1 / (1 + e^-x).
template <class T>
DRAGOMAN_HOST_DEVICE inline T sigmoid_of(T x) {
  return T{1} / (T{1} + exp_of(-x));
}

/// tanh x.
DRAGOMAN_HOST_DEVICE inline float tanh_of(float x) {
  // x P(x^2) / Q(x^2), fitted for the least relative error on [-9, 9]. At the ends it is 1 or the
  // number above it, which the last lines make 1, as beyond.
  const float bounded = x > 9.0f ? 9.0f : (x < -9.0f ? -9.0f : x);
  const float square = bounded * bounded;
  float p = 1.33542093e-8f;
  p = p * square + 2.06087479e-5f;
  p = p * square + 3.49556771e-3f;
  p = p * square + 1.33810088e-1f;
  p = p * square + 1.0f;
  float q = 7.77637013e-7f;
  q = q * square + 3.28560127e-4f;
  q = q * square + 2.58769039e-2f;
  q = q * square + 4.67143238e-1f;
  q = q * square + 1.0f;
  const float y = bounded * p / q;
  return y > 1.0f ? 1.0f : (y < -1.0f ? -1.0f : y);
}
DRAGOMAN_HOST_DEVICE inline double tanh_of(double x) { return std::tanh(x); }

/// The error function, by Abramowitz and Stegun 7.1.26; absolute error below 5e-7.
DRAGOMAN_HOST_DEVICE inline float erf_of(float x) {
  const float magnitude = x < 0 ? -x : x;
  const float t = 1.0f / (1.0f + 0.3275911f * magnitude);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float y = 1.0f - p * t * exp_of(-magnitude * magnitude);
  return x < 0 ? -y : y;
}
DRAGOMAN_HOST_DEVICE inline double erf_of(double x) { return std::erf(x); }

}  // namespace dragoman
