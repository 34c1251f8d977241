#include "nn/mixer.h"

#include "nn/attention.h"

namespace dragoman {

std::unique_ptr<Mixer> make_mixer(MixerKind kind, const Scope& scope, const BlockOptions& options,
                                  bool causal) {
  switch (kind) {
    case MixerKind::kAttention:
      return std::make_unique<SelfAttention>(scope, options, causal);
  }
  fail("a stack of mixers that do not exist");
}

}  // namespace dragoman
