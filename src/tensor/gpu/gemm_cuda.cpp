// Products on a GPU, by cuBLASLt. It knows columns first: what it is told is the transposed
// product, c^T = op(b)^T op(a)^T, whose matrices lie in memory as ours do.
#include <cublasLt.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "tensor/allocator.h"
#include "tensor/gemm_backends.h"
#include "tensor/gpu/cuda.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

void check_call(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_ALLOC_FAILED)
    throw OutOfMemory(fmt::format("out of memory on the GPU: cuBLASLt: {}", what));
  check(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt: {}: {}", what, cublasLtGetStatusString(status));
}

// What cuBLASLt may use beside its arguments; what Nvidia advises for Hopper.
constexpr size_t kWorkspace = size_t{32} << 20;

// Choosing an algorithm takes tens of microseconds: it is kept for each shape, of which packed
// batches make thousands. When there are too many, all are chosen anew.
constexpr size_t kMostShapes = 8192;
using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int, size_t>;

// The largest power of two, up to 16, that the address is a multiple of: algorithms differ in what
// they ask for.
int alignment_of(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address);
  return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : bits % 4 == 0 ? 4 : 2;
}

// Those of several products.
struct Alignments {
  int a = 16, b = 16, c = 16;

  explicit Alignments(std::span<const Gemm> products) {
    for (const Gemm& one : products) {
      a = std::min(a, alignment_of(one.a));
      b = std::min(b, alignment_of(one.b));
      c = std::min(c, alignment_of(one.c));
    }
  }
};

// Of one product, or of several that differ in their addresses alone.
Key key_of(std::span<const Gemm> products) {
  const Gemm& g = products[0];
  const int flags = g.transpose_a | g.transpose_b << 1 | (g.bias != nullptr) << 2 |
                    g.accumulate << 3 | (g.inputs == DType::kBf16) << 4 | g.tf32 << 5 |
                    (g.outputs == DType::kBf16) << 6 | g.relu << 7;
  const Alignments of(products);
  return {
      g.m, g.n, g.k, g.lda, g.ldb, g.ldc, flags, of.a << 20 | of.b << 10 | of.c, products.size()};
}

// Writes addresses to the GPU's memory: in a graph, they are a part of what it repeats.
struct WriteAddresses {
  const void* from[3 * kMostProducts];
  const void** to;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { to[i] = from[i]; }
};

#if CUBLAS_VER_MAJOR >= 13
constexpr bool kKnowsAddresses = true;
#else
constexpr bool kKnowsAddresses = false;  // of several products in the GPU's memory
#endif

// One shape's descriptions and algorithm, for one product or for several at once.
class Product {
 public:
  Product(cublasLtHandle_t handle, std::span<const Gemm> products) : count_(products.size()) {
    const Gemm& g = products[0];
    const cudaDataType inputs = type_of(g.inputs);
    const cublasComputeType_t sums =
        g.tf32 && g.inputs == DType::kReal ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    check_call(cublasLtMatmulDescCreate(&operation_, sums, CUDA_R_32F), "operation");
    set(CUBLASLT_MATMUL_DESC_TRANSA, g.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, g.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE,
        g.relu ? (g.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU)
               : (g.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT));
    b_ = g.transpose_b ? layout(inputs, g.k, g.n, g.ldb) : layout(inputs, g.n, g.k, g.ldb);
    a_ = g.transpose_a ? layout(inputs, g.m, g.k, g.lda) : layout(inputs, g.k, g.m, g.lda);
    c_ = layout(type_of(g.outputs), g.n, g.m, g.ldc);  // the bias is of that type as well
    choose(handle, g, Alignments(products));
  }
  // False if the library cannot do it so.
  bool possible() const { return possible_; }
  ~Product() {
    cublasLtMatrixLayoutDestroy(a_);
    cublasLtMatrixLayoutDestroy(b_);
    cublasLtMatrixLayoutDestroy(c_);
    cublasLtMatmulDescDestroy(operation_);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  // Of several products, a, b and c are arrays of addresses.
  void run(cublasLtHandle_t handle, const Gemm& g, const void* a, const void* b, void* c,
           void* workspace, cudaStream_t stream) {
    if (g.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
    const float one = 1, kept = g.accumulate ? 1 : 0;
    check_call(cublasLtMatmul(handle, operation_, &one, b, b_, a, a_, &kept, c, c_, c, c_,
                              &algorithm_, workspace, kWorkspace, stream),
               "the product failed");
  }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    check_call(cublasLtMatmulDescSetAttribute(operation_, attribute, &value, sizeof value),
               "an attribute of a product");
  }

  static cudaDataType type_of(DType type) {
    return type == DType::kBf16 ? CUDA_R_16BF : CUDA_R_32F;
  }

  cublasLtMatrixLayout_t layout(cudaDataType type, int64_t rows, int64_t columns,
                                int64_t stride) const {
    cublasLtMatrixLayout_t made = nullptr;
    check_call(cublasLtMatrixLayoutCreate(&made, type, static_cast<uint64_t>(rows),
                                          static_cast<uint64_t>(columns), stride),
               "a matrix's layout");
#if CUBLAS_VER_MAJOR >= 13
    const auto tell = [&](cublasLtMatrixLayoutAttribute_t attribute, auto value) {
      check_call(cublasLtMatrixLayoutSetAttribute(made, attribute, &value, sizeof value),
                 "a matrix's layout");
    };
    if (count_ > 1) {
      tell(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(count_));
      tell(CUBLASLT_MATRIX_LAYOUT_BATCH_MODE,
           static_cast<uint32_t>(CUBLASLT_BATCH_MODE_POINTER_ARRAY));
    }
#endif
    return made;
  }

  void choose(cublasLtHandle_t handle, const Gemm& g, const Alignments& alignments) {
    cublasLtMatmulPreference_t preference = nullptr;
    check_call(cublasLtMatmulPreferenceCreate(&preference), "a preference");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check_call(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
                 "a preference");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
    // The library's a is our b.
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(alignments.b));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(alignments.a));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(alignments.c));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(alignments.c));
    if (g.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation_, b_, a_, c_, c_,
                                                                 preference, 1, &best, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    possible_ = status == CUBLAS_STATUS_SUCCESS && found > 0;
    check(possible_ || count_ > 1, "cuBLASLt cannot multiply [{}, {}] by [{}, {}] in {}: {}", g.m,
          g.k, g.k, g.n, to_string(g.inputs), cublasLtGetStatusString(status));
    algorithm_ = best.algo;
  }

  size_t count_;
  bool possible_ = false;
  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, c_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
};

// The products of one GPU.
class Library {
 public:
  explicit Library(int index)
      : index_(index),
        workspace_(Allocator::of({Device::Kind::kCuda, index}).allocate(kWorkspace)) {
    cuda::stream_of(index);
    check_call(cublasLtCreate(&handle_), "the library cannot be used");
  }

  void multiply(const Gemm& g) {
    const std::lock_guard lock(mutex_);
    one(g);
  }

  void multiply_each(std::span<const Gemm> products) {
    const std::lock_guard lock(mutex_);
    if (!kKnowsAddresses || products.size() == 1 || !product_of(products).possible()) {
      for (const Gemm& g : products) one(g);
      return;
    }
    const Device device{Device::Kind::kCuda, index_};
    const size_t count = products.size();
    const auto memory = Allocator::of(device).allocate(3 * count * sizeof(void*));
    auto** const addresses = static_cast<const void**>(memory->data());
    WriteAddresses write{{}, addresses};
    for (size_t i = 0; i < count; ++i) {
      write.from[i] = products[i].a;
      write.from[count + i] = products[i].b;
      write.from[2 * count + i] = products[i].c;
    }
    launch::map(device, static_cast<int64_t>(3 * count), write);
    product_of(products).run(handle_, products[0], addresses, addresses + count,
                             addresses + 2 * count, workspace_->data(), cuda::stream_of(index_));
  }

 private:
  Product& product_of(std::span<const Gemm> products) {
    if (products_.size() > kMostShapes) products_.clear();
    std::unique_ptr<Product>& product = products_[key_of(products)];
    if (!product) product = std::make_unique<Product>(handle_, products);
    return *product;
  }
  void one(const Gemm& g) {
    product_of({&g, 1}).run(handle_, g, g.a, g.b, g.c, workspace_->data(), cuda::stream_of(index_));
  }

  int index_;
  std::shared_ptr<Buffer> workspace_;
  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<Key, std::unique_ptr<Product>> products_;
};

Library& library_of(int index) {
  static std::mutex mutex;
  static auto& libraries = *new std::map<int, std::unique_ptr<Library>>;  // never destroyed
  const std::lock_guard lock(mutex);
  std::unique_ptr<Library>& library = libraries[index];
  if (!library) library = std::make_unique<Library>(index);
  return *library;
}

}  // namespace

void gpu::gemm(int index, const Gemm& g) { library_of(index).multiply(g); }
void gpu::gemm_each(int index, std::span<const Gemm> products) {
  library_of(index).multiply_each(products);
}
bool gpu::has_bf16_products(int) { return true; }  // gpu_cuda.cpp asks for Ampere or later

}  // namespace dragoman
