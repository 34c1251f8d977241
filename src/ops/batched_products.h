// Products of one size that are made together: the gradients of weights.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "ops/batched_gradients.h"
#include "tensor/gemm.h"

namespace dragoman {

/// The gradients of one tape's weights; those of one size are made together, up to kMostProducts.
class BatchedProducts : BatchedGradients {
 public:
  /// Those of the tape; null where the weight's is better made at once: what is large keeps a GPU
  /// busy by itself. To be called by the operation that will add it, before it is recorded.
  static std::shared_ptr<BatchedProducts> of(Tape& tape, const Variable& weight);

  BatchedProducts(Tape& tape, Device device);
  ~BatchedProducts() override;

  /// Makes `product`, whose result is the gradient of the weight, opened by Variable::gradient, of
  /// the matrices a and b.
  void add(const Gemm& product, const Variable& weight, const Tensor& a, const Tensor& b);

 private:
  using Size = std::array<int64_t, 4>;
  struct Pending {
    Gemm product;
    Variable weight;
    Tensor a, b;
  };

  void make() override;
  void make(std::vector<Pending>& some);

  Device device_;
  std::map<Size, std::vector<Pending>> pending_;
};

}  // namespace dragoman
