// How far a run is: what a checkpoint holds beside the configuration and the numbers of the model.
#pragma once

#include <cstdint>
#include <string>

#include "data/batch.h"
#include "train/window.h"

namespace dragoman {

/// What one validation measured.
struct Scores {
  int64_t step = 0;       ///< Updates made before it; 0: there was no validation.
  double loss = 0;        ///< Label-smoothed cross-entropy a target token, in nats.
  double perplexity = 0;  ///< exp of the cross-entropy a target token, not smoothed.
  double bleu = 0;        ///< Of detokenised translations against raw references, 0 to 100.

  bool operator==(const Scores&) const = default;

  template <class Visitor>
  void fields(Visitor&& v) {
    v("step", step);
    v("loss", loss);
    v("perplexity", perplexity);
    v("bleu", bleu);
  }
};

/// The state of a run between two steps. With the parameters and the optimiser's moments it decides
/// all that follows: dropout and shuffles depend on the seed, `step` and `position` alone.
struct TrainingState {
  int64_t step = 0;            ///< Updates made.
  double epochs = 0;           ///< Passes over the corpus, the begun one as a fraction.
  DataPosition position;       ///< Of the next batch.
  double seconds = 0;          ///< Trained for, over all sessions, validations included.
  Window window;               ///< Of the steps since the last log line.
  Scores latest;               ///< The last validation.
  Scores best;                 ///< The best one by training.stop_metric.
  int64_t waited = 0;          ///< Validations since the best.
  int64_t plateau_waited = 0;  ///< Validations that count towards the next plateau.
  int64_t plateaus = 0;        ///< How often the learning rate was lowered on a plateau.
  std::string training_text;   ///< What the dataset was made from (DatasetDescription::inputs).

  /// Visits everything but the window and the scores: the names under which it is stored.
  template <class Visitor>
  void fields(Visitor&& v) {
    v("step", step);
    v("epochs", epochs);
    v("position_epoch", position.epoch);
    v("position_block", position.block);
    v("position_batch", position.batch);
    v("seconds", seconds);
    v("waited", waited);
    v("plateau_waited", plateau_waited);
    v("plateaus", plateaus);
    v("training_text", training_text);
  }
};

}  // namespace dragoman
