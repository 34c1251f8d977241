// CUDA's runtime. A GPU is got ready when it is first used; nothing is when a program that was
// built with CUDA runs where there is no GPU.
#include <deque>
#include <mutex>

#include "tensor/cuda.h"
#include "tensor/gpu.h"

namespace dragoman {
namespace {

using cuda::check_call;

// The oldest GPUs that the kernels run on: those with bf16 products (Ampere).
constexpr int kOldestMajor = 8;

struct Gpu {
  cudaStream_t stream = nullptr;
  cuda::Properties properties;
  cudaDeviceProp device;
};

// What the search for GPUs found: their number, or why there is none.
struct Found {
  int count = 0;
  std::string why_none;
};

std::string version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

Found find_gpus() {
  int driver = 0, runtime = 0;
  cudaRuntimeGetVersion(&runtime);
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return {0, "this machine has no NVIDIA driver; install one, or use the cpu"};
  if (driver / 1000 < runtime / 1000) {
    return {0,
            fmt::format("the driver supports CUDA {} and this program needs {}; update the driver, "
                        "or build with an older CUDA Toolkit",
                        version(driver), version(runtime))};
  }
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    return {0, fmt::format("no GPU can be seen ({}); look at nvidia-smi and CUDA_VISIBLE_DEVICES",
                           cudaGetErrorString(status))};
  }
  return {count, ""};
}

const Found& found() {
  static const Found result = find_gpus();
  return result;
}

void check_kernels_run(int index, const cudaDeviceProp& device) {
  check(device.major >= kOldestMajor,
        "cuda:{} ({}) has the compute capability {}.{}; this program needs {}.0 (Ampere) or later",
        index, device.name, device.major, device.minor, kOldestMajor);
}

Gpu& gpu_of(int index) {
  static std::mutex mutex;
  static std::deque<Gpu>& gpus = *new std::deque<Gpu>;  // never destroyed, as the allocators
  const std::lock_guard lock(mutex);
  if (gpus.empty()) gpus.resize(static_cast<size_t>(found().count));
  check(index < found().count, "there is no GPU {}: {}", index, found().why_none);
  check_call(cudaSetDevice(index), "the GPU cannot be used");
  Gpu& gpu = gpus[static_cast<size_t>(index)];
  if (gpu.stream) return gpu;
  check_call(cudaGetDeviceProperties(&gpu.device, index), "the GPU cannot be asked what it is");
  check_kernels_run(index, gpu.device);
  gpu.properties = {gpu.device.multiProcessorCount, gpu.device.sharedMemPerBlock};
  check_call(cudaStreamCreateWithFlags(&gpu.stream, cudaStreamNonBlocking),
             "a stream cannot be made");
  return gpu;
}

}  // namespace

cudaStream_t cuda::stream_of(int index) { return gpu_of(index).stream; }
const cuda::Properties& cuda::properties_of(int index) { return gpu_of(index).properties; }

int gpu::count() { return found().count; }
std::string gpu::why_none() { return found().why_none; }

std::string gpu::describe(int index) {
  const cudaDeviceProp& device = gpu_of(index).device;
  return fmt::format("{} ({} GB)", device.name, (device.totalGlobalMem + (1u << 29)) >> 30);
}

void* gpu::allocate(int index, size_t bytes) {
  gpu_of(index);
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forgets it
    return nullptr;
  }
  check_call(status, "memory cannot be allocated");
  return data;
}

// Waits for what still uses the memory. The result is not looked at: a destructor may call this,
// and an error of earlier work comes to light at the next call that is.
void gpu::release(int index, void* data) {
  cudaStreamSynchronize(gpu_of(index).stream);
  cudaFree(data);
}

void gpu::fill(int index, void* data, int byte, size_t bytes) {
  check_call(cudaMemsetAsync(data, byte, bytes, cuda::stream_of(index)), "memory cannot be filled");
}

void gpu::copy(Device to, void* destination, Device from, const void* source, size_t bytes) {
  // Another GPU's stream does not wait for this one's.
  const bool between_gpus = to.on_gpu() && from.on_gpu() && to != from;
  if (between_gpus) synchronize(to.index);
  const cudaStream_t stream = cuda::stream_of(from.on_gpu() ? from.index : to.index);
  check_call(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault, stream),
             "memory cannot be copied");
  // From pageable memory of the host the call itself returns when the source has been read.
  if (between_gpus || !to.on_gpu()) {
    check_call(cudaStreamSynchronize(stream), "the GPU failed");
  }
}

void gpu::synchronize(int index) {
  check_call(cudaStreamSynchronize(cuda::stream_of(index)), "the GPU failed");
}

}  // namespace dragoman
