// The threads of a kernel's blocks on the emulated GPU. Of a block they are fibers of one thread of
// the host, of which one runs at a time, until it waits for others or ends; two blocks run at once.
// Which, and the order of threads, is another one each time, so that what depends on it differs
// from run to run. What a GPU may do anything with ends the program: a warp whose lanes wait at
// different places, or for lanes that have ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <vector>

namespace dragoman::emulated {

// Few, so that blocks and threads have several things to do one after the other.
inline constexpr uint32_t kMultiprocessors = 2;
inline constexpr uint32_t kLanes = 32;        // of a warp
inline constexpr size_t kMostExchanged = 32;  // bytes of a lane

/// CUDA's dim3.
struct Dimensions {
  uint32_t x, y, z;
  constexpr Dimensions(uint32_t of_x = 1, uint32_t of_y = 1, uint32_t of_z = 1)
      : x(of_x), y(of_y), z(of_z) {}
  constexpr uint32_t count() const { return x * y * z; }
};

/// Runs `kernel` in every thread of every block. The threads of a block share `shared` bytes, which
/// hold NaN when it begins, beside what the kernel declares.
void run(const Dimensions& blocks, const Dimensions& threads, size_t shared,
         const std::function<void()>& kernel);

/// Whether a kernel runs. What follows is for the thread of it that does.
bool in_kernel();

struct Place {
  Dimensions block;            // which it runs in
  Dimensions threads, blocks;  // how many there are
};
const Place& place();
/// Which of the block's threads it is.
const Dimensions& thread();
/// Its number within its warp.
uint32_t lane();
void* shared_memory();

/// Returns when all threads of the block, or of the warp, that have not ended have come here.
void wait_for_block();
void wait_for_warp();
/// What is done before a fence is done before what is behind a later one of a thread that has
/// changed a number atomically since its last.
void fence();
/// The thread has changed a number atomically.
void note_atomic();

/// Ends the program unless `met`.
void require(bool met, const char* what);

/// Memory of the warp with kMostExchanged bytes for each lane. It is another one at the next
/// exchange, and this one again at that after it, when all lanes have read what was there.
std::byte* memory_of_exchange();

/// The values of all lanes, each of which gives one.
template <class T>
const T* exchange(const T& value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMostExchanged);
  std::byte* const all = memory_of_exchange();
  std::memcpy(all + lane() * sizeof(T), &value, sizeof(T));
  wait_for_warp();
  return reinterpret_cast<const T*>(all);
}

/// What the thread has begun to copy.
struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};
std::vector<Copy>& copies();

}  // namespace dragoman::emulated
