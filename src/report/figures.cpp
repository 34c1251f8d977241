#include "report/figures.h"

#include <fmt/format.h>

#include <algorithm>

namespace dragoman {
namespace {

constexpr size_t kMostPoints = 150;  // of a curve; more are joined

enum class Axis { kSteps, kMinutes };

struct CurveKind {
  const char* title;
  Curve MeasuredRun::*curve;
  bool from_zero;
};

Curve mean_of(const std::vector<const Curve*>& curves) {
  // Runs of one system are measured at the same steps, as far as they go.
  Curve mean;
  for (size_t i = 0; i < curves[0]->size(); ++i) {
    CurvePoint point{.step = (*curves[0])[i].step};
    for (const Curve* curve : curves) {
      if (i >= curve->size() || (*curve)[i].step != point.step) return mean;
      point.minutes += (*curve)[i].minutes / static_cast<double>(curves.size());
      point.value += (*curve)[i].value / static_cast<double>(curves.size());
    }
    mean.push_back(point);
  }
  return mean;
}

// Neighbours joined to their mean, so that there are few.
Curve thinned(const Curve& curve) {
  const size_t every = (curve.size() + kMostPoints - 1) / kMostPoints;
  if (every < 2) return curve;
  Curve thin;
  for (size_t begin = 0; begin < curve.size(); begin += every) {
    const size_t end = std::min(begin + every, curve.size());
    CurvePoint point = curve[end - 1];
    point.value = 0;
    for (size_t i = begin; i < end; ++i)
      point.value += curve[i].value / static_cast<double>(end - begin);
    thin.push_back(point);
  }
  return thin;
}

Series series_of(const Curve& curve, const std::string& label, size_t style, Axis axis) {
  Series series{.label = label, .style = style, .points = {}};
  for (const CurvePoint& point : thinned(curve)) {
    series.points.push_back(
        {.x = axis == Axis::kSteps ? static_cast<double>(point.step) : point.minutes,
         .y = point.value,
         .interval = {},
         .note = fmt::format("{}: {:.2f} at step {}, {:.1f} min", label, point.value, point.step,
                             point.minutes)});
  }
  return series;
}

Plot learning_curve(const Measurements& measured, const CurveKind& kind, Axis axis) {
  Plot plot{.title = kind.title,
            .x_label = axis == Axis::kSteps ? "steps" : "minutes of training",
            .y_label = kind.from_zero ? "BLEU" : "nats a token",
            .from_zero = kind.from_zero,
            .series = {}};
  for (size_t s = 0; s < measured.systems.size(); ++s) {
    const MeasuredSystem& system = measured.systems[s];
    std::vector<const Curve*> curves;
    for (const MeasuredRun& run : system.runs) curves.push_back(&(run.*kind.curve));
    for (size_t r = 0; r < curves.size() && curves.size() > 1; ++r) {
      plot.series.push_back(series_of(*curves[r], system.name, s, axis));
      plot.series.back().faint = true;
    }
    plot.series.push_back(series_of(mean_of(curves), system.name, s, axis));
  }
  return plot;
}

}  // namespace

Plot length_plot(const Results& results, size_t test) {
  const LengthResult& lengths = results.tests[test].lengths;
  Plot plot{.title = "BLEU by source length, " + results.measured.tests[test].name,
            .x_label = "source words (mean of each group of sentences)",
            .y_label = "BLEU",
            .from_zero = true,
            .series = {}};
  for (size_t s = 0; s < lengths.systems.size(); ++s) {
    const LengthCurve& curve = lengths.systems[s];
    Series& series = plot.series.emplace_back();
    series.label = results.measured.systems[s].name;
    series.style = s;
    for (size_t b = 0; b < lengths.bins.size(); ++b) {
      const LengthBin& bin = lengths.bins[b];
      const ConfidenceInterval& interval = curve.intervals[b];
      series.points.push_back(
          {.x = bin.mean_length,
           .y = curve.bleu[b],
           .interval = interval,
           .note =
               fmt::format("{}: BLEU {:.1f} ({:.1f} to {:.1f}) on {} sentences of {} to {} words",
                           series.label, curve.bleu[b], interval.low, interval.high, bin.sentences,
                           bin.shortest, bin.longest)});
    }
  }
  return plot;
}

std::vector<Plot> learning_curves(const Measurements& measured) {
  std::vector<Plot> plots;
  for (const CurveKind& kind : {CurveKind{"Validation BLEU", &MeasuredRun::validation_bleu, true},
                                CurveKind{"Validation loss", &MeasuredRun::validation_loss, false},
                                CurveKind{"Training loss", &MeasuredRun::training_loss, false}}) {
    for (const Axis axis : {Axis::kSteps, Axis::kMinutes})
      plots.push_back(learning_curve(measured, kind, axis));
  }
  return plots;
}

}  // namespace dragoman
