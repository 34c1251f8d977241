// What a GPU was given to do, kept to be done again: one call of the driver in place of hundreds.
#pragma once

#include <functional>
#include <memory>

#include "tensor/device.h"

namespace dragoman {

/// The launches, products and copies of one function, in their order. Repeating them reads and
/// writes the same memory: what changes from time to time is put there before. The memory that the
/// function allocates and gives back is kept from all but other graphs of the device, of which one
/// is made or run at a time; nothing that it allocates may outlive it and be read later.
class Graph {
 public:
  /// Calls `work`, whose launches on `device`, a GPU, are kept and not run; again when it ran out
  /// of memory of which some was kept. It may not wait for the GPU or copy to and from the host;
  /// that, and what `work` throws, is thrown and no graph made.
  Graph(Device device, const std::function<void()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Runs everything, behind what the device was given to do before.
  void run() const;

 private:
  void capture(const std::function<void()>& work);

  Device device_;
  std::shared_ptr<void> captured_;
};

}  // namespace dragoman
