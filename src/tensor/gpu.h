// What the engine needs of a GPU's runtime library. Three files implement it, of which a build has
// one: gpu_cuda.cpp, gpu_absent.cpp (no GPU), and gpu_emulated.cpp (the host pretends, for tests).
#pragma once

#include <cstddef>
#include <string>

#include "tensor/device.h"

namespace dragoman::gpu {

/// GPUs that can be used.
int count();
/// Why there is none: a sentence that also says what to do.
std::string why_none();
std::string describe(int index);

/// Memory of a GPU, aligned to 256 bytes; null when there is no more.
void* allocate(int index, size_t bytes);
void release(int index, void* data);
/// Sets each byte, in the order of the device's work.
void fill(int index, void* data, int byte, size_t bytes);
/// As copy_bytes, for devices of which at least one is a GPU.
void copy(Device to, void* destination, Device from, const void* source, size_t bytes);
void synchronize(int index);

}  // namespace dragoman::gpu
