#include "tensor/cpu/scratch.h"

#include <memory>

#include "tensor/allocator.h"

namespace dragoman::launch::cpu {
namespace {

struct Kept {
  std::shared_ptr<Buffer> memory;
  int64_t size = 0;
};

}  // namespace

real* scratch_memory(int64_t size) {
  thread_local Kept kept;
  if (kept.size < size) {
    kept = {};  // first, so that the two are never held at once
    kept.memory = Allocator::of(Device{}).allocate(static_cast<size_t>(size) * sizeof(real));
    kept.size = size;
  }
  return kept.size == 0 ? nullptr : static_cast<real*>(kept.memory->data());
}

}  // namespace dragoman::launch::cpu
