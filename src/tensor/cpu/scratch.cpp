#include "tensor/cpu/scratch.h"

#include <algorithm>
#include <memory>
#include <new>

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
  size = std::max<int64_t>(size, 1);  // at null a task could begin no array of another type
  if (kept.size < size) {
    kept = {};  // first, so that the two are never held at once
    kept.memory = Allocator::of(Device{}).allocate(static_cast<size_t>(size) * sizeof(real));
    kept.size = size;
  }
  // Whatever was made of it before, what is handed out are reals.
  return new (kept.memory->data()) real[static_cast<size_t>(size)];
}

}  // namespace dragoman::launch::cpu
