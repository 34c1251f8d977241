// A build without CUDA.
#include "core/check.h"
#include "tensor/gemm_backends.h"
#include "tensor/gpu.h"

namespace dragoman::gpu {

namespace {

[[noreturn]] void fail_here() { fail("{}", why_none()); }

}  // namespace

int count() { return 0; }
std::string why_none() {
  return "this program was built without CUDA (cmake -DDRAGOMAN_CUDA=ON, with the CUDA Toolkit)";
}
std::string why_not(int) { fail_here(); }
std::string describe(int) { fail_here(); }
void* allocate(int, size_t) { fail_here(); }
void release(int, void*) { fail_here(); }
void fill(int, void*, int, size_t) { fail_here(); }
void copy(Device, void*, Device, const void*, size_t) { fail_here(); }
void synchronize(int) { fail_here(); }
std::unique_ptr<Download> download(int, const void*, size_t) { fail_here(); }
void begin_capture(int) { fail_here(); }
std::shared_ptr<void> end_capture(int) { fail_here(); }
void abandon_capture(int) {}
void run_captured(int, void*) { fail_here(); }
void gemm(int, const Gemm&) { fail_here(); }
void gemm_each(int, std::span<const Gemm>) { fail_here(); }
bool has_bf16_products(int) { fail_here(); }

}  // namespace dragoman::gpu
