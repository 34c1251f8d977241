// A batch as a training step reads it: all of it on the model's device, in shapes that may be
// rounded up, so that many batches have the same.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "data/batch.h"
#include "nn/packing.h"

namespace dragoman {

/// The shapes of a batch on a device: all that the work of a step depends on.
struct Bucket {
  int64_t sentences = 0;
  int64_t source_tokens = 0;
  int64_t target_tokens = 0;
  int64_t longest_source = 0;
  int64_t longest_target = 0;
  /// Rows of each step of a recurrent layer, TimeOrder::steps; empty where none reads that side.
  std::vector<int64_t> source_steps = {};
  std::vector<int64_t> target_steps = {};

  auto operator<=>(const Bucket&) const = default;
};

/// How one side of a model reads its sentences.
struct SideLimits {
  int64_t longest = 0;   ///< The longest that it can, in tokens.
  bool in_time = false;  ///< By recurrent layers.
};

/// The batch's own shapes.
Bucket exact_bucket(const Batch& batch, const SideLimits& source, const SideLimits& target);
/// Shapes into which the batch fits, rounded so that many batches of a training run share them.
///
/// Where no layer is recurrent: tokens by up to a sixteenth, sentences to a power of two. Lengths
/// to a multiple of 32, which leaves the masks of attention's dropout as they are, but to no more
/// than the model can read and write.
///
/// Recurrent layers add a number of rows for every step, so that there is less choice for the rest.
/// Between a power of two and the next there are four numbers of sentences, eight of target tokens
/// and four of target steps; half as many of source tokens and steps, which cost less. A step has
/// the rows of all sentences, or of an eighth of them and so on, but not less than 32.
Bucket rounded_bucket(const Batch& batch, const SideLimits& source, const SideLimits& target);

/// The tensors of a batch, views of one buffer that is written in one copy. What a bucket has more
/// than the batch are sentences after the batch's, as long as may be, then empty ones. Recurrent
/// layers do not read them, and their targets are -1, which the loss leaves out, so that nothing of
/// them reaches a real token or a parameter.
class DeviceBatch {
 public:
  DeviceBatch(const Batch& batch, const Bucket& bucket, Device device);

  /// Puts another batch of the same bucket in its place.
  void refill(const Batch& batch);

  const TokenBatch& source() const { return source_; }
  const TokenBatch& target_input() const { return target_input_; }
  /// int32 [target tokens]
  const Tensor& targets() const { return targets_; }

 private:
  Bucket bucket_;
  Tensor words_;
  TokenBatch source_;
  TokenBatch target_input_;
  Tensor targets_;
};

}  // namespace dragoman
