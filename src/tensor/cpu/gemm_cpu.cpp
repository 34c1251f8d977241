// Products on the CPU: by our own kernels where there are any for the processor (gemm_packed.h), by
// oneDNN elsewhere and where its hardware (AMX) makes oneDNN faster. What differs between
// oneDNN 2.x and 3.x is here and nowhere else: the way a primitive descriptor is made.
#include <omp.h>

#include <algorithm>
#include <dnnl.hpp>
#include <list>
#include <unordered_map>

#include "core/check.h"
#include "core/hash.h"
#include "tensor/cpu/gemm_packed.h"
#include "tensor/cpu/launch_cpu.h"
#include "tensor/cpu/threads.h"
#include "tensor/cpu/tile.h"
#include "tensor/gemm_backends.h"

namespace dragoman {
namespace {

// Making a primitive costs about 100 us, oneDNN's own cache some 2 us a hit; packed batches come in
// hundreds of token counts. Hence a map of our own, which forgets what was used longest ago: one
// takes about 0.2 MB.
constexpr size_t kCachedPrimitives = 1024;

struct Key {
  int64_t m, n, k, lda, ldb, ldc;
  int flags;  // transpose_a, transpose_b, bias, accumulate, inputs, outputs; threads above
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  size_t operator()(const Key& key) const {
    Fnv1a hash;
    for (const int64_t part :
         {key.m, key.n, key.k, key.lda, key.ldb, key.ldc, static_cast<int64_t>(key.flags)})
      hash.add_word(static_cast<uint64_t>(part));
    return hash.value();
  }
};

struct Product {
  dnnl::matmul primitive;
  dnnl::memory a, b, c, bias;
};

dnnl::engine& engine() {
  static dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

dnnl::memory::desc matrix(int64_t rows, int64_t columns, int64_t stride, bool transposed,
                          DType dtype) {
  using Type = dnnl::memory::data_type;
  const auto strides =
      transposed ? dnnl::memory::dims{1, stride} : dnnl::memory::dims{stride, int64_t{1}};
  return {{rows, columns}, dtype == DType::kBf16 ? Type::bf16 : Type::f32, strides};
}

dnnl::matmul::primitive_desc describe(const dnnl::memory::desc& a, const dnnl::memory::desc& b,
                                      const dnnl::memory::desc& bias, const dnnl::memory::desc& c,
                                      const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), a, b, bias, c, attributes};
#else
  return {dnnl::matmul::desc(a, b, bias, c), attributes, engine()};
#endif
}

Product make_product(const Gemm& g) {
  const auto a = matrix(g.m, g.k, g.lda, g.transpose_a, g.inputs);
  const auto b = matrix(g.k, g.n, g.ldb, g.transpose_b, g.inputs);
  const auto c = matrix(g.m, g.n, g.ldc, false, g.outputs);
  const auto bias = g.bias ? matrix(1, g.n, g.n, false, g.outputs) : dnnl::memory::desc();
  dnnl::primitive_attr attributes;
  if (g.accumulate) {
    dnnl::post_ops operations;
    operations.append_sum(1.0f);
    attributes.set_post_ops(operations);
  }
  Product product;
  product.primitive = dnnl::matmul(describe(a, b, bias, c, attributes));
  product.a = dnnl::memory(a, engine(), nullptr);
  product.b = dnnl::memory(b, engine(), nullptr);
  product.c = dnnl::memory(c, engine(), nullptr);
  if (g.bias) product.bias = dnnl::memory(bias, engine(), nullptr);
  return product;
}

class ProductCache {
 public:
  Product& find(const Gemm& g, int threads) {
    const Key key{g.m,
                  g.n,
                  g.k,
                  g.lda,
                  g.ldb,
                  g.ldc,
                  g.transpose_a | g.transpose_b << 1 | (g.bias != nullptr) << 2 |
                      g.accumulate << 3 | (g.inputs == DType::kBf16) << 4 |
                      (g.outputs == DType::kBf16) << 5 | threads << 6};
    if (auto found = entries_.find(key); found != entries_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->second;
    }
    if (entries_.size() == kCachedPrimitives) {
      entries_.erase(order_.back().first);
      order_.pop_back();
    }
    order_.emplace_front(key, make_product(g));
    entries_[key] = order_.begin();
    return order_.front().second;
  }

 private:
  std::list<std::pair<Key, Product>> order_;  // the latest used first
  std::unordered_map<Key, std::list<std::pair<Key, Product>>::iterator, KeyHash> entries_;
};

// A product with a transposed, a gradient of weights, is as deep as the batch has tokens: a
// primitive for each depth would take 0.9 MB. The old interface is as fast there and keeps nothing.
void gemm_without_primitive(const Gemm& g) {
  const auto status =
      dnnl_sgemm(g.transpose_a ? 'T' : 'N', g.transpose_b ? 'T' : 'N', g.m, g.n, g.k, 1.0f,
                 static_cast<const float*>(g.a), g.lda, static_cast<const float*>(g.b), g.ldb,
                 g.accumulate ? 1.0f : 0.0f, static_cast<float*>(g.c), g.ldc);
  check(status == dnnl_success, "oneDNN cannot multiply [{}, {}] by [{}, {}] (status {})", g.m, g.k,
        g.k, g.n, static_cast<int>(status));
}

// Where oneDNN's blocking is a fifth slower than for a part of the product (the gradients of an
// output layer): that many rows of sums from a transposed a, and that many floats summed up.
constexpr int64_t kMostRowsTransposed = 2048;
constexpr int64_t kDeepest = 4096;

// Fewer rows than that are not for the library: it would divide the depth among its threads, and
// the result would depend on how many there are.
constexpr int64_t kFewRows = 32;

// Each task makes some columns, of one part of the depth after the other.
void gemm_of_few_rows(const Gemm& g) {
  constexpr int64_t kStrip = 8 * tile::kLanes, kPart = 512;
  const auto* a = static_cast<const real*>(g.a);
  const auto* b = static_cast<const real*>(g.b);
  const auto* bias = static_cast<const real*>(g.bias);
  auto* c = static_cast<real*>(g.c);
  launch::cpu::tasks(
      (g.n + kStrip - 1) / kStrip, kStrip * (kFewRows + kPart), g.m * g.n * g.k / 16,
      [=, &g](Lane, int64_t task, real* sums) {
        real* const transposed = sums + kStrip * kFewRows;
        const int64_t begin = task * kStrip, columns = std::min(kStrip, g.n - begin);
        for (int64_t p = 0; p < g.k; p += kPart) {
          const int64_t depth = std::min(kPart, g.k - p);
          const auto left = g.transpose_a ? tile::Strided{a + p * g.lda, 1, g.lda}
                                          : tile::Strided{a + p, g.lda, 1};
          const real* right = b + p * g.ldb + begin;
          int64_t ld_right = g.ldb;
          if (g.transpose_b) {
            tile::transpose(columns, depth, b + begin * g.ldb + p, g.ldb, transposed, kStrip);
            right = transposed;
            ld_right = kStrip;
          }
          tile::product(g.m, columns, depth, left, right, ld_right, sums, kStrip, false);
          for (int64_t i = 0; i < g.m; ++i) {
            real* const row = c + i * g.ldc + begin;
            for (int64_t j = 0; j < columns; ++j) {
              const real start = p > 0 || g.accumulate ? row[j] : 0;
              row[j] = start + sums[i * kStrip + j] + (p == 0 && bias ? bias[begin + j] : 0);
            }
          }
        }
      });
}

const void* shifted(const void* data, int64_t elements, DType type) {
  return static_cast<const char*>(data) + elements * static_cast<int64_t>(size_of(type));
}
void* shifted(void* data, int64_t elements, DType type) {
  return static_cast<char*>(data) + elements * static_cast<int64_t>(size_of(type));
}

// oneDNN uses as many threads as OpenMP names to the thread that calls, which is that thread's own
// number: it is given the one that holds for all. Only here: launchers name it with each region.
int tell_library_of_threads() {
  const int threads = thread_count();
  omp_set_num_threads(threads);
  return threads;
}

void gemm_by_library(const Gemm& g) {
  if (g.transpose_a && g.m > 2 * kMostRowsTransposed) {
    Gemm part = g;
    for (int64_t row = 0; row < g.m; row += kMostRowsTransposed) {
      part.m = std::min(kMostRowsTransposed, g.m - row);
      part.a = shifted(g.a, row, g.inputs);
      part.c = shifted(g.c, row * g.ldc, g.outputs);
      gemm_by_library(part);
    }
    return;
  }
  if (g.m < kFewRows && g.inputs == DType::kReal) return gemm_of_few_rows(g);
  if (!g.transpose_a && g.inputs == DType::kReal && g.k > kDeepest) {
    Gemm part = g;
    for (int64_t p = 0; p < g.k; p += kDeepest) {
      part.k = std::min(kDeepest, g.k - p);
      part.a = shifted(g.a, p, g.inputs);
      part.b = shifted(g.b, g.transpose_b ? p : p * g.ldb, g.inputs);
      part.accumulate = g.accumulate || p > 0;
      if (p > 0) part.bias = nullptr;
      gemm_by_library(part);
    }
    return;
  }
  const int threads = tell_library_of_threads();
  if (g.transpose_a && !g.bias && g.inputs == DType::kReal) return gemm_without_primitive(g);
  thread_local ProductCache cache;
  thread_local dnnl::stream stream(engine());
  try {
    Product& product = cache.find(g, threads);
    product.a.set_data_handle(const_cast<void*>(g.a));
    product.b.set_data_handle(const_cast<void*>(g.b));
    product.c.set_data_handle(g.c);
    std::unordered_map<int, dnnl::memory> arguments = {
        {DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.c}};
    if (g.bias) {
      product.bias.set_data_handle(const_cast<void*>(g.bias));
      arguments.emplace(DNNL_ARG_BIAS, product.bias);
    }
    product.primitive.execute(stream, arguments);
    stream.wait();
  } catch (const dnnl::error& error) {
    fail("oneDNN cannot multiply [{}, {}] by [{}, {}]: {}", g.m, g.k, g.k, g.n, error.what());
  }
}

// The library's own makes zeros of NaN.
template <class T>
void relu(const Gemm& g) {
  T* const c = static_cast<T*>(g.c);
  launch::cpu::rows(g.m, g.n, [=, n = g.n, ldc = g.ldc](Lane lane, int64_t row) {
    lane.each(n, [to = c + row * ldc](int64_t j) { to[j] = to[j] < 0 ? T(real{0}) : to[j]; });
  });
}

}  // namespace

void cpu::gemm(const Gemm& g) {
  if (!packed::multiplies(g.inputs)) {
    gemm_by_library(g);
    if (g.relu) g.outputs == DType::kBf16 ? relu<Bf16>(g) : relu<real>(g);
    return;
  }
  const bool packs = !g.packed.defined() && !packed::packs_on_the_way(g);
  const Tensor packed = packs ? cpu::pack(g) : g.packed;
  packed::multiply(
      g, packed.defined() ? reinterpret_cast<const uint32_t*>(packed.data<int32_t>()) : nullptr);
}

Tensor cpu::pack(const Gemm& g) {
  if (!packed::multiplies(g.inputs)) return {};
  Tensor packed = Tensor::empty({packed::packed_words(g.k, g.n, g.inputs)}, DType::kInt32);
  packed::pack(g, reinterpret_cast<uint32_t*>(packed.data<int32_t>()));
  return packed;
}

bool cpu::sums_rows(DType inputs) { return packed::multiplies(inputs); }
bool cpu::gates(DType inputs) { return packed::multiplies(inputs); }

bool cpu::has_bf16_products() {
  return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_bf16;
}

}  // namespace dragoman
