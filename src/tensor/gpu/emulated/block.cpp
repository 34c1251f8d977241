#include "tensor/gpu/emulated/block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

#include "tensor/gpu/emulated/fiber.h"

namespace dragoman::emulated {
namespace {

constexpr uint32_t kMostThreads = 1024;           // of a block
constexpr size_t kMostShared = size_t{99} << 10;  // bytes, on the GPUs that have least (8.6)

struct Thread {
  explicit Thread(void (*entry)()) : context(entry) {}
  Context context;
  uint32_t number = 0;  // in the block
  Dimensions index;
  bool ended = false;
  bool changed_atomically = false;                                // since its last fence
  uint32_t waits_of_block = 0, waits_of_warp = 0, exchanges = 0;  // so far
  std::vector<Copy> copies;
};

struct Warp {
  Order orders[2];
  alignas(16) std::byte exchanged[2][kLanes * kMostExchanged];
};

// A number that is another one each time.
uint32_t some_number() {
  thread_local uint32_t random = 0;
  random = random * 1664525u + 1013904223u;
  return random >> 8;
}

// 0, ..., count - 1 in an order that is another one each time.
class SomeOrder {
 public:
  explicit SomeOrder(uint32_t count)
      : count_(count), at_(some_number() % count), down_(some_number() % 2 == 0) {}
  bool done() const { return given_ == count_; }
  uint32_t next() {
    const uint32_t number = at_;
    at_ = down_ ? (at_ == 0 ? count_ - 1 : at_ - 1) : (at_ + 1 == count_ ? 0 : at_ + 1);
    ++given_;
    return number;
  }

 private:
  uint32_t count_, at_, given_ = 0;
  bool down_;
};

// The lanes of a warp, each from its last barrier to the next.
struct Pass {
  uint32_t first;  // thread of the warp
  SomeOrder lanes;
  uint32_t waiting = 0;  // lanes that wait for the others
};

// A kernel that runs.
struct Launch {
  Dimensions blocks, threads;
  size_t shared;
  const std::function<void()>& kernel;
  std::vector<uint32_t> multiprocessors;  // which runs a block
  Order begin, end;
};

// What runs blocks, one after the other: a thread of the host, whose `static thread_local` memory
// the threads of a block share.
class Multiprocessor {
 public:
  explicit Multiprocessor(uint32_t number) : number_(number) {
    std::thread([this] { serve(); }).detach();
  }

  // Begins with its blocks of the launch, and waits for their end.
  void begin(Launch& launch) {
    launch_ = &launch;
    begin_.release();
  }
  void finish() { end_.acquire(); }

  // What follows is for the thread of a block that runs on it.
  Thread& running() const { return *running_; }
  bool runs() const { return running_ != nullptr; }
  const Place& place() const { return place_; }
  std::byte* shared() { return shared_.data(); }
  Warp& warp() { return warps_[running_->number / kLanes]; }
  void wait_for_block() { wait(orders_[running_->waits_of_block++ % 2]); }
  void wait_for_warp() {
    Warp& of_thread = warp();
    ++pass_->waiting;
    wait(of_thread.orders[running_->waits_of_warp++ % 2]);
  }
  // What a fiber does: it is a thread of one block after the other.
  [[noreturn]] void run_as_thread();

 private:
  void serve();
  void run_blocks(Launch& launch);
  void run_block(uint32_t threads);
  void run_warp(uint32_t first, uint32_t lanes);
  void go_on_from(Context& context);
  void wait(Order& order);

  uint32_t number_;
  Launch* launch_ = nullptr;
  std::binary_semaphore begin_{0}, end_{0};

  Place place_;
  Context host_;
  std::vector<std::unique_ptr<Thread>> threads_;  // as many as any block had
  std::vector<Warp> warps_{kMostThreads / kLanes};
  Order block_begin_, orders_[2], block_end_;
  std::vector<std::byte> shared_;
  uint32_t ended_ = 0;  // threads
  Pass* pass_ = nullptr;
  Thread* running_ = nullptr;
};

// That of a thread of the host which is one.
thread_local Multiprocessor* here = nullptr;

// Leaves for the next lane of the pass, or, if there is none, for the host.
void Multiprocessor::go_on_from(Context& context) {
  running_ = nullptr;
  while (!running_ && !pass_->lanes.done()) {
    Thread& next = *threads_[pass_->first + pass_->lanes.next()];
    if (!next.ended) running_ = &next;
  }
  Context& next = running_ ? running_->context : host_;
  if (&next != &context) context.leave_for(next);
}

void Multiprocessor::wait(Order& order) {
  order.release();
  go_on_from(running_->context);
  order.acquire();
}

void Multiprocessor::run_as_thread() {
  for (;;) {
    block_begin_.acquire();
    launch_->kernel();
    block_end_.release();
    ++ended_;
    running_->ended = true;
    go_on_from(running_->context);
  }
}

// Runs the lanes of a warp until they have ended or wait for the block.
void Multiprocessor::run_warp(uint32_t first, uint32_t lanes) {
  for (;;) {
    Pass pass{first, SomeOrder(lanes)};
    pass_ = &pass;
    go_on_from(host_);
    if (pass.waiting == 0) return;
    require(pass.waiting == lanes,
            "lanes of a warp wait for others, which have ended or wait for the block");
  }
}

void Multiprocessor::run_block(uint32_t threads) {
  for (uint32_t i = 0; i < threads; ++i) {
    Thread& thread = *threads_[i];
    thread.ended = thread.changed_atomically = false;
    thread.waits_of_block = thread.waits_of_warp = thread.exchanges = 0;
  }
  ended_ = 0;
  block_begin_.release();
  while (ended_ < threads) {
    for (SomeOrder warps((threads + kLanes - 1) / kLanes); !warps.done();) {
      const uint32_t first = warps.next() * kLanes;
      run_warp(first, std::min(kLanes, threads - first));
    }
  }
  block_end_.acquire();
}

void Multiprocessor::run_blocks(Launch& launch) {
  const Dimensions& blocks = launch.blocks;
  const Dimensions& threads = launch.threads;
  while (threads_.size() < threads.count())
    threads_.push_back(std::make_unique<Thread>([] { here->run_as_thread(); }));
  for (uint32_t i = 0; i < threads.count(); ++i) {
    Thread& thread = *threads_[i];
    thread.number = i;
    thread.index = {i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y};
  }
  place_.threads = threads;
  place_.blocks = blocks;
  for (SomeOrder numbers(blocks.count()); !numbers.done();) {
    const uint32_t i = numbers.next();
    if (launch.multiprocessors[i] != number_) continue;
    place_.block = {i % blocks.x, i / blocks.x % blocks.y, i / blocks.x / blocks.y};
    shared_.assign(launch.shared, std::byte{0xFF});
    run_block(threads.count());
  }
}

void Multiprocessor::serve() {
  here = this;
  for (;;) {
    begin_.acquire();
    launch_->begin.acquire();
    run_blocks(*launch_);
    launch_->end.release();
    end_.release();
  }
}

// They live as long as the program.
std::vector<std::unique_ptr<Multiprocessor>>& multiprocessors() {
  static auto* const all = [] {
    auto* const made = new std::vector<std::unique_ptr<Multiprocessor>>;
    for (uint32_t i = 0; i < kMultiprocessors; ++i)
      made->push_back(std::make_unique<Multiprocessor>(i));
    return made;
  }();
  return *all;
}

}  // namespace

void run(const Dimensions& blocks, const Dimensions& threads, size_t shared,
         const std::function<void()>& kernel) {
  require(!in_kernel(), "a kernel launches another");
  require(blocks.count() > 0, "a launch of no blocks");
  require(threads.count() > 0 && threads.count() <= kMostThreads,
          "more threads, or fewer, than a block can have");
  require(shared <= kMostShared, "more shared memory than a block can have");
  static std::mutex one_launch;
  const std::lock_guard lock(one_launch);
  Launch launch{blocks, threads, shared, kernel, {}, {}, {}};
  for (uint32_t i = 0; i < blocks.count(); ++i)
    launch.multiprocessors.push_back(some_number() % kMultiprocessors);
  launch.begin.release();
  for (const auto& multiprocessor : multiprocessors()) multiprocessor->begin(launch);
  for (const auto& multiprocessor : multiprocessors()) multiprocessor->finish();
  launch.end.acquire();
}

bool in_kernel() { return here && here->runs(); }
const Place& place() { return here->place(); }
const Dimensions& thread() { return here->running().index; }
uint32_t lane() { return here->running().number % kLanes; }
void* shared_memory() { return here->shared(); }

// Who has left one barrier may come to the next while others have not left: hence two orders.
void wait_for_block() { here->wait_for_block(); }
void wait_for_warp() { here->wait_for_warp(); }

void fence() {
  static Order of_all;
  if (std::exchange(here->running().changed_atomically, false)) of_all.acquire();
  of_all.release();
}
void note_atomic() { here->running().changed_atomically = true; }

void require(bool met, const char* what) {
  if (met) return;
  std::fprintf(stderr, "the emulated GPU: %s\n", what);
  std::abort();
}

std::byte* memory_of_exchange() { return here->warp().exchanged[here->running().exchanges++ % 2]; }

std::vector<Copy>& copies() { return here->running().copies; }

}  // namespace dragoman::emulated
