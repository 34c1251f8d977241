// What an encoder and a decoder can do, whatever they are made of.
#pragma once

#include <memory>
#include <vector>

#include "models/device_batch.h"
#include "nn/packing.h"

namespace dragoman {

/// What the encoder made of a batch of sources.
struct Memory {
  Variable states;   ///< [source tokens, memory width]
  Packing packing;   ///< Of the source.
  Variable summary;  ///< [sentences, memory width]: each whole sentence in one vector; undefined
                     ///< where it is the mean of the sentence's states.
};

/// Where one layer attended to while it read a batch at once.
struct AttentionMap {
  enum class Kind {
    kEncoder,  ///< The source to itself.
    kDecoder,  ///< The target to what was before it.
    kCross,    ///< The target to the source.
  };
  Kind kind;
  int64_t layer = 0;  ///< Of its stack, from 0.
  Tensor weights;     ///< [tokens, heads, longest], zero after the end of a sentence.
};
using AttentionMaps = std::vector<AttentionMap>;

/// Reads sources.
class Encoder {
 public:
  virtual ~Encoder() = default;
  /// `embedded` is [source tokens, embedding width]. `maps`, if not null, gets the layers'
  /// attention, if they have any.
  virtual Memory encode(Tape& tape, const Variable& embedded, const Packing& packing,
                        AttentionMaps* maps) const = 0;
  /// How it reads them.
  virtual SideLimits limits() const = 0;
};

/// Where a decoder stands in its hypotheses: one row each. Only its decoder knows what is in it.
class DecoderState {
 public:
  virtual ~DecoderState() = default;
};

/// One more token of every hypothesis.
struct DecoderStep {
  Variable features;  ///< [hypotheses, output width]
  Tensor attention;  ///< [hypotheses, longest source]: weights over the source, zero after its end;
                     ///< undefined where they were not asked for or the decoder has none.
};

/// Writes targets.
class Decoder {
 public:
  virtual ~Decoder() = default;

  /// Teacher forcing: all steps at once. `embedded` is [target tokens, embedding width], the target
  /// sentences standing longest first. Returns [target tokens, output width]. `maps`, if not null,
  /// gets the layers' attention, if they have any.
  virtual Variable decode(Tape& tape, const Memory& memory, const Variable& embedded,
                          const Packing& packing, AttentionMaps* maps) const = 0;

  /// The state before the first token: one hypothesis a sentence. It may share the memory's
  /// tensors.
  virtual std::unique_ptr<DecoderState> start(Tape& tape, const Memory& memory) const = 0;
  /// Reads the last token of every hypothesis, embedded [hypotheses, embedding width].
  virtual DecoderStep step(Tape& tape, DecoderState& state, const Variable& embedded,
                           bool want_attention) const = 0;
  /// Hypothesis i goes on from what was hypothesis rows[i]; their number may change. `rows` is
  /// int32, on the model's device.
  virtual void reorder(DecoderState& state, const Tensor& rows) const = 0;

  /// Whether its steps can say where they attended to.
  virtual bool has_attention() const = 0;
  /// How it reads targets, of which it can write as long ones.
  virtual SideLimits limits() const = 0;
};

}  // namespace dragoman
