#include "tensor/graph.h"

#include "core/check.h"
#include "tensor/allocator.h"
#include "tensor/gpu.h"

namespace dragoman {

Graph::Graph(Device device, const std::function<void()>& work) : device_(device) {
  check(device.on_gpu(), "a graph is for a GPU, not for {}", device);
  Allocator& allocator = Allocator::of(device);
  // While a graph is made nothing can be given back to the system, and it needs as much as a run.
  allocator.release_cached();
  allocator.begin_graph();
  try {
    gpu::begin_capture(device.index);
    work();
    captured_ = gpu::end_capture(device.index);
  } catch (...) {
    gpu::abandon_capture(device.index);
    allocator.end_graph();
    allocator.drop_graph();
    throw;
  }
  allocator.end_graph();
}

Graph::~Graph() {
  captured_.reset();
  Allocator::of(device_).drop_graph();
}

void Graph::run() const { gpu::run_captured(device_.index, captured_.get()); }

}  // namespace dragoman
