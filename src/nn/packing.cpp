#include "nn/packing.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace dragoman {
namespace {

// The sentences that are read, longest first.
std::vector<int32_t> by_length(const PackingPlan& plan) {
  std::vector<int32_t> order(static_cast<size_t>(plan.read));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(), [&](int32_t s) { return plan.length(s); });
  return order;
}

int64_t rows_of(const std::vector<int64_t>& steps) {
  return std::accumulate(steps.begin(), steps.end(), int64_t{0});
}

// The numbers of a TimeOrder: rows, places, ends.
void append_order(const PackingPlan& plan, bool backwards, std::vector<int32_t>& words) {
  const std::vector<int32_t> order = by_length(plan);
  std::vector<int32_t> rows(static_cast<size_t>(rows_of(plan.steps)), -1);
  std::vector<int32_t> places(static_cast<size_t>(plan.tokens()), -1);
  std::vector<int32_t> ends(static_cast<size_t>(plan.sentences()), -1);
  int64_t begin = 0;  // of the step
  size_t active = order.size();
  for (int64_t t = 0; t < std::ssize(plan.steps); ++t) {
    while (active > 0 && plan.length(order[active - 1]) <= t) --active;
    const int64_t size = plan.steps[static_cast<size_t>(t)];
    check(static_cast<int64_t>(active) <= size,
          "a batch of {} sentences with a token {} does not fit into {} rows", active, t, size);
    for (size_t rank = 0; rank < active; ++rank) {
      const auto s = static_cast<size_t>(order[rank]);
      const int64_t row = backwards ? plan.bounds[s + 1] - 1 - t : plan.bounds[s] + t;
      const int64_t place = begin + static_cast<int64_t>(rank);
      rows[static_cast<size_t>(place)] = static_cast<int32_t>(row);
      places[static_cast<size_t>(row)] = ends[s] = static_cast<int32_t>(place);
    }
    begin += size;
  }
  check(order.empty() || plan.length(order[0]) <= std::ssize(plan.steps),
        "a batch whose longest sentence has {} tokens does not fit into {} steps",
        plan.length(order[0]), plan.steps.size());
  for (const auto* part : {&rows, &places, &ends})
    words.insert(words.end(), part->begin(), part->end());
}

}  // namespace

std::vector<int64_t> steps_of(std::span<const int32_t> bounds) {
  std::vector<int64_t> steps;
  for (size_t s = 1; s < bounds.size(); ++s) {
    const auto length = static_cast<size_t>(bounds[s] - bounds[s - 1]);
    if (length > steps.size()) steps.resize(length);
    for (size_t t = 0; t < length; ++t) ++steps[t];
  }
  return steps;
}

void append_packing(const PackingPlan& plan, std::vector<int32_t>& words) {
  words.insert(words.end(), plan.bounds.begin(), plan.bounds.end());
  for (int64_t s = 0; s < plan.sentences(); ++s) {
    for (int32_t place = 0; place < plan.length(s); ++place) words.push_back(place);
  }
  if (plan.steps.empty()) return;
  append_order(plan, false, words);
  append_order(plan, true, words);
}

Packing packing_at(const Tensor& words, int64_t& place, const PackingPlan& plan) {
  const auto next = [&](int64_t size) {
    place += size;
    return words.view(place - size, {size});
  };
  Packing packing{.offsets = next(plan.sentences() + 1), .positions = next(plan.tokens())};
  packing.longest = plan.longest;
  if (plan.steps.empty()) return packing;
  const int64_t rows = rows_of(plan.steps);
  for (TimeOrder* order : {&packing.forwards, &packing.backwards}) {
    *order = {.steps = plan.steps,
              .rows = next(rows),
              .places = next(plan.tokens()),
              .ends = next(plan.sentences())};
  }
  packing.longest_first = std::ranges::is_sorted(by_length(plan));
  return packing;
}

Packing pack(std::span<const int32_t> bounds, bool in_time, Device device) {
  check(!bounds.empty() && bounds.front() == 0, "a packing begins at row 0");
  PackingPlan plan;
  plan.bounds.assign(bounds.begin(), bounds.end());
  plan.read = plan.sentences();
  for (int64_t s = 0; s < plan.sentences(); ++s) {
    check(plan.length(s) > 0, "sentence {} of a batch is empty", s);
    plan.longest = std::max(plan.longest, plan.length(s));
  }
  if (in_time) plan.steps = steps_of(bounds);
  std::vector<int32_t> words;
  append_packing(plan, words);
  int64_t place = 0;
  return packing_at(Tensor::from(words, {std::ssize(words)}, device), place, plan);
}

AttentionLayout self_layout(const Packing& packing) { return cross_layout(packing, packing); }

AttentionLayout cross_layout(const Packing& queries, const Packing& memory) {
  check(queries.sentences() == memory.sentences(), "{} sentences cannot attend to {} memories",
        queries.sentences(), memory.sentences());
  return {.query_offsets = queries.offsets,
          .key_offsets = memory.offsets,
          .longest_key = memory.longest,
          .longest_query = queries.longest};
}

}  // namespace dragoman
