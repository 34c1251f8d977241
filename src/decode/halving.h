// Work on batches that may not fit into a device's memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/log.h"
#include "data/batch.h"
#include "tensor/allocator.h"

namespace dragoman {

/// Halves the batches that do not fit. Threads may share one.
class Halving {
 public:
  /// What `work` makes of `batch`, a vector in the order of its sentences (Batch or SourceBatch).
  /// Where memory runs out it is made of the two halves instead, with a warning, and later batches
  /// of more source tokens than the larger half are halved at once. Throws Error, with `advice` on
  /// what to do, when a sentence by itself does not fit.
  template <class Batch, class Work>
  auto operator()(const Batch& batch, const Work& work, const char* advice)
      -> decltype(work(batch)) {
    bool failed = false;
    if (batch.size() == 1 || batch.source.tokens() <= most_tokens_) {
      try {
        return work(batch);
      } catch (const OutOfMemory& error) {
        const std::string what =
            fmt::format("{}; the batch has {}", error.what(), size_text(batch));
        check(batch.size() > 1, "{}: {}", what, advice);
        log::warn("{}; it is halved, and so are others as large", what);
        failed = true;
      }
    }
    const auto [first, second] = halves(batch);
    if (failed) lower_most(std::max(first.source.tokens(), second.source.tokens()));
    auto results = (*this)(first, work, advice);
    auto others = (*this)(second, work, advice);
    results.insert(results.end(), std::move_iterator(others.begin()),
                   std::move_iterator(others.end()));
    return results;
  }

 private:
  // Another thread may have learnt of less meanwhile.
  void lower_most(int32_t tokens) {
    int32_t most = most_tokens_;
    while (tokens < most && !most_tokens_.compare_exchange_weak(most, tokens)) {
    }
  }

  std::atomic<int32_t> most_tokens_ =  // that may fit
      std::numeric_limits<int32_t>::max();
};

}  // namespace dragoman
