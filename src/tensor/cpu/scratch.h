// Memory that a launch needs on its way.
#pragma once

#include <cstdint>

#include "core/real.h"

namespace dragoman::launch::cpu {

/// `size` numbers, aligned to a cache line, which the calling thread has until it asks again. They
/// are kept, so that only a launch which wants more than any before allocates; the allocator of the
/// CPU counts them as in use. Throws OutOfMemory. To be called before threads are at work, not by
/// them: they are given parts of it.
real* scratch_memory(int64_t size);

}  // namespace dragoman::launch::cpu
