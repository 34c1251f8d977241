// The steps of training that a GPU repeats: one graph for all batches of the same shapes.
#pragma once

#include <compare>
#include <functional>
#include <list>
#include <map>
#include <memory>

#include "models/device_batch.h"
#include "tensor/graph.h"

namespace dragoman {

/// Graphs of steps, those used last.
class StepGraphs {
 public:
  explicit StepGraphs(Device device) : device_(device) {}

  /// What the work of a step depends on: the shapes, and which of an update's batches it is.
  struct Key {
    Bucket bucket;
    int number = 0;
    bool last = true;

    auto operator<=>(const Key&) const = default;
  };

  /// What is done with a batch: nothing but work of the device, the same whenever the key is, from
  /// memory that stays. Returns a number that is the same too.
  using Work = std::function<uint32_t(const DeviceBatch& batch)>;

  /// Does it: as it is when the key is new, which makes whatever is made once, and otherwise as a
  /// graph that is made the second time; none is made if `sparing`, for want of memory. Returns
  /// what `work` does.
  uint32_t run(const Key& key, const Batch& batch, const Work& work, bool sparing = false);

  /// Keys that are known.
  size_t size() const { return places_.size(); }
  /// Gives up all graphs, and the memory that they hold; each is made anew when its key comes next.
  /// Says whether there was one.
  bool release();

 private:
  struct Entry {
    Key key;
    DeviceBatch batch;
    std::unique_ptr<Graph> graph = nullptr;
    uint32_t result = 0;
  };

  Device device_;
  std::list<Entry> entries_;  // the last used first
  std::map<Key, std::list<Entry>::iterator> places_;
};

}  // namespace dragoman
