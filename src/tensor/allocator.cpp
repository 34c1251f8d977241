#include "tensor/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "tensor/gpu.h"
#if defined(DRAGOMAN_EMULATED_GPU)
#include "tensor/gpu_emulated.h"
#endif

namespace dragoman {
namespace {

constexpr size_t kAlignment = 64;

// Pages of the large blocks, where the system gives them to who asks: a product that walks down the
// columns of a matrix of small pages waits for their addresses.
constexpr size_t kLargePage = size_t{2} << 20;

// Sizes are rounded up to an eighth of a power of two: at most 12.5% is lost, and batches of nearly
// the same size share their buffers. A kept block also serves a request of down to two thirds of
// its size: otherwise batches of many sizes would each keep blocks of their own.
size_t size_class(size_t bytes) {
  if (bytes >= kLargePage && bytes < 16 * kLargePage)
    return (bytes + kLargePage - 1) / kLargePage * kLargePage;
  if (bytes <= 512) return (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  const size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

void* system_memory(Device device, size_t size) {
  if (device.on_gpu()) return gpu::allocate(device.index, size);
#if defined(DRAGOMAN_EMULATED_GPU)
  return gpu::allocate_on_cpu(size);
#else
  if (size % kLargePage != 0) return std::aligned_alloc(kAlignment, size);
  void* const data = std::aligned_alloc(kLargePage, size);
  if (data != nullptr) ::madvise(data, size, MADV_HUGEPAGE);  // a wish: it may be refused
  return data;
#endif
}

void return_to_system(Device device, void* data, [[maybe_unused]] size_t size) {
  if (device.on_gpu()) return gpu::release(device.index, data);
#if defined(DRAGOMAN_EMULATED_GPU)
  gpu::release_on_cpu(data, size);
#else
  std::free(data);
#endif
}

}  // namespace

Buffer::~Buffer() { Allocator::of(device_).give_back(data_, bytes_); }

Allocator& Allocator::of(Device device) {
  // Never destroyed: tensors of static lifetime may give memory back at any moment.
  static Allocator* const cpu = new Allocator(Device{});
  if (!device.on_gpu()) return *cpu;
  static std::mutex mutex;
  static auto* const gpus = new std::map<int, std::unique_ptr<Allocator>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<Allocator>& allocator = (*gpus)[device.index];
  if (!allocator) allocator.reset(new Allocator(device));
  return *allocator;
}

std::shared_ptr<Buffer> Allocator::allocate(size_t bytes) {
  size_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  void* data = nullptr;
  if (auto found = cached_.lower_bound(size);
      found != cached_.end() && found->first <= size + size / 2) {
    size = found->first;
    data = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) cached_.erase(found);
  } else {
    data = system_memory(device_, size);
    if (data == nullptr) {
      release_cached_locked();
      data = system_memory(device_, size);
    }
    check(data != nullptr,
          "out of memory on {}: {} bytes were asked for while tensors hold {} (peak {}); lower "
          "training.batch_tokens or the model's size",
          to_string(device_), size, statistics_.in_use, statistics_.peak);
    statistics_.reserved += size;
    ++statistics_.system_calls;
  }
  ++statistics_.allocations;
  statistics_.in_use += size;
  statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  if (poison_) {
    device_.on_gpu() ? gpu::fill(device_.index, data, 0xFF, size)
                     : static_cast<void>(std::memset(data, 0xFF, size));
  }
  return std::make_shared<Buffer>(data, size, device_);
}

void Allocator::give_back(void* data, size_t bytes) {
  const std::lock_guard lock(mutex_);
  cached_[bytes].push_back(data);
  statistics_.in_use -= bytes;
}

void Allocator::release_cached_locked() {
  for (auto& [size, blocks] : cached_) {
    for (void* data : blocks) return_to_system(device_, data, size);
    statistics_.reserved -= size * blocks.size();
  }
  cached_.clear();
}

void Allocator::release_cached() {
  const std::lock_guard lock(mutex_);
  release_cached_locked();
}

AllocatorStatistics Allocator::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void Allocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak = statistics_.in_use;
}

void Allocator::set_poison(bool poison) {
  const std::lock_guard lock(mutex_);
  poison_ = poison;
}

}  // namespace dragoman
