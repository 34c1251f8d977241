// Every row of the op table against its unfused reference. Built twice: with the engine as it is
// used, and with the engine in double, where a slip of a percent cannot hide behind rounding.
#include <fstream>
#include <set>
#include <string>

#include "core/check.h"
#include "op_harness.h"
#include "ops/ops.h"
#include "places.h"
#include "tensor/cpu/threads.h"

namespace dragoman {
namespace {

class OpValue : public testing::TestWithParam<SizedCase> {
 protected:
  OpValue() { Allocator::of(GetParam().device).set_poison(true); }
  ~OpValue() override {
    Allocator::of(GetParam().device).set_poison(false);
    set_thread_count(0);
  }

  const OpCase& row() const { return GetParam().row; }
  Result run(const Values& inputs, RunOptions options = {}) const {
    options.device = GetParam().device;
    return run_engine(row(), inputs, options);
  }
  const Values inputs_ = make_inputs(GetParam().row, 1);
};

class OpReference : public OpValue {};

INSTANTIATE_TEST_SUITE_P(, OpValue, testing::ValuesIn(all_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(, OpReference, testing::ValuesIn(differentiable_cases()), case_name);

TEST_P(OpValue, IsThatOfTheReferenceWithAndWithoutRecording) {
  const Result expected = run_reference(row(), inputs_);
  expect_near(run(inputs_).outputs, expected.outputs, kTolerance, "output");
  const Result unrecorded = run(inputs_, {.backward = false});
  expect_near(unrecorded.outputs, expected.outputs, kTolerance, "output without recording");
}

TEST_P(OpReference, GivesTheGradientWhateverTheSinksHold) {
  const Values expected = run_reference(row(), inputs_).gradients;
  for (const Sinks sinks : {Sinks::kFresh, Sinks::kNaN, Sinks::kNoise}) {
    expect_near(run(inputs_, {.sinks = sinks}).gradients, expected, 4 * kTolerance,
                "sinks " + std::to_string(static_cast<int>(sinks)) + ", gradient");
  }
}

TEST_P(OpReference, GivesTheGradientOfOneInputAlone) {
  const Values all = run(inputs_).gradients;
  for (size_t input = 0; input < inputs_.size(); ++input) {
    Values expected(inputs_.size());
    expected[input] = all[input];
    const Result alone = run(inputs_, {.only_input = static_cast<int>(input)});
    expect_near(alone.gradients, expected, kTolerance, "alone, gradient");
  }
}

TEST_P(OpReference, GivesTheGradientOfOneOutputAlone) {
  const size_t outputs = run(inputs_, {.backward = false}).outputs.size();
  for (int output = 0; outputs > 1 && output < static_cast<int>(outputs); ++output) {
    const Values expected = run_reference(row(), inputs_, output).gradients;
    const bool any = std::any_of(expected.begin(), expected.end(), [](const auto& gradient) {
      return std::any_of(gradient.begin(), gradient.end(), [](double x) { return x != 0; });
    });
    if (!any) continue;  // a constant, such as attention weights, or an empty one
    expect_near(run(inputs_, {.sinks = Sinks::kNaN, .only_output = output}).gradients, expected,
                4 * kTolerance, "output " + std::to_string(output) + ", gradient");
  }
}

// The same variable in the place of every two inputs that could be one: its gradient is the sum of
// two, each with its error.
TEST_P(OpReference, AddsUpTheGradientsOfAVariableUsedTwice) {
  for (size_t second = 1; second < inputs_.size(); ++second) {
    for (size_t first = 0; first < second; ++first) {
      if (!(row().inputs[first] == row().inputs[second])) continue;
      Values same = inputs_;
      same[second] = same[first];
      Values expected = run_reference(row(), same).gradients;
      for (size_t i = 0; i < expected[first].size(); ++i) {
        expected[first][i] += expected[second][i];
      }
      expected[second] = expected[first];
      std::vector<size_t> alias(inputs_.size());
      for (size_t i = 0; i < alias.size(); ++i) alias[i] = i == second ? first : i;
      expect_near(
          run(same, {.alias = alias}).gradients, expected, 8 * kTolerance,
          "inputs " + std::to_string(first) + " and " + std::to_string(second) + ", gradient");
    }
  }
}

TEST_P(OpValue, HasTheSameBitsForAnyNumberOfThreads) {
  set_thread_count(1);
  const Result one = run(inputs_);
  // What a vendor's product may sum in another order is held to a tolerance.
  const bool product = row().name == "matmul" || row().name == "linear";
  // A GPU has threads of its own: there it is two runs that are compared.
  const bool on_gpu = GetParam().device.on_gpu();
  const double tolerance = product && !on_gpu ? kTolerance : 0;
  for (int threads = 1; threads <= 3; ++threads) {
    set_thread_count(threads);
    const Result result = run(inputs_);
    const std::string with = std::to_string(threads) + " threads, ";
    expect_near(result.outputs, one.outputs, tolerance, with + "output");
    expect_near(result.gradients, one.gradients, tolerance, with + "gradient");
    if (on_gpu) break;
    const Result again = run(inputs_);
    expect_near(again.outputs, result.outputs, 0, with + "again, output");
    expect_near(again.gradients, result.gradients, 0, with + "again, gradient");
  }
}

TEST(OpDevices, HaveAGpuAmongThem) {
  if (all_devices().size() == 1) GTEST_SKIP() << "no GPU: the table was run on the CPU alone";
}

TEST(OpCoverage, EveryFunctionOfOpsHasARow) {
  std::ifstream header(project_directory() + "/src/ops/ops.h");
  ASSERT_TRUE(header.good());
  // An operation is what is declared with a tape as its first argument.
  std::set<std::string> declared, tested;
  for (std::string line; std::getline(header, line);) {
    const size_t end = line.find("(Tape& tape");
    if (end == std::string::npos) continue;
    const size_t begin = line.rfind(' ', end) + 1;
    declared.insert(line.substr(begin, end - begin));
  }
  for (const OpCase& row : op_cases(test_sizes()[0])) tested.insert(row.name);
  EXPECT_GT(declared.size(), 30u);
  EXPECT_EQ(declared, tested);
}

}  // namespace
}  // namespace dragoman
