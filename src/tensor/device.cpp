#include "tensor/device.h"

#include <omp.h>

#include <cstring>

#include "core/check.h"

namespace dragoman {

std::string to_string(Device) { return "cpu"; }

void copy_bytes(Device, void* destination, Device, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}

int thread_count() { return omp_get_max_threads(); }

void set_thread_count(int threads) {
  check(threads >= 0, "threads must be 0 (all) or more, not {}", threads);
  // What OpenMP starts with heeds OMP_NUM_THREADS and the processors that this process may use.
  static const int all = omp_get_max_threads();
  omp_set_num_threads(threads == 0 ? all : threads);
}

}  // namespace dragoman
