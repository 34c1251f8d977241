#include "tensor/gpu_emulated.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "core/check.h"
#include "tensor/gpu.h"
#include "tensor/team.h"

namespace dragoman::gpu {
namespace {

// A range of addresses, of which more and more is given out; what is returned goes back to the
// system, its addresses are not used again.
class Region {
 public:
  void* allocate(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const size_t size = (bytes + kPage - 1) / kPage * kPage;
    if (used_ + size > kSize) return nullptr;
    void* const data = begin_ + used_;
    used_ += size;
    return data;
  }
  static void release(void* data, size_t bytes) { ::madvise(data, bytes, MADV_DONTNEED); }
  void protect(bool accessible) {
    check(::mprotect(begin_, kSize, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) == 0,
          "the memory of the emulated GPU cannot be protected");
  }

 private:
  static constexpr size_t kPage = 4096;
  static constexpr size_t kSize = size_t{1} << 38;

  static char* reserve() {
    void* const begin = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(begin != MAP_FAILED, "there are no addresses for the emulated GPU");
    return static_cast<char*>(begin);
  }

  std::mutex mutex_;
  char* begin_ = reserve();
  size_t used_ = 0;
};

Region& cpu_region() {
  static Region* const region = new Region;
  return *region;
}

Region& gpu_region() {
  static Region* const region = [] {
    auto* const made = new Region;
    made->protect(false);
    return made;
  }();
  return *region;
}

// While one lives, the GPU's memory can be touched, and the CPU's if `both`.
class Access {
 public:
  explicit Access(bool both) : both_(both) {
    gpu_region().protect(true);
    if (!both_) cpu_region().protect(false);
  }
  ~Access() {
    if (!both_) cpu_region().protect(true);
    gpu_region().protect(false);
  }
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;

 private:
  bool both_;
};

int lanes() {
  static const int number = [] {
    const char* const text = std::getenv("DRAGOMAN_EMULATED_LANES");
    return text ? std::atoi(text) : 1;
  }();
  return number;
}

}  // namespace

void emulate(const std::function<void()>& work) {
  const Access access(false);
  Team::run(lanes(), work);
}

void emulate_library(const std::function<void()>& work) {
  const Access access(false);
  work();
}

void* allocate_on_cpu(size_t bytes) { return cpu_region().allocate(bytes); }
void release_on_cpu(void* data, size_t bytes) { Region::release(data, bytes); }

int count() { return 1; }
std::string why_none() { return ""; }
std::string describe(int) { return "emulated GPU"; }
void* allocate(int, size_t bytes) { return gpu_region().allocate(bytes); }
void release(int, void*) {}
void fill(int, void* data, int byte, size_t bytes) {
  const Access access(false);
  std::memset(data, byte, bytes);
}
void copy(Device, void* destination, Device, const void* source, size_t bytes) {
  const Access access(true);
  std::memcpy(destination, source, bytes);
}
void synchronize(int) {}

}  // namespace dragoman::gpu
