#include "tensor/graph.h"

#include "core/check.h"
#include "tensor/allocator.h"
#include "tensor/gpu.h"

namespace dragoman {

Graph::Graph(Device device, const std::function<void()>& work) : device_(device) {
  check(device.on_gpu(), "a graph is for a GPU, not for {}", device);
  try {
    capture(work);
  } catch (const OutOfMemory&) {
    // What is kept could not be given back to the system meanwhile.
    Allocator::of(device).release_cached();
    capture(work);
  }
}

void Graph::capture(const std::function<void()>& work) {
  Allocator& allocator = Allocator::of(device_);
  allocator.begin_graph();
  try {
    gpu::begin_capture(device_.index);
    work();
    captured_ = gpu::end_capture(device_.index);
  } catch (...) {
    gpu::abandon_capture(device_.index);
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
