#include "nn/packing.h"

#include <algorithm>
#include <numeric>

namespace dragoman {

std::vector<int32_t> positions_of(std::span<const int32_t> bounds) {
  std::vector<int32_t> positions;
  positions.reserve(static_cast<size_t>(bounds.back()));
  for (size_t s = 1; s < bounds.size(); ++s) {
    for (int32_t place = 0; place < bounds[s] - bounds[s - 1]; ++place) positions.push_back(place);
  }
  return positions;
}

Packing pack(std::span<const int32_t> bounds, Device device) {
  check(!bounds.empty() && bounds.front() == 0, "a packing begins at row 0");
  Packing packing;
  packing.bounds.assign(bounds.begin(), bounds.end());
  for (int64_t s = 0; s < packing.sentences(); ++s) {
    check(packing.length(s) > 0, "sentence {} of a batch is empty", s);
    packing.longest = std::max(packing.longest, packing.length(s));
  }
  const std::vector<int32_t> positions = positions_of(bounds);
  packing.offsets = Tensor::from(bounds, {static_cast<int64_t>(bounds.size())}, device);
  packing.positions = Tensor::from(positions, {packing.tokens()}, device);
  return packing;
}

TimeOrder time_order(const Packing& packing, bool backwards) {
  const auto sentences = static_cast<size_t>(packing.sentences());
  std::vector<int32_t> by_length(sentences);
  std::iota(by_length.begin(), by_length.end(), 0);
  std::stable_sort(by_length.begin(), by_length.end(),
                   [&](int32_t a, int32_t b) { return packing.length(a) > packing.length(b); });
  TimeOrder order;
  std::vector<int32_t> rows, places(static_cast<size_t>(packing.tokens())), ends(sentences, -1);
  rows.reserve(places.size());
  size_t active = sentences;
  for (int64_t t = 0; std::ssize(rows) < packing.tokens(); ++t) {
    while (active > 0 && packing.length(by_length[active - 1]) <= t) --active;
    order.sizes.push_back(static_cast<int64_t>(active));
    for (size_t rank = 0; rank < active; ++rank) {
      const auto s = static_cast<size_t>(by_length[rank]);
      const int64_t row = backwards ? packing.bounds[s + 1] - 1 - t : packing.bounds[s] + t;
      places[static_cast<size_t>(row)] = ends[s] = static_cast<int32_t>(rows.size());
      rows.push_back(static_cast<int32_t>(row));
    }
  }
  const Device device = packing.offsets.device();
  order.rows = Tensor::from(rows, {packing.tokens()}, device);
  order.places = Tensor::from(places, {packing.tokens()}, device);
  order.ends = Tensor::from(ends, {packing.sentences()}, device);
  return order;
}

AttentionLayout self_layout(const Packing& packing) { return cross_layout(packing, packing); }

AttentionLayout cross_layout(const Packing& queries, const Packing& memory) {
  check(queries.sentences() == memory.sentences(), "{} sentences cannot attend to {} memories",
        queries.sentences(), memory.sentences());
  return {.query_offsets = queries.offsets,
          .key_offsets = memory.offsets,
          .longest_key = memory.longest};
}

}  // namespace dragoman
