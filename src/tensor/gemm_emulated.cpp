// The products of the emulated GPU.
#include "tensor/gemm_backends.h"
#include "tensor/gemm_reference.h"
#include "tensor/gpu_emulated.h"

namespace dragoman {

void gpu::gemm(int, const Gemm& g) {
  emulate_library([&] { multiply_plainly(g); });
}
bool gpu::has_bf16_products(int) { return true; }

}  // namespace dragoman
