// Every row of the op table against finite differences, with the engine in double.
#include <cmath>
#include <set>

#include "core/rng.h"
#include "op_harness.h"

namespace dragoman {
namespace {

static_assert(sizeof(real) == 8, "finite differences need the engine in double");

// The error of central differences is of the order step^2 + 1e-16 / step.
constexpr double kStep = 1e-5;

// An input of at most so many elements is varied one element at a time; in a larger one so many
// random elements are varied together, a few times. The reference tests cover every element.
constexpr size_t kVaried = 24;
constexpr int kTimes = 4;

class OpGradient : public testing::TestWithParam<SizedCase> {};

INSTANTIATE_TEST_SUITE_P(, OpGradient, testing::ValuesIn(differentiable_cases()), case_name);

// The projection of the outputs' difference, summed element by element so that little is lost.
double projected_difference(const Values& high, const Values& low, const Values& weights) {
  double difference = 0;
  for (size_t output = 0; output < weights.size(); ++output) {
    for (size_t i = 0; i < weights[output].size(); ++i) {
      difference += weights[output][i] * (high[output][i] - low[output][i]);
    }
  }
  return difference;
}

// Which elements of an input of `size` are varied together.
std::vector<std::vector<size_t>> directions(size_t size) {
  std::vector<std::vector<size_t>> result;
  if (size <= kVaried) {
    for (size_t i = 0; i < size; ++i) result.push_back({i});
    return result;
  }
  Random random(3);
  for (int time = 0; time < kTimes; ++time) {
    std::set<size_t> elements;
    while (elements.size() < kVaried) elements.insert(random.below(size));
    result.emplace_back(elements.begin(), elements.end());
  }
  return result;
}

TEST_P(OpGradient, AgreesWithFiniteDifferences) {
  const OpCase& row = GetParam().row;
  const Values inputs = make_inputs(row, 2);
  const Result result = run_engine(row, inputs);
  Values weights;
  const std::vector<bool> carries_gradient = outputs_with_gradient(row, inputs);
  for (size_t o = 0; o < carries_gradient.size(); ++o) {
    weights.push_back(projection(o, carries_gradient[o] ? result.outputs[o].size() : 0));
  }
  for (size_t input = 0; input < inputs.size(); ++input) {
    for (const std::vector<size_t>& direction : directions(inputs[input].size())) {
      Values high = inputs, low = inputs;
      double expected = 0, scale = 1;
      for (const size_t at : direction) {
        const double sign = at % 2 == 0 ? 1 : -1;
        high[input][at] += sign * kStep;
        low[input][at] -= sign * kStep;
        expected += sign * result.gradients[input][at];
        scale += std::abs(result.gradients[input][at]);
      }
      const double difference =
          projected_difference(run_engine(row, high, {.backward = false}).outputs,
                               run_engine(row, low, {.backward = false}).outputs, weights);
      ASSERT_NEAR(difference / (2 * kStep), expected, 1e-7 * scale)
          << "input " << input << ", element " << direction[0];
    }
  }
}

}  // namespace
}  // namespace dragoman
