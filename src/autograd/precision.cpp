#include "autograd/precision.h"

#include "core/check.h"
#include "tensor/gemm.h"

namespace dragoman {

Precision precision_of(const std::string& value, const std::string& key, Device device) {
  const bool fast = has_bf16_products(device);
  check(value != "bf16" || fast,
        "{}: this processor has no bf16 products (AVX512_BF16 or AMX); use fp32, or auto, which "
        "takes the faster of the two",
        key);
  check(value != "tf32" || device.on_gpu(),
        "{}: tf32 is for GPUs, and this is the cpu; use fp32, or auto, which takes bf16 where the "
        "processor has it",
        key);
  const bool bf16 = fast && (value == "bf16" || value == "auto");
  return {bf16 ? DType::kBf16 : DType::kReal, value == "tf32"};
}

std::string to_string(Precision precision) {
  return precision.tf32 ? "tf32" : to_string(precision.products);
}

}  // namespace dragoman
