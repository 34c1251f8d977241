// The products of the emulated GPU.
#include <bit>

#include "tensor/gemm_backends.h"
#include "tensor/gemm_reference.h"
#include "tensor/gpu/emulated/gpu.h"

namespace dragoman {
namespace {

// A float as a GPU's TF32 products read it: 10 bits of its fraction.
struct Tf32 {
  float value;
  operator real() const {
    return std::bit_cast<float>((std::bit_cast<uint32_t>(value) + 0x1000u) & 0xFFFFE000u);
  }
};

}  // namespace

void gpu::gemm(int, const Gemm& g) {
  emulate([=] {
    g.tf32&& g.inputs == DType::kReal ? multiply_plainly<Tf32, real>(g) : multiply_plainly(g);
  });
}
void gpu::gemm_each(int index, std::span<const Gemm> products) {
  for (const Gemm& g : products) gpu::gemm(index, g);
}
bool gpu::has_bf16_products(int) { return true; }

}  // namespace dragoman
