// Independent pieces of work divided among threads. The operations of the engine have launchers of
// their own (tensor/launch.h).
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace dragoman {

/// f(0), ..., f(count - 1), each once, in any order, on up to `threads` threads. They must not
/// write to the same place. An exception ends the work and is thrown again here; of several, one of
/// them.
template <class F>
void parallel_for(size_t count, int threads, F f) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    try {
      for (size_t i = next++; i < count; i = next++) f(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int helper = 1; helper < threads; ++helper) helpers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace dragoman
