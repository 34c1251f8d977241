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
        const real total =
            most + std::log(lane.sum(classes, [=](int64_t c) { return exp_of(v[c] - most); }));
        lane.once([=] {
          totals[row] = total;
          out[row] = v[Vocabulary::kEnd] - total;
        });
      });
}

void forbid(const Tensor& logits, const Tensor& bans) {
  const int64_t classes = logits.columns(), width = bans.columns();
  const auto v = logits.data();
  const auto ids = bans.data<int32_t>();
  // A row is one thread's: it may ban a token twice.
  launch::map(logits.device(), bans.rows(), [=] DRAGOMAN_HOST_DEVICE(int64_t row) {
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      if (ids[i] >= 0) v[row * classes + ids[i]] = -std::numeric_limits<real>::infinity();
    }
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
                  const auto block_of = [=](int64_t b) {
                    const real* from = v + b * kBlock;
                    return [=](int64_t i) { return from[i]; };
                  };
                  lane.maxima(blocks, width, largest, block_of);
                  for (int64_t rank = row * count; rank < (row + 1) * count; ++rank) {
                    const real best = lane.max(blocks, [=](int64_t b) { return largest[b]; });
                    const bool none = best <= kNothing;
                    const int64_t block = none ? 0 : find(lane, largest, blocks, best);
                    const int64_t id =
                        none ? -1
                             : block * kBlock + find(lane, v + block * kBlock, width(block), best);
                    lane.once([=] {
                      out[rank] = best - totals[row];
                      chosen[rank] = static_cast<int32_t>(id);
                      if (!none) v[id] = -std::numeric_limits<real>::infinity();
                    });
                    if (!none) {
                      const real most = lane.max(width(block), block_of(block));
                      lane.once([=] { largest[block] = most; });
                    }
                  }
                });
}

}  // namespace

BestTokens best_tokens(const Tensor& logits, const Tensor& bans, int64_t count) {
  const int64_t n = logits.rows();
  const Device device = logits.device();
  count = std::min(count, logits.columns());
  const Tensor log_totals = Tensor::empty({n}, DType::kReal, device);
  BestTokens best{.ids = Tensor::empty({n, count}, DType::kInt32, device),
                  .log_probabilities = Tensor::empty({n, count}, DType::kReal, device),
                  .end = Tensor::empty({n}, DType::kReal, device)};
  normalise(logits, log_totals, best.end);
  if (bans.defined()) forbid(logits, bans);
  select(logits, log_totals, best.ids, best.log_probabilities);
  return best;
}

}  // namespace dragoman
