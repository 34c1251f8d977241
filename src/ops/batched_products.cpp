#include "ops/batched_products.h"

namespace dragoman {
namespace {

// A result of that many numbers has about as many tiles as a large GPU has multiprocessors.
constexpr int64_t kLarge = int64_t{1} << 21;

}  // namespace

std::shared_ptr<BatchedProducts> BatchedProducts::of(Tape& tape, const Variable& weight) {
  if (!can_be_batched(tape, weight) || weight.rows() * weight.columns() > kLarge) return nullptr;
  static constexpr char kOne = 0;
  return tape.shared<BatchedProducts>(
      {&kOne}, [&] { return std::make_shared<BatchedProducts>(tape, weight.sink()->device); });
}

BatchedProducts::BatchedProducts(Tape& tape, Device device)
    : BatchedGradients(tape, "batched products", device), device_(device) {}

BatchedProducts::~BatchedProducts() {
  for (const auto& [size, some] : pending_) {
    for (const Pending& one : some) forget(one.weight);
  }
}

void BatchedProducts::add(const Gemm& product, const Variable& weight, const Tensor& a,
                          const Tensor& b) {
  wait(weight);
  std::vector<Pending>& some = pending_[{product.m, product.n, product.k, product.accumulate}];
  some.push_back({product, weight.gradient_only(), a, b});
  if (some.size() == kMostProducts) make(some);
}

void BatchedProducts::make() {
  for (auto& [size, some] : pending_) make(some);
}

void BatchedProducts::make(std::vector<Pending>& some) {
  std::vector<Gemm> products;
  for (const Pending& one : some) {
    products.push_back(one.product);
    forget(one.weight);
  }
  gemm_each(device_, products);
  some.clear();
}

}  // namespace dragoman
