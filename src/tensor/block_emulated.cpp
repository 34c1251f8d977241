#include "tensor/block_emulated.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

// Under the thread sanitizer each fiber is a thread, and only barriers order what they do. It must
// not watch what is done here (CMakeLists.txt), which all of them share.
#if defined(DRAGOMAN_TELL_SANITIZER)
#include <sanitizer/tsan_interface.h>
#endif

namespace dragoman::emulated {
namespace {

constexpr size_t kStack = size_t{256} << 10;
constexpr uint32_t kMostThreads = 1024;           // of a block
constexpr size_t kMostShared = size_t{99} << 10;  // bytes, on the GPUs that have least (8.6)

// What was done before release() is done after acquire().
struct Order {
#if defined(DRAGOMAN_TELL_SANITIZER)
  void release() { __tsan_release(this); }
  void acquire() { __tsan_acquire(this); }
#else
  void release() {}
  void acquire() {}
#endif
};

// Where something goes on. (swapcontext would do, but asks the system each time.)
class Context {
 public:
  // Of who runs.
  Context() = default;
  // Of a fiber that will begin with `entry`.
  explicit Context(void (*entry)()) : begun_(false) {
    void* const stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(stack != MAP_FAILED, "there is no memory for a thread's stack");
    ::getcontext(&begin_);
    begin_.uc_stack.ss_sp = stack;
    begin_.uc_stack.ss_size = kStack;
    ::makecontext(&begin_, entry, 0);
#if defined(DRAGOMAN_TELL_SANITIZER)
    fiber_ = __tsan_create_fiber(0);
#endif
  }

  // Leaves this, which runs, for another; returns when one leaves for this.
  [[gnu::noinline]] void leave_for(Context& other) {
#if defined(DRAGOMAN_TELL_SANITIZER)
    if (!fiber_) fiber_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(other.fiber_, __tsan_switch_to_fiber_no_sync);
#endif
    if (__builtin_setjmp(here_) == 0) other.go_on();
  }

 private:
  [[noreturn, gnu::noinline]] void go_on() {
    if (begun_) __builtin_longjmp(here_, 1);
    begun_ = true;
    ::setcontext(&begin_);
    std::abort();
  }

  void* here_[5] = {};
  bool begun_ = true;
  ucontext_t begin_ = {};
  void* fiber_ = nullptr;
};

struct Thread {
  explicit Thread(void (*entry)()) : context(entry) {}
  Context context;
  uint32_t number = 0;  // in the block
  Dimensions index;
  bool ended = false;
  uint32_t waits_of_block = 0, waits_of_warp = 0, exchanges = 0;  // so far
  std::vector<Copy> copies;
};

struct Warp {
  Order orders[2];
  alignas(16) std::byte exchanged[2][kLanes * kMostExchanged];
};

// 0, ..., count - 1 in an order that is another one each time.
class SomeOrder {
 public:
  explicit SomeOrder(uint32_t count) : count_(count) {
    static uint32_t random = 0;
    random = random * 1664525u + 1013904223u;
    at_ = (random >> 8) % count;
    down_ = random >> 31;
  }
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

// The block that runs.
struct Block {
  Place place;
  Context host;
  std::vector<std::unique_ptr<Thread>> threads;  // as many as any block had
  std::vector<Warp> warps{kMostThreads / kLanes};
  Order begin, orders[2], end;
  const std::function<void()>* kernel = nullptr;
  std::vector<std::byte> shared;
  uint32_t ended = 0;  // threads
  Pass* pass = nullptr;
  Thread* running = nullptr;
};
Block block;

Warp& warp_of(const Thread& thread) { return block.warps[thread.number / kLanes]; }

// Leaves for the next lane of the pass, or, if there is none, for the host.
void go_on_from(Context& context) {
  block.running = nullptr;
  while (!block.running && !block.pass->lanes.done()) {
    Thread& next = *block.threads[block.pass->first + block.pass->lanes.next()];
    if (!next.ended) block.running = &next;
  }
  Context& next = block.running ? block.running->context : block.host;
  if (&next != &context) context.leave_for(next);
}

void wait(Order& order) {
  order.release();
  go_on_from(block.running->context);
  order.acquire();
}

// What a fiber does: it is a thread of one block after the other.
void live() {
  for (;;) {
    block.begin.acquire();
    (*block.kernel)();
    block.end.release();
    ++block.ended;
    block.running->ended = true;
    go_on_from(block.running->context);
  }
}

// Runs the lanes of a warp until they have ended or wait for the block.
void run_warp(uint32_t first, uint32_t lanes) {
  for (;;) {
    Pass pass{first, SomeOrder(lanes)};
    block.pass = &pass;
    go_on_from(block.host);
    if (pass.waiting == 0) return;
    require(pass.waiting == lanes,
            "lanes of a warp wait for others, which have ended or wait for the block");
  }
}

void run_block(uint32_t threads) {
  for (uint32_t i = 0; i < threads; ++i) {
    Thread& thread = *block.threads[i];
    thread.ended = false;
    thread.waits_of_block = thread.waits_of_warp = thread.exchanges = 0;
  }
  block.ended = 0;
  block.begin.release();
  while (block.ended < threads) {
    for (SomeOrder warps((threads + kLanes - 1) / kLanes); !warps.done();) {
      const uint32_t first = warps.next() * kLanes;
      run_warp(first, std::min(kLanes, threads - first));
    }
  }
  block.end.acquire();
}

}  // namespace

void run(const Dimensions& blocks, const Dimensions& threads, size_t shared,
         const std::function<void()>& kernel) {
  require(!in_kernel(), "a kernel launches another");
  require(blocks.count() > 0, "a launch of no blocks");
  require(threads.count() > 0 && threads.count() <= kMostThreads,
          "more threads, or fewer, than a block can have");
  require(shared <= kMostShared, "more shared memory than a block can have");
  while (block.threads.size() < threads.count())
    block.threads.push_back(std::make_unique<Thread>(live));
  block.kernel = &kernel;
  block.place.threads = threads;
  block.place.blocks = blocks;
  for (uint32_t i = 0; i < threads.count(); ++i) {
    Thread& thread = *block.threads[i];
    thread.number = i;
    thread.index = {i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y};
  }
  for (SomeOrder numbers(blocks.count()); !numbers.done();) {
    const uint32_t i = numbers.next();
    block.place.block = {i % blocks.x, i / blocks.x % blocks.y, i / blocks.x / blocks.y};
    block.shared.assign(shared, std::byte{0xFF});
    run_block(threads.count());
  }
}

bool in_kernel() { return block.running != nullptr; }
const Place& place() { return block.place; }
const Dimensions& thread() { return block.running->index; }
uint32_t lane() { return block.running->number % kLanes; }
void* shared_memory() { return block.shared.data(); }

// Who has left one barrier may come to the next while others have not left: hence two orders.
void wait_for_block() { wait(block.orders[block.running->waits_of_block++ % 2]); }
void wait_for_warp() {
  Thread& thread = *block.running;
  ++block.pass->waiting;
  wait(warp_of(thread).orders[thread.waits_of_warp++ % 2]);
}

void require(bool met, const char* what) {
  if (met) return;
  std::fprintf(stderr, "the emulated GPU: %s\n", what);
  std::abort();
}

std::byte* memory_of_exchange() {
  Thread& thread = *block.running;
  return warp_of(thread).exchanged[thread.exchanges++ % 2];
}

std::vector<Copy>& copies() { return block.running->copies; }

}  // namespace dragoman::emulated
