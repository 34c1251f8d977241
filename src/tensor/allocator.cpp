#include "tensor/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "tensor/gpu.h"
#if defined(DRAGOMAN_EMULATED_GPU)
#include "tensor/gpu/emulated/gpu.h"
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
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

std::string size_text(size_t bytes) {
  const auto kibibytes = static_cast<double>(bytes) / 1024;
  return kibibytes < 1024 ? fmt::format("{:.1f} KiB", kibibytes)
                          : fmt::format("{:.1f} MiB", kibibytes / 1024);
}

void return_to_system(Device device, void* data, [[maybe_unused]] size_t size) {
  if (device.on_gpu()) return gpu::release(device.index, data);
#if defined(DRAGOMAN_EMULATED_GPU)
  gpu::release_on_cpu(data, size);
#else
  std::free(data);
#endif
}

// Tells the address sanitizer, which knows nothing of memory that is kept, that only the first
// `bytes` of a block of `size` may be touched, on the CPU or a GPU that is emulated.
void allow_access([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes,
                  [[maybe_unused]] size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(data, bytes);
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(data) + bytes, size - bytes);
#endif
}

}  // namespace

Buffer::~Buffer() { Allocator::of(device_).give_back(data_, bytes_, of_graphs_); }

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
  void* data = making_graph_ ? take_from(cached_of_graphs_, size) : nullptr;
  if (data == nullptr) data = take_from(cached_, size);
  if (data == nullptr) {
    data = take_from_system(size);
    statistics_.reserved += size;
    statistics_.peak_reserved = std::max(statistics_.peak_reserved, statistics_.reserved);
    ++statistics_.system_calls;
  }
  ++statistics_.allocations;
  statistics_.in_use += size;
  statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  // What a graph does it does later, when the memory has been other tensors' as well.
  allow_access(data, making_graph_ ? size : bytes, size);
  if (poison_) {
    device_.on_gpu() ? gpu::fill(device_.index, data, 0xFF, bytes)
                     : static_cast<void>(std::memset(data, 0xFF, bytes));
  }
  return std::make_shared<Buffer>(data, size, device_, making_graph_);
}

void* Allocator::take_from(Blocks& blocks, size_t& size) {
  const auto found = blocks.lower_bound(size);
  if (found == blocks.end() || found->first > size + size / 2) return nullptr;
  size = found->first;
  void* const data = found->second.back();
  found->second.pop_back();
  if (found->second.empty()) blocks.erase(found);
  return data;
}

void* Allocator::take_from_system(size_t size) {
  const auto take = [&] {
    return size <= limit_ - std::min(limit_, statistics_.reserved) ? system_memory(device_, size)
                                                                   : nullptr;
  };
  void* data = take();
  if (data == nullptr && !making_graph_) {
    release_cached_locked();
    data = take();
  }
  if (data == nullptr) {
    throw OutOfMemory(fmt::format("out of memory on {}: {} were asked for while tensors hold {}",
                                  to_string(device_), size_text(size),
                                  size_text(statistics_.in_use)));
  }
  return data;
}

void Allocator::give_back(void* data, size_t bytes, bool of_graphs) {
  const std::lock_guard lock(mutex_);
  (of_graphs && graphs_ > 0 ? cached_of_graphs_ : cached_)[bytes].push_back(data);
  statistics_.in_use -= bytes;
  if (!of_graphs) allow_access(data, 0, bytes);
}

void Allocator::begin_graph() {
  const std::lock_guard lock(mutex_);
  check(!making_graph_, "a graph cannot be made while another is");
  making_graph_ = true;
  ++graphs_;
}

void Allocator::end_graph() {
  const std::lock_guard lock(mutex_);
  making_graph_ = false;
}

void Allocator::drop_graph() {
  const std::lock_guard lock(mutex_);
  if (--graphs_ > 0) return;
  for (auto& [size, blocks] : cached_of_graphs_) {
    std::vector<void*>& all = cached_[size];
    all.insert(all.end(), blocks.begin(), blocks.end());
  }
  cached_of_graphs_.clear();
}

void Allocator::release_cached_locked() {
  for (auto& [size, blocks] : cached_) {
    for (void* data : blocks) {
      allow_access(data, size, size);
      return_to_system(device_, data, size);
    }
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
  statistics_.peak_reserved = statistics_.reserved;
}

void Allocator::set_limit(size_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes;
}

void Allocator::set_poison(bool poison) {
  const std::lock_guard lock(mutex_);
  poison_ = poison;
}

}  // namespace dragoman
