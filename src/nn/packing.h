// How the sentences of a batch lie in its matrices: end to end, without padding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/ops.h"
#include "tensor/tensor.h"

namespace dragoman {

/// The order in which a recurrent layer reads a batch: all first tokens, then all second ones, and
/// so on; the longest sentence first, so that the sentences still being read are always the first
/// rows of the state. A step may have more rows than sentences are left: these read zeros, and
/// nobody reads them.
struct TimeOrder {
  std::vector<int64_t> steps;  ///< The rows of every step, none of them more than that before it.
  Tensor rows;    ///< int32 [rows of all steps]: the packed row that each reads, -1 for none.
  Tensor places;  ///< int32 [tokens]: the inverse, the place of each packed row, -1 for none.
  Tensor ends;    ///< int32 [sentences]: the place of the last token that is read of a sentence, -1
                  ///< where it has none.

  Permutation in_time() const { return {rows, places}; }
  Permutation packed() const { return {places, rows}; }
};

/// Sentence s is the rows [offsets[s], offsets[s + 1]) of a matrix [tokens, features].
struct Packing {
  Tensor offsets;             ///< int32 [sentences + 1]
  Tensor positions;           ///< int32 [tokens]: the place of each token in its sentence, from 0.
  int64_t longest = 0;        ///< Tokens of the longest sentence, or more.
  TimeOrder forwards;         ///< For recurrent layers: undefined in a batch that none reads.
  TimeOrder backwards;        ///< The same, each sentence from its end.
  bool longest_first = true;  ///< Whether sentence s is row s of every step of `forwards`, if any.

  int64_t sentences() const { return offsets.size() - 1; }
  int64_t tokens() const { return positions.size(); }
};

/// What a packing is made from: the sentences of a batch on the host.
struct PackingPlan {
  std::vector<int32_t> bounds;  ///< Packing::offsets
  int64_t longest = 0;          ///< Packing::longest
  int64_t read = 0;  ///< Sentences that recurrent layers read; those behind them fill a batch up.
  std::vector<int64_t> steps;  ///< TimeOrder::steps; empty where no recurrent layer reads.

  int64_t sentences() const { return static_cast<int64_t>(bounds.size()) - 1; }
  int64_t tokens() const { return bounds.back(); }
  int64_t length(int64_t sentence) const {
    const auto s = static_cast<size_t>(sentence);
    return bounds[s + 1] - bounds[s];
  }
};

/// How many sentences have a t-th token, for every t.
std::vector<int64_t> steps_of(std::span<const int32_t> bounds);

/// Adds the numbers that the tensors of the plan's packing hold.
void append_packing(const PackingPlan& plan, std::vector<int32_t>& words);
/// The packing whose numbers append_packing added from `place` on, which becomes the place behind
/// them.
Packing packing_at(const Tensor& words, int64_t& place, const PackingPlan& plan);

/// The packing of sentences that end where the next begins; bounds as in PackingPlan. `in_time`:
/// recurrent layers read it.
Packing pack(std::span<const int32_t> bounds, bool in_time, Device device);

/// Ids of tokens and how they are packed.
struct TokenBatch {
  Tensor ids;  ///< int32 [tokens]
  Packing packing;
};

/// Self-attention: every sentence is a group, and its own segment.
AttentionLayout self_layout(const Packing& packing);

/// Attention of each sentence to the memory of the same number.
AttentionLayout cross_layout(const Packing& queries, const Packing& memory);

}  // namespace dragoman
