// Fibers, of which the threads of an emulated GPU are made, and what orders them for the thread
// sanitizer: to it each is a thread, and only barriers order what they do. It must not watch what
// is done here (CMakeLists.txt), which all of them share.
#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(DRAGOMAN_TELL_SANITIZER)
#include <sanitizer/tsan_interface.h>
#endif

namespace dragoman::emulated {

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
  static constexpr size_t kStack = size_t{256} << 10;

  // Of who runs.
  Context() = default;
  // Of a fiber that will begin with `entry`.
  explicit Context(void (*entry)()) : begun_(false) {
    void* const stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) throw std::bad_alloc();
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

}  // namespace dragoman::emulated
