#include "tensor/gpu/emulated/gpu.h"

#include <sys/mman.h>

#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "core/check.h"
#include "tensor/gpu.h"
#include "tensor/gpu/kernel.h"

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
    ::madvise(begin, kSize, MADV_HUGEPAGE);  // so that few are to be protected
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

// What is kept while a graph is made: null at other times.
using Captured = std::vector<std::function<void()>>;
std::shared_ptr<Captured>& captured() {
  static std::shared_ptr<Captured> list;
  return list;
}

// Does `work`, or keeps it.
void run_or_keep(std::function<void()> work) {
  if (captured()) return captured()->push_back(std::move(work));
  work();
}

void check_not_capturing(const char* what) { check(!captured(), "{} while a graph is made", what); }

}  // namespace

void emulate(std::function<void()> work) {
  run_or_keep([work = std::move(work)] {
    const Access access(false);
    work();
  });
}

void* allocate_on_cpu(size_t bytes) { return cpu_region().allocate(bytes); }
void release_on_cpu(void* data, size_t bytes) { Region::release(data, bytes); }

int count() { return 1; }
std::string why_none() { return ""; }
std::string why_not(int) { return ""; }
std::string describe(int) { return "emulated GPU"; }
void* allocate(int, size_t bytes) { return gpu_region().allocate(bytes); }
void release(int, void*) {}
void fill(int, void* data, int byte, size_t bytes) {
  emulate([=] { std::memset(data, byte, bytes); });
}
void copy(Device to, void* destination, Device from, const void* source, size_t bytes) {
  if (to != from) check_not_capturing("a copy to or from the host");
  run_or_keep([=] {
    const Access access(true);
    std::memcpy(destination, source, bytes);
  });
}
void synchronize(int) { check_not_capturing("the GPU was waited for"); }

std::unique_ptr<Download> download(int, const void* source, size_t bytes) {
  struct Done : Download {
    const void* wait() override { return bytes.data(); }
    std::vector<char> bytes;
  };
  check_not_capturing("a copy to the host");
  auto done = std::make_unique<Done>();
  done->bytes.resize(bytes);
  const Access access(true);
  std::memcpy(done->bytes.data(), source, bytes);
  return done;
}

void begin_capture(int) {
  check_not_capturing("another was begun");
  captured() = std::make_shared<Captured>();
}
std::shared_ptr<void> end_capture(int) { return std::exchange(captured(), nullptr); }
void abandon_capture(int) { captured().reset(); }
void run_captured(int, void* list) {
  for (const std::function<void()>& work : *static_cast<Captured*>(list)) work();
}

}  // namespace dragoman::gpu

namespace dragoman {

const cuda::Properties& cuda::properties_of(int) {
  static const Properties properties{.multiprocessors = emulated::kMultiprocessors,
                                     .shared_memory_per_block = 47 << 10};
  return properties;
}

unsigned* cuda::counters(int index) {
  static unsigned* const counters = [=] {
    void* const made = gpu::allocate(index, kCounters * sizeof(unsigned));
    gpu::fill(index, made, 0, kCounters * sizeof(unsigned));
    return static_cast<unsigned*>(made);
  }();
  return counters;
}

}  // namespace dragoman
