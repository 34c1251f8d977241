// Who sees whom in attention, said once, for every kernel on every device.
#pragma once

#include <cstdint>

#include "core/rng.h"

namespace dragoman {

/// Which keys the queries of a sentence see; both are known by their positions in it, from 0. As it
/// stands a query sees all keys. With a window, a stride or random blocks attention is sparse: a
/// query sees the key of its own position and those that any of these, or `global`, shows it. A
/// causal query sees no key behind itself, whatever else is set.
///
/// Sources: window and stride, Child et al. 2019, section 4.2, where both are l; window and first
/// tokens, Beltagy et al. 2020, section 3.1, whose window is 2 w; random blocks, Zaheer et al.
/// 2020, section 2. These are the same for all heads. They are drawn from all blocks of keys or,
/// causal, from those before the queries' own: the k-th of r from the k-th of r parts of about
/// equal size, so that none is drawn twice.
struct Sight {
  bool causal = false;
  int window = 0;         ///< Keys that are seen before a query, and as many behind it.
  int stride = 0;         ///< Shows the keys whose distance is a multiple of it; 0: none.
  int global = 0;         ///< If sparse: so many first tokens see all and are seen by all.
  int random_blocks = 0;  ///< Blocks of keys that are shown to each block of queries.
  int block = 64;         ///< Positions in such a block.
  uint64_t seed = 0;      ///< Of the choice of blocks.

  /// Positions that follow one another: [begin, end).
  struct Range {
    int begin, end;
    DRAGOMAN_HOST_DEVICE bool empty() const { return begin >= end; }
    DRAGOMAN_HOST_DEVICE int size() const { return end - begin; }
  };

  DRAGOMAN_HOST_DEVICE bool sparse() const { return window > 0 || stride > 0 || random_blocks > 0; }

  /// Whether `causal` lets query i see key j. It lets all queries from i on see all keys up to j
  /// then. Where attention is not sparse there is no more to it.
  DRAGOMAN_HOST_DEVICE bool in_order(int i, int j) const { return !causal || j <= i; }

  /// Whether query i sees key j of `key_count`.
  DRAGOMAN_HOST_DEVICE bool sees(int i, int j, int key_count) const {
    if (!in_order(i, j)) return false;
    const int distance = i < j ? j - i : i - j;
    return !sparse() || distance <= window || i < global || j < global ||
           (stride > 0 && distance % stride == 0) ||
           (random_blocks > 0 && shows(i / block, j / block, key_count));
  }

  /// Whether each of these queries is certain to see each of these keys. It may say no where they
  /// do, by several of the rules.
  DRAGOMAN_HOST_DEVICE bool whole(Range queries, Range keys, int key_count) const {
    const int last_query = queries.end - 1, last_key = keys.end - 1;
    if (!in_order(queries.begin, last_key)) return false;
    return !sparse() || last_query < global || last_key < global ||
           (last_query - keys.begin <= window && last_key - queries.begin <= window) ||
           (random_blocks > 0 && queries.begin / block == last_query / block &&
            keys.begin / block == last_key / block &&
            shows(last_query / block, last_key / block, key_count));
  }

  /// Where the keys end that `causal` lets any of these queries see.
  DRAGOMAN_HOST_DEVICE int key_end(Range queries, int key_count) const {
    return causal && queries.end < key_count ? queries.end : key_count;
  }

  /// Of the keys from `from` on that any of these queries sees, the first and those that follow it
  /// without a gap; empty if there are none.
  DRAGOMAN_HOST_DEVICE Range keys_of(Range queries, int key_count, int from) const {
    const int end = key_end(queries, key_count);
    if (!sparse()) return {from, end};
    return joined(from, end, [&](Nearest nearest) {
      show(nearest, queries, end);
      if (random_blocks > 0) {
        for (int i = queries.begin / block; i * block < queries.end; ++i) {
          for (int k = 0; k < random_blocks; ++k) nearest.take(drawn(i, k, key_count));
        }
      }
      return nearest.range;
    });
  }

  /// The same of the queries, from `from` on, that see any of these keys.
  DRAGOMAN_HOST_DEVICE Range queries_of(Range keys, int key_count, int query_count,
                                        int from) const {
    if (causal && from < keys.begin) from = keys.begin;
    if (!sparse()) return {from, query_count};
    return joined(from, query_count, [&](Nearest nearest) {
      show(nearest, keys, query_count);
      if (random_blocks > 0) {
        for (int i = nearest.from / block; i * block < nearest.range.begin; ++i) {
          for (int k = 0; k < random_blocks; ++k) {
            const Range shown = drawn(i, k, key_count);
            if (shown.begin < keys.end && keys.begin < shown.end) {
              nearest.take({i * block, (i + 1) * block});
            }
          }
        }
      }
      return nearest.range;
    });
  }

 private:
  // Of the ranges that it is given, from `from` on, the one that begins first.
  struct Nearest {
    Range range;
    int from;
    DRAGOMAN_HOST_DEVICE void take(Range other) {
      if (other.begin < from) other.begin = from;
      if (!other.empty() && other.begin < range.begin) range = other;
    }
  };

  // What f finds from `from` on, and what it finds behind that without a gap, up to `end`.
  template <class F>
  DRAGOMAN_HOST_DEVICE static Range joined(int from, int end, F f) {
    const Range none{end, end};
    Range all = f(Nearest{none, from});
    while (all.end < end) {
      const Range next = f(Nearest{none, all.end});
      if (next.begin > all.end) return all;
      all.end = next.end;
    }
    return {all.begin, end};
  }

  // Gives what window, stride and first tokens show to some of one side, queries or keys, of the
  // other side, which ends at `end`.
  DRAGOMAN_HOST_DEVICE void show(Nearest& nearest, Range to, int end) const {
    const int count = to.size();
    nearest.take({to.begin - window, to.end + window});
    nearest.take({0, to.begin < global ? end : global});
    if (stride > count) {
      const int past = (nearest.from - to.begin) % stride;
      const int begin = nearest.from - (past < 0 ? past + stride : past);
      nearest.take({begin, begin + count});
      nearest.take({begin + stride, begin + stride + count});
    } else if (stride > 0) {
      nearest.take({0, end});
    }
  }

  // How many blocks of keys can be drawn for a block of queries.
  DRAGOMAN_HOST_DEVICE int choices(int query_block, int key_count) const {
    return causal ? query_block : (key_count + block - 1) / block;
  }

  // The keys of the k-th random block.
  DRAGOMAN_HOST_DEVICE Range drawn(int query_block, int k, int key_count) const {
    const int n = choices(query_block, key_count);
    const int first = n * k / random_blocks, count = n * (k + 1) / random_blocks - first;
    if (count == 0) return {0, 0};
    uint32_t words[4] = {static_cast<uint32_t>(query_block), static_cast<uint32_t>(k), 0, 0};
    philox4x32<kRandomRounds>(static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                              words);
    const int chosen = first + static_cast<int>(words[0] % static_cast<uint32_t>(count));
    return {chosen * block, (chosen + 1) * block};
  }

  // Whether a block of keys is drawn for a block of queries: from the one part that it is in.
  DRAGOMAN_HOST_DEVICE bool shows(int query_block, int key_block, int key_count) const {
    const int n = choices(query_block, key_count);
    if (key_block >= n) return false;
    const int k = ((key_block + 1) * random_blocks - 1) / n;
    return drawn(query_block, k, key_count).begin == key_block * block;
  }
};

/// The ranges of keys that some queries see, one after the other:
/// `for (SeenKeys seen(sight, queries, key_count); seen.more(); seen.next())`.
class SeenKeys {
 public:
  DRAGOMAN_HOST_DEVICE SeenKeys(const Sight& sight, Sight::Range queries, int key_count)
      : sight_(sight),
        queries_(queries),
        key_count_(key_count),
        range_(sight.keys_of(queries, key_count, 0)) {}

  DRAGOMAN_HOST_DEVICE bool more() const { return !range_.empty(); }
  DRAGOMAN_HOST_DEVICE void next() {
    before_ += range_.size();
    range_ = sight_.keys_of(queries_, key_count_, range_.end);
  }

  DRAGOMAN_HOST_DEVICE int begin() const { return range_.begin; }
  DRAGOMAN_HOST_DEVICE int end() const { return range_.end; }
  DRAGOMAN_HOST_DEVICE int size() const { return range_.size(); }
  /// How many keys are in the ranges before this one.
  DRAGOMAN_HOST_DEVICE int before() const { return before_; }

 private:
  const Sight& sight_;
  Sight::Range queries_;
  int key_count_;
  Sight::Range range_;
  int before_ = 0;
};

}  // namespace dragoman
