// How the sentences of a batch lie in its matrices: end to end, without padding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/ops.h"
#include "tensor/tensor.h"

namespace dragoman {

/// Sentence s is the rows [bounds[s], bounds[s + 1]) of a matrix [tokens, features].
struct Packing {
  std::vector<int32_t> bounds;  ///< [sentences + 1], on the host.
  Tensor offsets;               ///< The same on the device.
  Tensor positions;     ///< int32 [tokens]: the place of each token in its sentence, from 0.
  int64_t longest = 0;  ///< Tokens of the longest sentence, or more.

  int64_t sentences() const { return static_cast<int64_t>(bounds.size()) - 1; }
  int64_t tokens() const { return bounds.back(); }
  int64_t length(int64_t sentence) const {
    const auto s = static_cast<size_t>(sentence);
    return bounds[s + 1] - bounds[s];
  }
};

/// The place of each token in its sentence; bounds as in Packing.
std::vector<int32_t> positions_of(std::span<const int32_t> bounds);

/// The packing of sentences that end where the next begins; bounds as in Packing.
Packing pack(std::span<const int32_t> bounds, Device device);

/// Ids of tokens and how they are packed.
struct TokenBatch {
  Tensor ids;  ///< int32 [tokens]
  Packing packing;
};

/// The order in which a recurrent network reads a batch: all first tokens, then all second ones,
/// and so on; the longest sentence first, so that the sentences still being read are always the
/// first rows of the state.
struct TimeOrder {
  Tensor rows;    ///< int32 [tokens]: the packed row of each place in this order.
  Tensor places;  ///< int32 [tokens]: the inverse, the place of each packed row.
  Tensor ends;    ///< int32 [sentences]: the place of the last token that is read of a sentence, -1
                  ///< where it has none.
  std::vector<int64_t> sizes;  ///< Sentences that have a t-th token, for every t.

  Permutation in_time() const { return {rows, places}; }
  Permutation packed() const { return {places, rows}; }
};

/// The order that reads forwards, or each sentence from its end.
TimeOrder time_order(const Packing& packing, bool backwards);

/// Self-attention: every sentence is a group, and its own segment.
AttentionLayout self_layout(const Packing& packing);

/// Attention of each sentence to the memory of the same number.
AttentionLayout cross_layout(const Packing& queries, const Packing& memory);

}  // namespace dragoman
