// The gradient of every architecture against finite differences, with the engine in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "architectures.h"
#include "models/model.h"

namespace dragoman {
namespace {

static_assert(sizeof(real) == 8, "finite differences need the engine in double");

// The error of central differences is of the order step^2 + 1e-16 / step.
constexpr double kStep = 1e-5;
constexpr real kSmoothing = real(0.1);

class ModelGradient : public testing::TestWithParam<Architecture> {
 protected:
  // Zeros, which biases start from, are places of symmetry and of the steepest norms.
  ModelGradient() {
    Random random(5);
    std::vector<real> values = model_.parameters().values().to_host();
    for (real& value : values) value += 0.1 * random.normal();
    model_.parameters().values().copy_from(Tensor::from(values));
  }

  double loss() const {
    Tape tape(false);
    return model_.loss(tape, model_.load(batch_), kSmoothing).loss.value().to_host()[0];
  }
  // The loss with a parameter moved by `step` in a direction.
  double loss_at(const Parameters::Entry& entry, const std::vector<real>& values,
                 const std::vector<double>& direction, double step) const {
    std::vector<real> moved = values;
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += step * direction[i];
    const Tensor place = Parameters::part(model_.parameters().values(), entry);
    place.copy_from(Tensor::from(moved, entry.shape));
    const double found = loss();
    place.copy_from(Tensor::from(values, entry.shape));
    return found;
  }

  Model model_{GetParam().config, kVocabulary, kVocabulary, 7, Device{}};
  Batch batch_ = batch_of(random_sentences({3, 7, 1, 5}, 1), random_sentences({6, 5, 2, 1}, 2));
};

// In a direction that does not come from the gradient: what is missing of it would be missing in
// both, and a gradient that is lost altogether would agree with nothing.
TEST_P(ModelGradient, IsThatOfTheLossInRandomDirections) {
  const Parameters& parameters = model_.parameters();
  Tape tape;
  parameters.begin_gradients();
  tape.backward(model_.loss(tape, model_.load(batch_), kSmoothing).loss);
  parameters.complete_gradients();
  Random random(11);
  for (const Parameters::Entry& entry : parameters.entries()) {
    SCOPED_TRACE(entry.name);
    const std::vector<real> values = Parameters::part(parameters.values(), entry).to_host();
    const std::vector<real> gradient = Parameters::part(parameters.gradients(), entry).to_host();
    double product = 0, squares = 0;
    std::vector<double> direction(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      direction[i] = random.normal();
      product += direction[i] * gradient[i];
      squares += gradient[i] * gradient[i];
    }
    EXPECT_GT(squares, 1e-12) << "nothing of the loss reaches this parameter";
    const double difference =
        loss_at(entry, values, direction, kStep) - loss_at(entry, values, direction, -kStep);
    EXPECT_NEAR(difference / (2 * kStep), product, 1e-6 * (1 + std::sqrt(squares)));
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, ModelGradient, testing::ValuesIn(architectures()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace dragoman
