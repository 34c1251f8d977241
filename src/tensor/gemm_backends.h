// The products of each kind of processor, behind tensor/gemm.h.
#pragma once

#include "tensor/gemm.h"

namespace dragoman::cpu {

void gemm(const Gemm& product);
Tensor pack(const Gemm& product);
bool sums_rows(DType inputs);
bool gates(DType inputs);
bool has_bf16_products();

}  // namespace dragoman::cpu

namespace dragoman::gpu {

void gemm(int index, const Gemm& product);
void gemm_each(int index, std::span<const Gemm> products);  // one at least
bool has_bf16_products(int index);

}  // namespace dragoman::gpu
