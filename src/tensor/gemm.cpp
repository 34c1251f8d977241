#include "tensor/gemm.h"

#include "core/check.h"
#include "core/profile.h"
#include "tensor/gemm_backends.h"

namespace dragoman {
namespace {

// Whether there is anything to do for the product, which may be asked for.
bool expect(Device device, const Gemm& g) {
  if (g.m == 0 || g.n == 0) return false;
  check(g.k > 0, "a matrix product of depth 0 ({} x 0 x {})", g.m, g.n);
  check(!g.tf32 || device.on_gpu(), "a TF32 product was asked of the {}", device);
  check(g.outputs == DType::kReal || (g.inputs == DType::kBf16 && !g.accumulate),
        "a product of {} {} as {}", to_string(g.inputs), g.accumulate ? "that is added" : "is made",
        to_string(g.outputs));
  check(!g.accumulate || !(g.relu || g.gate), "a product with relu or a gate is added");
  Profile::count(2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) *
                 static_cast<double>(g.k));
  return true;
}

}  // namespace

void gemm(Device device, const Gemm& g) {
  if (!expect(device, g)) return;
  device.on_gpu() ? gpu::gemm(device.index, g) : cpu::gemm(g);
}

void gemm_each(Device device, std::span<const Gemm> products) {
  check(products.size() <= kMostProducts, "{} products are too many", products.size());
  bool any = false;
  for (const Gemm& g : products) {
    const Gemm& first = products[0];
    check(g.m == first.m && g.n == first.n && g.k == first.k && g.accumulate == first.accumulate &&
              g.inputs == first.inputs && g.outputs == first.outputs,
          "products of different sizes or types, {} x {} x {} and {} x {} x {}, at once", g.m, g.k,
          g.n, first.m, first.k, first.n);
    check(!g.bias && !g.relu && !g.gate && !g.sums, "products with more than sums, at once");
    any = expect(device, g);
  }
  if (!any) return;
  if (device.on_gpu()) return gpu::gemm_each(device.index, products);
  for (const Gemm& g : products) cpu::gemm(g);
}

Tensor pack(Device device, const Gemm& product) {
  return device.on_gpu() ? Tensor() : cpu::pack(product);
}

bool sums_rows(Device device, DType inputs) { return !device.on_gpu() && cpu::sums_rows(inputs); }

bool gates(Device device, DType inputs) { return !device.on_gpu() && cpu::gates(inputs); }

bool has_bf16_products(Device device) {
  return device.on_gpu() ? gpu::has_bf16_products(device.index) : cpu::has_bf16_products();
}

}  // namespace dragoman
