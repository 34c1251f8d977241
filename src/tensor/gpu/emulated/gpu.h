// A GPU that the host pretends to be, for tests where there is none. Its memory is a region of its
// own: what the host's code touches of it outside of a copy, and what a launch touches of the CPU's
// tensors, ends the program with a segmentation fault.
#pragma once

#include <cstddef>
#include <functional>

namespace dragoman::gpu {

/// Does what a GPU would, or keeps it for a graph: `work`, which must own what it needs, with
/// access to the GPU's memory and none to the CPU's.
void emulate(std::function<void()> work);

/// Memory for the CPU's tensors, which launches cannot touch. Null when there is no more.
void* allocate_on_cpu(size_t bytes);
void release_on_cpu(void* data, size_t bytes);

}  // namespace dragoman::gpu
