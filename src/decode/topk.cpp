// A row is read once, for the largest element of each block of 128 and the sum of its exponentials.
// After that every next best token costs a look at the largest elements and at one block.
#include "decode/topk.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/math.h"
#include "data/vocabulary.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

constexpr int64_t kBlock = 128;

// What Lane::max gives where there is nothing but banned elements.
constexpr real kNothing = -std::numeric_limits<float>::max();

DRAGOMAN_HOST_DEVICE int64_t blocks_of(int64_t classes) { return (classes + kBlock - 1) / kBlock; }

// A row of logits, and of each of its blocks the largest element and the sum of exponentials, of
// which that of the largest element is 1.
struct Row {
  real* logits;
  int64_t classes;
  real *largest, *totals;

  DRAGOMAN_HOST_DEVICE int64_t blocks() const { return blocks_of(classes); }
  DRAGOMAN_HOST_DEVICE int64_t width(int64_t block) const {
    return classes - block * kBlock < kBlock ? classes - block * kBlock : kBlock;
  }

  DRAGOMAN_HOST_DEVICE void read(Lane lane) const {
    lane.exponentials<kBlock>(classes, largest, totals,
                              [from = logits](int64_t c) { return from[c]; });
  }
  DRAGOMAN_HOST_DEVICE real most(Lane lane) const {
    return lane.max(blocks(), [from = largest](int64_t block) { return from[block]; });
  }
  // The logarithm of the sum of exponentials.
  DRAGOMAN_HOST_DEVICE real log_total(Lane lane) const {
    const real largest_of_all = most(lane);
    return largest_of_all + std::log(lane.sum(blocks(), [=, *this](int64_t block) {
             return totals[block] * exp_of(largest[block] - largest_of_all);
           }));
  }
  // The first element that equals `value`, which one does.
  DRAGOMAN_HOST_DEVICE int64_t find(Lane lane, real value) const {
    const int64_t block = first(lane, largest, blocks(), value);
    return block * kBlock + first(lane, logits + block * kBlock, width(block), value);
  }
  DRAGOMAN_HOST_DEVICE void remove(Lane lane, int64_t id) const {
    lane.once([*this, id] { logits[id] = -std::numeric_limits<real>::infinity(); });
    const int64_t block = id / kBlock;
    const real left =
        lane.max(width(block), [from = logits + block * kBlock](int64_t i) { return from[i]; });
    lane.once([*this, block, left] { largest[block] = left; });
  }

 private:
  DRAGOMAN_HOST_DEVICE static int64_t first(Lane lane, const real* x, int64_t n, real value) {
    const real from_end =
        lane.max(n, [=](int64_t i) { return x[i] == value ? static_cast<real>(n - i) : real{0}; });
    return n - static_cast<int64_t>(from_end);
  }
};

struct Choose {
  real* logits;
  int64_t classes;
  const int32_t* banned;
  int64_t banned_each, count;  // of a row
  int32_t* ids;
  real *log_probabilities, *end;

  int64_t scratch() const { return 2 * blocks_of(classes); }

  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t number, real* scratch) const {
    const Row row{logits + number * classes, classes, scratch, scratch + blocks_of(classes)};
    row.read(lane);
    const real total = row.log_total(lane);
    lane.once([=, *this] { end[number] = row.logits[Vocabulary::kEnd] - total; });
    for (int64_t i = number * banned_each; i < (number + 1) * banned_each; ++i) {
      if (banned[i] >= 0) row.remove(lane, banned[i]);
    }
    for (int64_t i = number * count; i < (number + 1) * count; ++i) {
      const real value = row.most(lane);
      const int64_t id = value <= kNothing ? -1 : row.find(lane, value);
      lane.once([=, *this] {
        log_probabilities[i] = value - total;
        ids[i] = static_cast<int32_t>(id);
      });
      if (id >= 0) row.remove(lane, id);
    }
  }
};

}  // namespace

BestTokens best_tokens(const Tensor& logits, const Tensor& bans, int64_t count) {
  const int64_t n = logits.rows(), classes = logits.columns();
  const Device device = logits.device();
  count = std::min(count, classes);
  BestTokens best{.ids = Tensor::empty({n, count}, DType::kInt32, device),
                  .log_probabilities = Tensor::empty({n, count}, DType::kReal, device),
                  .end = Tensor::empty({n}, DType::kReal, device)};
  const Choose choose{.logits = logits.data(),
                      .classes = classes,
                      .banned = bans.defined() ? bans.data<int32_t>() : nullptr,
                      .banned_each = bans.defined() ? bans.columns() : 0,
                      .count = count,
                      .ids = best.ids.data<int32_t>(),
                      .log_probabilities = best.log_probabilities.data(),
                      .end = best.end.data()};
  constexpr int64_t kPasses = 3;
  launch::tasks(device, n, choose.scratch(), kPasses * n * classes, choose);
  return best;
}

}  // namespace dragoman
