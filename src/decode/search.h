// Beam search for the most probable translation. Greedy search is a beam of one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "config/config.h"
#include "data/sentences.h"
#include "decode/steps.h"
#include "models/model.h"

namespace dragoman {

struct SearchOptions {
  DecodingConfig decoding;
  int64_t longest_target = 0;  ///< Tokens that the model can read, `<s>` among them.
  bool alignments = false;     ///< Keep where each token attended to.
};

/// A finished translation.
struct Hypothesis {
  std::vector<int32_t> ids;    ///< Pieces, without `<s>` and `</s>`.
  double log_probability = 0;  ///< Natural; of the pieces and `</s>`.
  double score = 0;            ///< What hypotheses are compared by.
  /// If asked for: [pieces and `</s>`][source tokens, `</s>` among them], each row summing to 1.
  std::vector<std::vector<real>> attention;
};

/// The best `n_best` finished hypotheses of every sentence, best first; at least one each.
///
/// At every step the beam_size most probable continuations of a sentence's hypotheses go on; a
/// continuation by `</s>` that is among the beam_size best of all has finished. A sentence is done
/// when beam_size of its hypotheses have finished, or all have. Of equals the one first found wins,
/// and the lower id, so that a sentence's result does not depend on its batch.
///
///   score = log p / length^A + B sum_j log(min(1, sum_i a_ij))
///
/// with the length in pieces, `</s>` counted, A the length penalty, B the coverage penalty and a_ij
/// the attention of target token i to source piece j (Wu et al. 2016, equation 14, whose length
/// normalisation is another). A sum below 1e-6 counts as that.
///
/// A translation of a source of S pieces has at least min_length_ratio S pieces and at most
/// max_length_ratio S + 10, max_length, and what the decoder can read. At the most it must end; the
/// least gives way where nothing but `</s>` is allowed. `<s>` is never generated.
///
/// On a GPU the search goes on for up to 7 steps after the last sentence is done, since it waits
/// for the device only every 8 steps; no step is beyond what the decoder can read. Throws Error
/// where the model's probabilities are NaN.
std::vector<std::vector<Hypothesis>> search(StepModel& model,
                                            std::span<const int32_t> source_pieces,
                                            const SearchOptions& options);

/// The same for a batch of sources (pieces and `</s>`) and for models, which translate it together
/// where they are several (EnsembleSteps), on a tape of their own, which does not record.
std::vector<std::vector<Hypothesis>> search(std::span<const Model* const> models, Tape& tape,
                                            const Sentences& source, const DecodingConfig& decoding,
                                            bool alignments);

}  // namespace dragoman
