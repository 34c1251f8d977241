// How the rows of the op table are run and compared, by the engine and by their references.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "op_cases.h"

namespace dragoman {

/// Numbers of several matrices: the inputs, outputs or gradients of an operation.
using Values = std::vector<std::vector<double>>;

/// What the engine's numbers may differ from exact ones, relative to the largest of a matrix.
inline constexpr double kTolerance = sizeof(real) == 4 ? 4e-6 : 1e-12;

/// Normal numbers, exact in `real`, for a row's inputs.
Values make_inputs(const OpCase& row, uint64_t seed);

/// What the gradients hold before going back.
enum class Sinks {
  kFresh,  ///< Nothing.
  kNaN,    ///< Memory full of NaN that does not count as written: `+=` for `=` shows.
  kNoise,  ///< Numbers that count as written, and are taken off after: `=` for `+=` shows.
};

struct RunOptions {
  Sinks sinks = Sinks::kFresh;
  int only_input = -1;             ///< The one input that wants a gradient; -1: all.
  int only_output = -1;            ///< The one output that is used; -1: all.
  std::vector<size_t> alias = {};  ///< Input i is the same variable as input alias[i].
  bool backward = true;
  Device device = {};
};

struct Result {
  Values outputs;
  Values gradients;  ///< Of a fixed random projection of the outputs, for each input.
};

/// Runs a row on the engine. An input that wants no gradient has an empty one.
Result run_engine(const OpCase& row, const Values& inputs, const RunOptions& options = {});

/// Runs its reference.
Result run_reference(const OpCase& row, const Values& inputs, int only_output = -1);

/// Which outputs carry a gradient; attention weights, for one, do not.
std::vector<bool> outputs_with_gradient(const OpCase& row, const Values& inputs);

/// The projection's weights for the `output`-th output.
std::vector<double> projection(size_t output, size_t size);

/// A variable [1] whose gradient with respect to `outputs` are the projection's weights.
Variable project(Tape& tape, const Variables& outputs, int only_output = -1);

/// Expects each matrix to be near: within `tolerance` times its largest number (at least 1).
void expect_near(const Values& actual, const Values& expected, double tolerance,
                 const std::string& what);

/// A row of the table at one of the sizes of the tests and on a device, for
/// INSTANTIATE_TEST_SUITE_P.
struct SizedCase {
  std::string size;
  OpCase row;
  Device device = {};
};
/// On The CPU and every GPU.
std::vector<SizedCase> all_cases();
std::vector<SizedCase> differentiable_cases();
std::string case_name(const testing::TestParamInfo<SizedCase>& info);
void PrintTo(const SizedCase& sized, std::ostream* out);

}  // namespace dragoman
