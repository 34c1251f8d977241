#include "decode/steps.h"

#include <cmath>
#include <utility>

#include "core/check.h"
#include "core/math.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// Makes a row of logits, where it lies, the logarithms of its softmax.
struct LogSoftmax {
  real* logits;
  int64_t classes;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t number) const {
    real* const row = logits + number * classes;
    const real largest = lane.max(classes, [=](int64_t c) { return row[c]; });
    const real total =
        largest + std::log(lane.sum(classes, [=](int64_t c) { return exp_of(row[c] - largest); }));
    lane.each(classes, [=](int64_t c) { row[c] -= total; });
  }
};

// Adds probabilities of which both are given as logarithms, as the sum is: log(e^a + e^b). What is
// too small for a float need not be for its logarithm, and `</s>` may have to follow all the same.
struct AddProbabilities {
  real* sum;
  const real* other;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const {
    const real a = sum[i], b = other[i];
    const real larger = a > b ? a : b, smaller = a > b ? b : a;
    sum[i] = larger + std::log(1 + exp_of(smaller - larger));
  }
};

// The mean of `count` numbers from that of all but the last: of equal numbers it is the same.
struct NextMean {
  const real *mean, *last;
  real* to;
  real count;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const {
    to[i] = mean[i] + (last[i] - mean[i]) / count;
  }
};

void make_log_softmax(const Tensor& logits) {
  launch::rows(logits.device(), logits.rows(), logits.columns(),
               LogSoftmax{logits.data(), logits.columns()});
}

Tensor next_mean(const Tensor& mean, const Tensor& last, int64_t count) {
  Tensor next = empty_like(mean);
  launch::map(next.device(), next.size(),
              NextMean{mean.data(), last.data(), next.data(), static_cast<real>(count)});
  return next;
}

}  // namespace

ModelSteps::ModelSteps(const Model& model, Tape& tape, const Sentences& source)
    : model_(model),
      tape_(tape),
      state_(model.start(tape, model.encode(tape, model.load(source)))) {}

Model::Step ModelSteps::step(const Tensor& last, bool want_attention) {
  return model_.step(tape_, *state_, last, want_attention);
}

void ModelSteps::reorder(const Tensor& rows) { model_.reorder(*state_, rows); }

EnsembleSteps::EnsembleSteps(std::vector<std::unique_ptr<StepModel>> members)
    : members_(std::move(members)) {
  check(!members_.empty(), "an ensemble needs a model");
  for (const auto& member : members_)
    check(member->device() == device(), "the models of an ensemble must be on one device");
}

Model::Step EnsembleSteps::step(const Tensor& last, bool want_attention) {
  Model::Step all;
  int64_t attending = 0;  // models so far
  for (const auto& member : members_) {
    const auto [logits, attention] = member->step(last, want_attention);
    make_log_softmax(logits);
    if (!all.logits.defined()) {
      all.logits = logits;
    } else {
      check(logits.shape() == all.logits.shape(),
            "the models of an ensemble must write the same vocabulary, not {} and {} pieces",
            all.logits.columns(), logits.columns());
      launch::map(logits.device(), logits.size(),
                  AddProbabilities{all.logits.data(), logits.data()});
    }
    if (!attention.defined()) continue;
    ++attending;
    all.attention = attending == 1 ? attention : next_mean(all.attention, attention, attending);
  }
  return all;
}

void EnsembleSteps::reorder(const Tensor& rows) {
  for (const auto& member : members_) member->reorder(rows);
}

std::unique_ptr<StepModel> make_steps(std::span<const Model* const> models, Tape& tape,
                                      const Sentences& source) {
  if (models.size() == 1) return std::make_unique<ModelSteps>(*models.front(), tape, source);
  std::vector<std::unique_ptr<StepModel>> members;
  for (const Model* model : models)
    members.push_back(std::make_unique<ModelSteps>(*model, tape, source));
  return std::make_unique<EnsembleSteps>(std::move(members));
}

}  // namespace dragoman
