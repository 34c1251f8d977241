// CUDA's runtime. A GPU is got ready when it is first used; nothing is when a program that was
// built with CUDA runs where there is no GPU.
#include <array>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "tensor/gpu.h"
#include "tensor/gpu/cuda.h"
#include "tensor/gpu/kernel.h"

namespace dragoman {
namespace {

using cuda::check_call;

// The oldest GPUs that the kernels run on: those with bf16 products (Ampere).
constexpr int kOldestMajor = 8;

// Copies to a GPU go through pinned memory of this size, so that the host need not wait for what
// the GPU does before them; larger ones are rare.
constexpr size_t kStaged = size_t{4} << 20;

// What allocating leaves to the driver, for graphs and for the code of kernels, which it loads when
// they are launched first.
constexpr size_t kLeftToDriver = size_t{256} << 20;

// Shared memory that kernels declare themselves, at most, where their launch asks for more.
constexpr size_t kDeclared = 1 << 10;

// Pinned memory, and when the GPU has read or written it.
struct Stage {
  void* memory = nullptr;
  cudaEvent_t done = nullptr;
};

Stage make_stage(size_t bytes) {
  Stage stage;
  check(cudaMallocHost(&stage.memory, bytes) == cudaSuccess,
        "CUDA: {} bytes of the host's memory cannot be pinned", bytes);
  check_call(cudaEventCreateWithFlags(&stage.done, cudaEventDisableTiming),
             "an event cannot be made");
  return stage;
}

void copy_through(const Stage& stage, void* destination, const void* source, size_t bytes,
                  cudaStream_t stream) {
  check_call(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault, stream),
             "memory cannot be copied");
  check_call(cudaEventRecord(stage.done, stream), "an event cannot be recorded");
}

struct Gpu {
  cudaStream_t stream = nullptr;
  bool capturing = false;
  std::mutex staging;           // guards the stages: threads copy at once
  std::array<Stage, 4> stages;  // taken in turn: four copies may be under way
  size_t next_stage = 0;
  std::vector<Stage> downloads;  // of kMostDownloaded bytes, that none uses
  unsigned* counters = nullptr;
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
  gpu.properties = {gpu.device.multiProcessorCount, gpu.device.sharedMemPerBlock - kDeclared};
  for (Stage& stage : gpu.stages) stage = make_stage(kStaged);
  constexpr size_t kBytes = cuda::kCounters * sizeof(unsigned);
  check_call(cudaMalloc(reinterpret_cast<void**>(&gpu.counters), kBytes),
             "memory cannot be allocated");
  check_call(cudaMemset(gpu.counters, 0, kBytes), "memory cannot be cleared");
  check_call(cudaDeviceSynchronize(), "the GPU failed");
  // The last, since it says that the others are there.
  check_call(cudaStreamCreateWithFlags(&gpu.stream, cudaStreamNonBlocking),
             "a stream cannot be made");
  return gpu;
}

void check_not_capturing(int index, const char* what) {
  check(!gpu_of(index).capturing, "{} while a graph is made", what);
}

class StagedDownload : public dragoman::gpu::Download {
 public:
  StagedDownload(Gpu& gpu, const void* source, size_t bytes) : gpu_(gpu) {
    const std::lock_guard lock(gpu.staging);
    if (gpu.downloads.empty()) gpu.downloads.push_back(make_stage(dragoman::gpu::kMostDownloaded));
    stage_ = gpu.downloads.back();
    copy_through(stage_, stage_.memory, source, bytes, gpu.stream);
    gpu.downloads.pop_back();
  }
  // The next download into the same memory is behind this one.
  ~StagedDownload() override {
    const std::lock_guard lock(gpu_.staging);
    gpu_.downloads.push_back(stage_);
  }
  const void* wait() override {
    check_call(cudaEventSynchronize(stage_.done), "the GPU failed");
    return stage_.memory;
  }

 private:
  Gpu& gpu_;
  Stage stage_;
};

void copy_staged(Gpu& gpu, void* destination, const void* source, size_t bytes) {
  const std::lock_guard lock(gpu.staging);
  Stage& stage = gpu.stages[gpu.next_stage];
  gpu.next_stage = (gpu.next_stage + 1) % gpu.stages.size();
  check_call(cudaEventSynchronize(stage.done), "the GPU failed");  // the last copy from there
  std::memcpy(stage.memory, source, bytes);
  copy_through(stage, destination, stage.memory, bytes, gpu.stream);
}

}  // namespace

cudaStream_t cuda::stream_of(int index) { return gpu_of(index).stream; }
const cuda::Properties& cuda::properties_of(int index) { return gpu_of(index).properties; }
unsigned* cuda::counters(int index) { return gpu_of(index).counters; }

int gpu::count() { return found().count; }
std::string gpu::why_none() { return found().why_none; }

std::string gpu::why_not(int index) {
  int major = 0, minor = 0;
  const auto ask = [&](int& value, cudaDeviceAttr attribute) {
    check_call(cudaDeviceGetAttribute(&value, attribute, index),
               "a GPU cannot be asked what it is");
  };
  ask(major, cudaDevAttrComputeCapabilityMajor);
  ask(minor, cudaDevAttrComputeCapabilityMinor);
  if (major >= kOldestMajor) return "";
  return fmt::format(
      "cuda:{} has the compute capability {}.{}; this program needs {}.0 (Ampere) or later", index,
      major, minor, kOldestMajor);
}

std::string gpu::describe(int index) {
  const cudaDeviceProp& device = gpu_of(index).device;
  return fmt::format("{} ({} GB)", device.name, (device.totalGlobalMem + (1u << 29)) >> 30);
}

void* gpu::allocate(int index, size_t bytes) {
  const Gpu& gpu = gpu_of(index);
  size_t free = 0, total = 0;
  check_call(cudaMemGetInfo(&free, &total), "the GPU cannot be asked for its memory");
  // Where it is the host's memory as well, the system has more than what is free.
  if (!gpu.device.integrated && bytes + kLeftToDriver > free) return nullptr;
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
  Gpu& gpu = gpu_of(from.on_gpu() ? from.index : to.index);
  check(to == from || !gpu.capturing, "a copy to or from the host while a graph is made");
  if (!from.on_gpu() && bytes <= kStaged) return copy_staged(gpu, destination, source, bytes);
  const cudaStream_t stream = gpu.stream;
  check_call(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault, stream),
             "memory cannot be copied");
  if (to != from) check_call(cudaStreamSynchronize(stream), "the GPU failed");
}

void gpu::synchronize(int index) {
  check_not_capturing(index, "the GPU was waited for");
  check_call(cudaStreamSynchronize(cuda::stream_of(index)), "the GPU failed");
}

std::unique_ptr<gpu::Download> gpu::download(int index, const void* source, size_t bytes) {
  check_not_capturing(index, "a copy to the host");
  check(bytes <= kMostDownloaded, "{} bytes are too many to download at once", bytes);
  return std::make_unique<StagedDownload>(gpu_of(index), source, bytes);
}

void gpu::begin_capture(int index) {
  check_not_capturing(index, "another was begun");
  Gpu& gpu = gpu_of(index);
  // Relaxed: memory may be allocated meanwhile, which is no part of the graph.
  check_call(cudaStreamBeginCapture(gpu.stream, cudaStreamCaptureModeRelaxed),
             "a graph cannot be begun");
  gpu.capturing = true;
}

std::shared_ptr<void> gpu::end_capture(int index) {
  Gpu& gpu = gpu_of(index);
  gpu.capturing = false;
  cudaGraph_t graph = nullptr;
  check_call(cudaStreamEndCapture(gpu.stream, &graph), "a graph cannot be ended");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check_call(status, "a graph cannot be made");
  return {executable, [](cudaGraphExec_t made) { cudaGraphExecDestroy(made); }};
}

void gpu::abandon_capture(int index) {
  Gpu& gpu = gpu_of(index);
  if (!gpu.capturing) return;
  gpu.capturing = false;
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(gpu.stream, &graph);
  if (graph) cudaGraphDestroy(graph);
  cudaGetLastError();  // forgets that the capture ended early
}

void gpu::run_captured(int index, void* captured) {
  check_call(cudaGraphLaunch(static_cast<cudaGraphExec_t>(captured), gpu_of(index).stream),
             "a graph could not be launched");
}

}  // namespace dragoman
