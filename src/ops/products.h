// What the operations that multiply matrices share: a product as the tape wants it, and its
// gradients.
#pragma once

#include "autograd/tape.h"
#include "ops/batched_products.h"
#include "ops/batched_sums.h"

namespace dragoman {

/// A matrix as the products of this tape read it.
Tensor operand(const Tape& tape, const Variable& x);

/// Where a product goes: a matrix, which it may be added to, or a gradient.
struct Target {
  Target(const Tensor& to) : data(to.address()), type(to.dtype()) {}
  Target(const GradientWriter& to) : data(to.data()), accumulate(to.accumulate()) {}
  Target(const Bf16Writer& to) : data(to.data), type(DType::kBf16) {}

  void* data;
  DType type = DType::kReal;
  bool accumulate = false;
};

/// What becomes of a product before it is written; the tensors are of the target's type.
struct ProductEpilogue {
  Tensor bias = {};  ///< Added to every row, if defined.
  bool relu = false;
  Tensor gate = {};  ///< Where this is not positive, if it is defined, zero is written: only where
                     ///< `gates`.
};

/// to (+)= op(a) op(b) for whole matrices of one type. `packed`, if defined, is what the function
/// of that name made of b.
void product(bool tf32, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
             const Target& to, const ProductEpilogue& epilogue = {}, const Tensor& packed = {});

/// A bias as a product of that type reads it; undefined where there is none.
Tensor bias_as(const Variable& bias, DType type);

/// What several products that share op(b) read of it; undefined where that is b itself.
Tensor packed(const Tensor& b, bool transposed);

/// Sums of gradients as products of bf16 read them.
using BiasSums = BatchedSums<launch::Elements<Bf16>>;

/// Where the gradients of a layer's weight and bias wait for others to be made with; null: they are
/// made at once.
struct GradientBatches {
  /// To be called by the operation before it is recorded.
  static GradientBatches of(Tape& tape, const Variable& weight, const Variable& bias) {
    return {BatchedProducts::of(tape, weight), BiasSums::of(tape, {bias})};
  }
  std::shared_ptr<BatchedProducts> weight;
  std::shared_ptr<BiasSums> bias;
};

/// Adds the gradients of y = op(a) op(b) + bias, from that of y, to those of a, b and bias (which
/// may be undefined); a and b as they were multiplied are given beside them. a's is zero where
/// `gate`, if defined, is not positive, and nobody else's then.
void product_gradients(bool tf32, const Tensor& dy, const Variable& a, const Tensor& a_value,
                       bool transpose_a, const Variable& b, const Tensor& b_value, bool transpose_b,
                       const Variable& bias = {}, const GradientBatches& batched = {},
                       const Tensor& gate = {});

/// Makes dy zero where the gate is not positive, for what products did not do so, and adds the sums
/// of its columns to the gradient of the bias, if that is defined and wants one.
void gate_and_sum(const Tensor& gate, const Tensor& dy, const Variable& bias);

/// Adds the sums of dy's columns to the gradient of the bias, if it is defined and wants one.
/// Returns dy as `type`, made in the same pass.
Tensor convert_and_sum(const Tensor& dy, DType type, const Variable& bias);

}  // namespace dragoman
