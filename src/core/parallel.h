// Independent pieces of work divided among threads. The operations of the engine have launchers of
// their own (tensor/launch.h).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace dragoman {

/// f(0), ..., f(count - 1), each once, in any order, on up to `threads` threads, of which each
/// takes `grain` at a time. They must not write to the same place. An exception ends the work and
/// is thrown again here; of several, one of them.
template <class F>
void parallel_for(size_t count, int threads, F f, size_t grain = 1) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    try {
      for (size_t begin = next.fetch_add(grain); begin < count; begin = next.fetch_add(grain)) {
        for (size_t i = begin; i < std::min(begin + grain, count); ++i) f(i);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> helpers;
    const size_t shares = (count + grain - 1) / grain;
    for (size_t helper = 1; std::cmp_less(helper, threads) && helper < shares; ++helper)
      helpers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace dragoman
