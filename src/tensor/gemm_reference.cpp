// The products of the build of the engine in double.
#include "tensor/gemm_reference.h"

#include "tensor/gemm_backends.h"

namespace dragoman {

void cpu::gemm(const Gemm& g) { multiply_plainly(g); }
Tensor cpu::pack(const Gemm&) { return {}; }
bool cpu::sums_rows(DType) { return false; }
bool cpu::gates(DType) { return false; }
bool cpu::has_bf16_products() { return false; }

}  // namespace dragoman
