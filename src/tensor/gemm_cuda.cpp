// Products on a GPU, by cuBLASLt. It knows columns first: what it is told is the transposed
// product, c^T = op(b)^T op(a)^T, whose matrices lie in memory as ours do.
#include <cublasLt.h>

#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "tensor/allocator.h"
#include "tensor/cuda.h"
#include "tensor/gemm_backends.h"

namespace dragoman {
namespace {

void check_call(cublasStatus_t status, const char* what) {
  check(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt: {}: {}", what, cublasLtGetStatusString(status));
}

// What cuBLASLt may use beside its arguments; what Nvidia advises for Hopper.
constexpr size_t kWorkspace = size_t{32} << 20;

// Choosing an algorithm takes tens of microseconds: it is kept for each shape, of which packed
// batches make thousands. When there are too many, all are chosen anew.
constexpr size_t kMostProducts = 8192;
using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int>;

// The largest power of two, up to 16, that the address is a multiple of: algorithms differ in what
// they ask for.
int alignment_of(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address);
  return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : bits % 4 == 0 ? 4 : 2;
}

Key key_of(const Gemm& g) {
  const int flags = g.transpose_a | g.transpose_b << 1 | (g.bias != nullptr) << 2 |
                    g.accumulate << 3 | (g.inputs == DType::kBf16) << 4 | g.tf32 << 5 |
                    (g.outputs == DType::kBf16) << 6 | g.relu << 7;
  const int alignments = alignment_of(g.a) << 20 | alignment_of(g.b) << 10 | alignment_of(g.c);
  return {g.m, g.n, g.k, g.lda, g.ldb, g.ldc, flags, alignments};
}

// One shape's descriptions and algorithm.
class Product {
 public:
  Product(cublasLtHandle_t handle, const Gemm& g) {
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
    choose(handle, g);
  }
  ~Product() {
    cublasLtMatrixLayoutDestroy(a_);
    cublasLtMatrixLayoutDestroy(b_);
    cublasLtMatrixLayoutDestroy(c_);
    cublasLtMatmulDescDestroy(operation_);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  void run(cublasLtHandle_t handle, const Gemm& g, void* workspace, cudaStream_t stream) {
    if (g.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
    const float one = 1, kept = g.accumulate ? 1 : 0;
    check_call(cublasLtMatmul(handle, operation_, &one, g.b, b_, g.a, a_, &kept, g.c, c_, g.c, c_,
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

  static cublasLtMatrixLayout_t layout(cudaDataType type, int64_t rows, int64_t columns,
                                       int64_t stride) {
    cublasLtMatrixLayout_t made = nullptr;
    check_call(cublasLtMatrixLayoutCreate(&made, type, static_cast<uint64_t>(rows),
                                          static_cast<uint64_t>(columns), stride),
               "a matrix's layout");
    return made;
  }

  void choose(cublasLtHandle_t handle, const Gemm& g) {
    cublasLtMatmulPreference_t preference = nullptr;
    check_call(cublasLtMatmulPreferenceCreate(&preference), "a preference");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check_call(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
                 "a preference");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
    // The library's a is our b.
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(alignment_of(g.b)));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(alignment_of(g.a)));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(alignment_of(g.c)));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(alignment_of(g.c)));
    if (g.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation_, b_, a_, c_, c_,
                                                                 preference, 1, &best, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    check(status == CUBLAS_STATUS_SUCCESS && found > 0,
          "cuBLASLt cannot multiply [{}, {}] by [{}, {}] in {}: {}", g.m, g.k, g.k, g.n,
          to_string(g.inputs), cublasLtGetStatusString(status));
    algorithm_ = best.algo;
  }

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
    const cudaStream_t stream = cuda::stream_of(index_);
    const std::lock_guard lock(mutex_);
    if (products_.size() > kMostProducts) products_.clear();
    std::unique_ptr<Product>& product = products_[key_of(g)];
    if (!product) product = std::make_unique<Product>(handle_, g);
    product->run(handle_, g, workspace_->data(), stream);
  }

 private:
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
bool gpu::has_bf16_products(int) { return true; }  // gpu_cuda.cpp asks for Ampere or later

}  // namespace dragoman
