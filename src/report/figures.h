// The plots of a comparison.
#pragma once

#include <string>
#include <vector>

#include "report/plot.h"
#include "report/results.h"

namespace dragoman {

/// BLEU by source length on the test corpus `test`.
Plot length_plot(const Results& results, size_t test);

/// Training loss, validation loss and validation BLEU, each against steps and against minutes: the
/// mean over the runs of a system, and its runs where there are several.
std::vector<Plot> learning_curves(const Measurements& measured);

}  // namespace dragoman
