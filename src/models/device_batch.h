// A batch as a training step reads it: all of it on the model's device, in shapes that may be
// rounded up, so that many batches have the same.
#pragma once

#include <compare>
#include <cstdint>

#include "data/batch.h"
#include "nn/packing.h"

namespace dragoman {

/// The shapes of a batch on a device: all that the work of a transformer's step depends on.
struct Bucket {
  int64_t sentences = 0;
  int64_t source_tokens = 0;
  int64_t target_tokens = 0;
  int64_t longest_source = 0;
  int64_t longest_target = 0;

  auto operator<=>(const Bucket&) const = default;
};

/// The batch's own shapes.
Bucket exact_bucket(const Batch& batch);
/// Shapes into which the batch fits, rounded so that many batches of a training run share them:
/// tokens by up to a sixteenth, sentences to a power of two, lengths to a multiple of 32, which
/// leaves the masks of attention's dropout as they are, but to no more than the model can read and
/// write (Model::longest_source).
Bucket rounded_bucket(const Batch& batch, int64_t most_source, int64_t most_target);

/// The tensors of a batch, views of one buffer that is written in one copy. What a bucket has more
/// than the batch are sentences after the batch's: as long as the order of lengths allows, then
/// empty. Their targets are -1, which the loss leaves out, so that nothing of them reaches a real
/// token or a parameter.
class DeviceBatch {
 public:
  DeviceBatch(const Batch& batch, const Bucket& bucket, Device device);

  /// Puts another batch of the same bucket in its place. The bounds on the host stay those of the
  /// first: only models whose work depends on the bucket alone may read it then.
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
