#include "train/step_graphs.h"

#include <utility>

namespace dragoman {
namespace {

// The driver keeps some megabytes for a graph. Batches of 4000 tokens come in about 50 shapes on
// Multi30k, for recurrent models 65 in an epoch and twice as many over all; where the lengths of
// sentences differ widely, in up to 130, and for recurrent models more than are kept.
constexpr size_t kMostGraphs = 128;

}  // namespace

uint32_t StepGraphs::run(const Key& key, const Batch& batch, const Work& work, bool sparing) {
  const auto found = places_.find(key);
  if (found == places_.end()) {
    if (entries_.size() == kMostGraphs) {
      places_.erase(entries_.back().key);
      entries_.pop_back();
    }
    Entry entry{key, DeviceBatch(batch, key.bucket, device_)};
    entry.result = work(entry.batch);
    entries_.push_front(std::move(entry));
    places_[key] = entries_.begin();
    return entries_.front().result;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  Entry& entry = entries_.front();
  entry.batch.refill(batch);
  if (!entry.graph) {
    if (sparing) return entry.result = work(entry.batch);
    entry.graph = std::make_unique<Graph>(device_, [&] { entry.result = work(entry.batch); });
  }
  entry.graph->run();
  return entry.result;
}

bool StepGraphs::release() {
  bool any = false;
  for (Entry& entry : entries_) any |= std::exchange(entry.graph, nullptr) != nullptr;
  return any;
}

}  // namespace dragoman
