// What a setting of precision comes to on a device.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace dragoman {

enum class PrecisionSetting;  // config/choices.h

/// What the matrix products of a tape read (Tape::set_products).
struct Precision {
  Precision(DType of = DType::kReal, bool short_fractions = false)
      : products(of), tf32(short_fractions) {}
  DType products;  ///< kReal, or kBf16, whose sums are still made in real.
  bool tf32;       ///< On a GPU, see Gemm::tf32.
};

/// Of the value of the setting `key`; kAuto is bf16 where the device multiplies such numbers by
/// itself, fp32 elsewhere. Throws Error, naming the key, where it does not multiply what was asked
/// for.
Precision precision_of(PrecisionSetting value, const std::string& key, Device device);

/// "fp32", "tf32" or "bf16".
std::string to_string(Precision precision);

}  // namespace dragoman
