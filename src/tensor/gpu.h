// What the engine needs of a GPU's runtime library. Three files implement it, of which a build has
// one: gpu_cuda.cpp, gpu_absent.cpp (no GPU), and gpu/emulated/gpu.cpp (the host pretends, for
// tests). Threads may share a GPU: what they give it to do goes through its one stream, in the
// order of their calls. While one of them makes a graph, until end_capture, the others may not use
// it. The GPU that the host pretends to be is for one thread: it takes the CPU's memory away while
// it works.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "tensor/device.h"

namespace dragoman::gpu {

/// GPUs that can be seen.
int count();
/// Why there is none: a sentence that also says what to do.
std::string why_none();
/// Why this program cannot use one of them; empty where it can.
std::string why_not(int index);
std::string describe(int index);

/// Memory of a GPU, aligned to 256 bytes; null when there is no more.
void* allocate(int index, size_t bytes);
void release(int index, void* data);
/// Sets each byte, in the order of the device's work.
void fill(int index, void* data, int byte, size_t bytes);
/// As copy_bytes, for devices of which at least one is a GPU.
void copy(Device to, void* destination, Device from, const void* source, size_t bytes);
void synchronize(int index);

/// A few bytes that a GPU copies to the host when it has done what it was given to do before.
class Download {
 public:
  virtual ~Download() = default;
  /// Waits for them. They stay as long as the object.
  virtual const void* wait() = 0;
};
/// Begins one of at most kMostDownloaded bytes.
std::unique_ptr<Download> download(int index, const void* source, size_t bytes);
inline constexpr size_t kMostDownloaded = 4096;

/// Until end_capture, what the GPU is given to do is kept and not done; it cannot be waited for,
/// nor copied to and from the host.
void begin_capture(int index);
/// What was kept since begin_capture.
std::shared_ptr<void> end_capture(int index);
/// Forgets it; for when something was thrown, by begin_capture too. Throws nothing.
void abandon_capture(int index);
/// Does all that `captured`, of end_capture, keeps, behind what the GPU was given before.
void run_captured(int index, void* captured);

}  // namespace dragoman::gpu
