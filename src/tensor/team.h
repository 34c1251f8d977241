// Threads of the host that stand for the threads of one block of a GPU: the build that emulates a
// GPU runs every launch with them, for tests.
#pragma once

#include <barrier>
#include <functional>
#include <thread>
#include <vector>

#include "core/real.h"

namespace dragoman {

/// One thread's place in the block that is being emulated.
class Team {
 public:
  /// The calling thread's; null outside of a launch.
  static const Team* current() { return current_; }

  int64_t rank() const { return rank_; }
  int64_t size() const { return static_cast<int64_t>(shared_->parts.size()); }
  /// Returns when all threads have come here.
  void wait() const { shared_->barrier.arrive_and_wait(); }
  /// f over the values of all threads, in their order.
  template <class F>
  real combine(real value, F f) const {
    wait();  // whoever still reads the parts of the reduction before
    shared_->parts[static_cast<size_t>(rank_)] = value;
    wait();
    real total = shared_->parts[0];
    for (size_t i = 1; i < shared_->parts.size(); ++i) total = f(total, shared_->parts[i]);
    return total;
  }

  /// Runs `work` on `threads` threads, and waits for them.
  static void run(int threads, const std::function<void()>& work) {
    Shared shared{std::barrier<>(threads), std::vector<real>(static_cast<size_t>(threads))};
    const auto take_part = [&](int64_t rank) {
      const Team team(shared, rank);
      current_ = &team;
      work();
      current_ = nullptr;
    };
    std::vector<std::jthread> others;
    for (int rank = 1; rank < threads; ++rank) others.emplace_back(take_part, rank);
    take_part(0);
  }

 private:
  struct Shared {
    std::barrier<> barrier;
    std::vector<real> parts;
  };
  Team(Shared& shared, int64_t rank) : shared_(&shared), rank_(rank) {}

  static inline thread_local const Team* current_ = nullptr;
  Shared* shared_;
  int64_t rank_;
};

}  // namespace dragoman
