#include "autograd/precision.h"

#include "config/choices.h"
#include "core/check.h"
#include "tensor/gemm.h"

namespace dragoman {

Precision precision_of(PrecisionSetting value, const std::string& key, Device device) {
  const bool fast = has_bf16_products(device);
  switch (value) {
    case PrecisionSetting::kAuto:
      return fast ? DType::kBf16 : DType::kReal;
    case PrecisionSetting::kFp32:
      return DType::kReal;
    case PrecisionSetting::kTf32:
      check(device.on_gpu(),
            "{}: tf32 is for GPUs, and this is the cpu; use fp32, or auto, which takes bf16 where "
            "the processor has it",
            key);
      return {DType::kReal, /*short_fractions=*/true};
    case PrecisionSetting::kBf16:
      check(fast,
            "{}: this processor has no bf16 products (AVX512_BF16 or AMX); use fp32, or auto, "
            "which takes the faster of the two",
            key);
      return DType::kBf16;
  }
  fail_unknown(value);
}

std::string to_string(Precision precision) {
  return precision.tf32 ? "tf32" : to_string(precision.products);
}

}  // namespace dragoman
