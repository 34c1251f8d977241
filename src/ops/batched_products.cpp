#include "ops/batched_products.h"

namespace dragoman {
namespace {

// A result of that many numbers has about as many tiles as a large GPU has multiprocessors.
constexpr int64_t kLarge = int64_t{1} << 21;

}  // namespace

std::shared_ptr<LateProducts> LateProducts::of(Tape& tape, const Variable& weight) {
  if (!can_be_late(tape, weight) || weight.rows() * weight.columns() > kLarge) return nullptr;
  static constexpr char kOne = 0;
  return tape.shared<LateProducts>(
      {&kOne}, [&] { return std::make_shared<LateProducts>(tape, weight.sink()->device); });
}

LateProducts::LateProducts(Tape& tape, Device device)
    : LateWork(tape, "late products", device), device_(device) {}

LateProducts::~LateProducts() {
  for (const auto& [size, some] : pending_) {
    for (const Pending& one : some) forget(one.weight);
  }
}

void LateProducts::add(const Gemm& product, const Variable& weight, const Tensor& a,
                       const Tensor& b) {
  wait(weight);
  std::vector<Pending>& some = pending_[{product.m, product.n, product.k, product.accumulate}];
  some.push_back({product, weight.gradient_only(), a, b});
  if (some.size() == kMostProducts) make(some);
}

void LateProducts::make() {
  for (auto& [size, some] : pending_) make(some);
}

void LateProducts::make(std::vector<Pending>& some) {
  std::vector<Gemm> products;
  for (const Pending& one : some) {
    products.push_back(one.product);
    forget(one.weight);
  }
  gemm_each(device_, products);
  some.clear();
}

}  // namespace dragoman
