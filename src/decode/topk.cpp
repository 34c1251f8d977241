// A row is read once for the logarithm of its total and once for the largest element of each block
// of 64. After that every next best token costs a look at the largest elements and at one block.
#include "decode/topk.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/math.h"
#include "data/vocabulary.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

constexpr int64_t kBlock = 64;

// What Lane::max gives where there is nothing but banned elements.
constexpr real kNothing = -std::numeric_limits<float>::max();

// The first of x[0], ..., x[n - 1] that equals `value`, which one of them does.
DRAGOMAN_HOST_DEVICE inline int64_t find(Lane lane, const real* x, int64_t n, real value) {
  const real from_end =
      lane.max(n, [=](int64_t i) { return x[i] == value ? static_cast<real>(n - i) : real{0}; });
  return n - static_cast<int64_t>(from_end);
}

// The logarithm of each row's total, and log p(</s>).
void normalise(const Tensor& logits, const Tensor& log_totals, const Tensor& end) {
  const int64_t classes = logits.columns();
  const auto in = logits.data();
  const auto totals = log_totals.data();
  const auto out = end.data();
  launch::rows(
      logits.device(), logits.rows(), classes, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
        const real* v = in + row * classes;
        const real most = lane.max(classes, [=](int64_t c) { return v[c]; });
        totals[row] =
            most + std::log(lane.sum(classes, [=](int64_t c) { return exp_of(v[c] - most); }));
        out[row] = v[Vocabulary::kEnd] - totals[row];
      });
}

void forbid(const Tensor& logits, const Bans& bans) {
  const int64_t n = std::ssize(bans.ids), classes = logits.columns();
  if (n == 0) return;
  const Tensor rows = Tensor::from(bans.rows, {n}, logits.device());
  const Tensor ids = Tensor::from(bans.ids, {n}, logits.device());
  const auto v = logits.data();
  const auto r = rows.data<int32_t>();
  const auto c = ids.data<int32_t>();
  launch::map(logits.device(), n, [=] DRAGOMAN_HOST_DEVICE(int64_t i) {
    v[r[i] * classes + c[i]] = -std::numeric_limits<real>::infinity();
  });
}

void select(const Tensor& logits, const Tensor& log_totals, const Tensor& ids,
            const Tensor& log_probabilities) {
  const int64_t n = logits.rows(), classes = logits.columns(), count = ids.columns();
  const int64_t blocks = (classes + kBlock - 1) / kBlock;
  const auto in = logits.data();
  const auto totals = log_totals.data();
  const auto chosen = ids.data<int32_t>();
  const auto out = log_probabilities.data();
  launch::tasks(logits.device(), n, blocks, n * classes,
                [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row, real * largest) {
                  real* v = in + row * classes;
                  const auto width = [=](int64_t b) {
                    return classes - b * kBlock < kBlock ? classes - b * kBlock : kBlock;
                  };
                  const auto largest_of = [=](int64_t b) {
                    return lane.max(width(b), [=](int64_t i) { return v[b * kBlock + i]; });
                  };
                  for (int64_t b = 0; b < blocks; ++b) largest[b] = largest_of(b);
                  for (int64_t rank = row * count; rank < (row + 1) * count; ++rank) {
                    const real best = lane.max(blocks, [=](int64_t b) { return largest[b]; });
                    out[rank] = best - totals[row];
                    chosen[rank] = -1;
                    if (best <= kNothing) continue;
                    const int64_t block = find(lane, largest, blocks, best);
                    const int64_t id =
                        block * kBlock + find(lane, v + block * kBlock, width(block), best);
                    chosen[rank] = static_cast<int32_t>(id);
                    v[id] = -std::numeric_limits<real>::infinity();
                    largest[block] = largest_of(block);
                  }
                });
}

}  // namespace

BestTokens best_tokens(const Tensor& logits, const Bans& bans, int64_t count) {
  const int64_t n = logits.rows();
  const Device device = logits.device();
  count = std::min(count, logits.columns());
  const Tensor log_totals = Tensor::empty({n}, DType::kReal, device);
  const Tensor end = Tensor::empty({n}, DType::kReal, device);
  const Tensor ids = Tensor::empty({n, count}, DType::kInt32, device);
  const Tensor log_probabilities = Tensor::empty({n, count}, DType::kReal, device);
  normalise(logits, log_totals, end);
  forbid(logits, bans);
  select(logits, log_totals, ids, log_probabilities);
  BestTokens best{count, ids.to_host<int32_t>(), log_probabilities.to_host(), end.to_host()};
  check(std::ranges::none_of(best.end, [](real value) { return std::isnan(value); }),
        "the model's probabilities are not numbers (NaN): its training must have diverged; choose "
        "an earlier checkpoint");
  return best;
}

}  // namespace dragoman
