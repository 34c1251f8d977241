#include "op_harness.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/rng.h"

namespace dragoman {
namespace {

Tensor to_tensor(const std::vector<double>& values, const Shape& shape, Device device = {}) {
  return Tensor::from(std::vector<real>(values.begin(), values.end()), shape, device);
}

std::vector<double> to_doubles(const Tensor& tensor) {
  const std::vector<real> values = tensor.to_host();
  return {values.begin(), values.end()};
}

// Small integers: adding them to a gradient in float loses next to nothing.
double noise(size_t i) { return static_cast<double>(i % 7) - 3; }

Variable make_variable(const std::vector<double>& values, const Shape& shape, bool wanted,
                       const RunOptions& options) {
  const Sinks sinks = options.sinks;
  const Device device = options.device;
  if (!wanted) return Variable(to_tensor(values, shape, device));
  Variable variable = Variable::leaf(to_tensor(values, shape, device));
  std::vector<double> before(values.size(), std::numeric_limits<double>::quiet_NaN());
  if (sinks == Sinks::kNoise) {
    for (size_t i = 0; i < before.size(); ++i) before[i] = noise(i);
  }
  if (sinks != Sinks::kFresh) variable.sink()->gradient = to_tensor(before, shape, device);
  variable.sink()->written = sinks == Sinks::kNoise;
  return variable;
}

std::vector<double> read_gradient(const Variable& variable, Sinks sinks) {
  if (!variable.needs_gradient()) return {};
  EXPECT_TRUE(variable.sink()->written) << "no gradient was written";
  if (!variable.sink()->written) return {};
  std::vector<double> gradient = to_doubles(variable.sink()->gradient);
  for (size_t i = 0; i < gradient.size() && sinks == Sinks::kNoise; ++i) gradient[i] -= noise(i);
  return gradient;
}

}  // namespace

Values make_inputs(const OpCase& row, uint64_t seed) {
  Random random(seed);
  Values inputs;
  for (const Shape& shape : row.inputs) {
    std::vector<double>& values = inputs.emplace_back(static_cast<size_t>(shape.size()));
    for (double& value : values) value = static_cast<real>(random.normal());
  }
  return inputs;
}

std::vector<double> projection(size_t output, size_t size) {
  Random random(77, output);
  std::vector<double> weights(size);
  for (double& weight : weights) weight = static_cast<real>(random.normal());
  return weights;
}

Variable project(Tape& tape, const Variables& outputs, int only_output) {
  const auto used = [only_output](size_t output) {
    return only_output < 0 || static_cast<size_t>(only_output) == output;
  };
  const Device device = outputs[0].value().device();
  const Tensor zero = Tensor::zeros({1}, DType::kReal, device);
  return tape.record("project", {zero}, outputs, [outputs, used](std::span<Tensor>) {
    for (size_t o = 0; o < outputs.size(); ++o) {
      if (!used(o) || !outputs[o].needs_gradient()) continue;
      outputs[o].add_gradient(
          to_tensor(projection(o, static_cast<size_t>(outputs[o].value().size())),
                    outputs[o].shape(), outputs[o].value().device()));
    }
  })[0];
}

Result run_engine(const OpCase& row, const Values& inputs, const RunOptions& options) {
  const bool backward = options.backward && row.differentiable;
  Variables variables;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool wanted =
        backward && (options.only_input < 0 || static_cast<size_t>(options.only_input) == i);
    const size_t same = options.alias.empty() ? i : options.alias[i];
    variables.push_back(same < i ? variables[same]
                                 : make_variable(inputs[i], row.inputs[i], wanted, options));
  }
  Tape tape(backward);
  const Variables outputs = row.run(tape, variables);
  Result result;
  for (const Variable& output : outputs) result.outputs.push_back(to_doubles(output.value()));
  if (backward) tape.backward(project(tape, outputs, options.only_output));
  for (const Variable& variable : variables) {
    result.gradients.push_back(backward ? read_gradient(variable, options.sinks)
                                        : std::vector<double>());
  }
  return result;
}

std::vector<bool> outputs_with_gradient(const OpCase& row, const Values& inputs) {
  Tape tape;
  Variables leaves;
  for (size_t i = 0; i < inputs.size(); ++i) {
    leaves.push_back(Variable::leaf(to_tensor(inputs[i], row.inputs[i])));
  }
  std::vector<bool> carries;
  for (const Variable& output : row.run(tape, leaves)) carries.push_back(output.needs_gradient());
  return carries;
}

Result run_reference(const OpCase& row, const Values& inputs, int only_output) {
  Number::forget();
  Matrices matrices;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = row.inputs[i];
    const int64_t columns = shape[shape.rank() - 1];
    matrices.push_back(build(shape.size() / columns, columns, [&](int64_t r, int64_t c) {
      return Number::input(inputs[i][static_cast<size_t>(r * columns + c)]);
    }));
  }
  const std::vector<bool> carries_gradient = outputs_with_gradient(row, inputs);
  Result result;
  Number root = 0;
  const Matrices outputs = row.reference(matrices);
  for (size_t o = 0; o < outputs.size(); ++o) {
    std::vector<double>& values = result.outputs.emplace_back();
    for (const Number& number : outputs[o].values) values.push_back(number.value());
    if (only_output >= 0 && static_cast<size_t>(only_output) != o) continue;
    if (!carries_gradient[o]) continue;
    const std::vector<double> weights = projection(o, values.size());
    for (size_t i = 0; i < weights.size(); ++i) root += weights[i] * outputs[o].values[i];
  }
  for (const Matrix& matrix : matrices) {
    result.gradients.push_back(Number::gradient(root, matrix.values));
  }
  return result;
}

void expect_near(const Values& actual, const Values& expected, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t m = 0; m < actual.size(); ++m) {
    ASSERT_EQ(actual[m].size(), expected[m].size()) << what << " " << m;
    double largest = 1, error = 0;
    size_t worst = 0;
    for (const double value : expected[m]) largest = std::max(largest, std::abs(value));
    for (size_t i = 0; i < actual[m].size(); ++i) {
      const double difference = std::abs(actual[m][i] - expected[m][i]);
      if (difference <= error) continue;  // false for NaN, which is then the worst
      error = difference;
      worst = i;
      if (std::isnan(error)) break;
    }
    EXPECT_LE(error, tolerance * largest)
        << what << " " << m << ", element " << worst << " of " << actual[m].size() << ": "
        << actual[m][worst] << " instead of " << expected[m][worst];
  }
}

std::vector<SizedCase> all_cases() {
  std::vector<SizedCase> cases;
  for (const Sizes& sizes : test_sizes()) {
    for (const Device device : all_devices()) {
      for (OpCase& row : op_cases(sizes)) cases.push_back({sizes.name, std::move(row), device});
    }
  }
  return cases;
}

std::vector<SizedCase> differentiable_cases() {
  std::vector<SizedCase> cases = all_cases();
  std::erase_if(cases, [](const SizedCase& sized) { return !sized.row.differentiable; });
  return cases;
}

std::string case_name(const testing::TestParamInfo<SizedCase>& info) {
  const std::string gpu =
      info.param.device.on_gpu() ? "_cuda" + std::to_string(info.param.device.index) : "";
  return info.param.row.title() + gpu + "_" + info.param.size;
}

void PrintTo(const SizedCase& sized, std::ostream* out) {
  *out << sized.row.title() << " on " << to_string(sized.device);
}

}  // namespace dragoman
