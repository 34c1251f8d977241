// The parts of training that decide, one by one. What it leaves on the disk is the subject of
// checkpoint_test.cpp, whole runs of trainer_test.cpp and run_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "core/check.h"
#include "ops/update.h"
#include "tensor/cpu/threads.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace dragoman {
namespace {

// Schedules ---------------------------------------------------------------------------------------

struct ScheduleCase {
  const char* name;
  const char* settings;
  int64_t step;
  double expected;
  int64_t plateaus = 0;
};

class ScheduleTest : public ::testing::TestWithParam<ScheduleCase> {};

TEST_P(ScheduleTest, FollowsItsFormula) {
  const ScheduleCase& c = GetParam();
  const Config config = parse_config(std::string("training: {") + c.settings + "}", "test");
  EXPECT_NEAR(Schedule(config.training, 64).learning_rate(c.step, c.plateaus), c.expected, 1e-12);
}

constexpr const char* kRoot = "schedule: inverse_sqrt, learning_rate: 0.8, warmup_steps: 100";
constexpr const char* kNoam = "schedule: noam, learning_rate: 2, warmup_steps: 100";
constexpr const char* kLinear =
    "schedule: linear, learning_rate: 1, warmup_steps: 10, max_steps: 110, "
    "minimum_learning_rate: 0.1";
constexpr const char* kCosine =
    "schedule: cosine, learning_rate: 1, warmup_steps: 10, schedule_steps: 110, "
    "minimum_learning_rate: 0.1";
constexpr const char* kPlateau =
    "schedule: plateau, learning_rate: 1, warmup_steps: 10, plateau_factor: 0.5, "
    "minimum_learning_rate: 0.2";

INSTANTIATE_TEST_SUITE_P(
    All, ScheduleTest,
    ::testing::Values(
        ScheduleCase{"RootWarmup", kRoot, 25, 0.2}, ScheduleCase{"RootPeak", kRoot, 100, 0.8},
        ScheduleCase{"RootAfter", kRoot, 400, 0.4},
        ScheduleCase{"RootMinimum",
                     "schedule: inverse_sqrt, learning_rate: 0.8, warmup_steps: 100, "
                     "minimum_learning_rate: 0.5",
                     400, 0.5},
        ScheduleCase{"MinimumSparesWarmup",
                     "schedule: inverse_sqrt, learning_rate: 0.8, warmup_steps: 100, "
                     "minimum_learning_rate: 0.5",
                     25, 0.2},
        ScheduleCase{"NoamWarmup", kNoam, 50, 2.0 / 8 * 50 * 1e-3},
        ScheduleCase{"NoamPeak", kNoam, 100, 2.0 / 8 / 10},
        ScheduleCase{"NoamAfter", kNoam, 400, 2.0 / 8 / 20},
        ScheduleCase{"LinearWarmup", kLinear, 5, 0.5}, ScheduleCase{"LinearPeak", kLinear, 10, 1},
        ScheduleCase{"LinearMiddle", kLinear, 60, 0.55},
        ScheduleCase{"LinearEnd", kLinear, 110, 0.1},
        ScheduleCase{"LinearBeyond", kLinear, 500, 0.1},
        ScheduleCase{"CosineQuarter", kCosine, 35,
                     0.1 + 0.9 * (1 + std::cos(std::numbers::pi / 4)) / 2},
        ScheduleCase{"CosineMiddle", kCosine, 60, 0.55},
        ScheduleCase{"CosineEnd", kCosine, 110, 0.1},
        ScheduleCase{"CosineBeyond", kCosine, 500, 0.1},
        ScheduleCase{"PlateauNone", kPlateau, 50, 1},
        ScheduleCase{"PlateauTwo", kPlateau, 50, 0.25, 2},
        ScheduleCase{"PlateauMinimum", kPlateau, 50, 0.2, 3},
        ScheduleCase{"ConstantWarmup", "schedule: constant, learning_rate: 3, warmup_steps: 10", 5,
                     1.5},
        ScheduleCase{"ConstantNoWarmup", "schedule: constant, learning_rate: 3, warmup_steps: 0", 1,
                     3}),
    [](const auto& test) { return test.param.name; });

// The optimiser -----------------------------------------------------------------------------------

std::vector<real> random_values(size_t n, uint64_t seed) {
  Random random(seed);
  std::vector<real> values(n);
  for (real& value : values) value = static_cast<real>(random.normal());
  return values;
}

StepResult norm_of(const std::vector<real>& values, Device device = {}) {
  const Record<StepInputs> inputs(device);
  const Record<StepResult> result(device);
  measure_gradients(Tensor::from(values, {std::ssize(values)}, device), inputs, result);
  return result.read();
}

TEST(Update, NormIsExactWhateverTheThreads) {
  const std::vector<real> values = random_values(100'003, 1);
  const double expected =
      std::accumulate(values.begin(), values.end(), 0.0,
                      [](double sum, double value) { return sum + value * value; });
  for (const Device device : all_devices()) {
    set_thread_count(1);
    const double one = norm_of(values, device).norm;
    set_thread_count(0);
    EXPECT_EQ(norm_of(values, device).norm, one);
    EXPECT_NEAR(one, std::sqrt(expected), 1e-6 * std::sqrt(expected));
    EXPECT_TRUE(norm_of(values, device).finite);
    EXPECT_FALSE(norm_of({1, NAN, 2}, device).finite);
    EXPECT_TRUE(std::isnan(norm_of({1, NAN, 2}, device).norm));
  }
}

TEST(Update, AdamIsThatOfThePapers) {
  const size_t n = 1000;
  const double rate = 0.01, beta1 = 0.8, beta2 = 0.95, epsilon = 1e-3, decay = 0.1, scale = 0.5;
  const AdamOptions options{
      .beta1 = beta1, .beta2 = beta2, .epsilon = epsilon, .weight_decay = decay};
  const std::vector<real> start = random_values(n, 7);
  const Tensor values = Tensor::from(start), mean = Tensor::zeros({n}),
               variance = Tensor::zeros({n}), low = Tensor::zeros({n}, DType::kBf16);
  const Record<StepInputs> inputs(Device{});
  const Record<StepResult> result(Device{});
  std::vector<double> x(start.begin(), start.end()), m(n), v(n);
  for (int t = 1; t <= 5; ++t) {
    const std::vector<real> gradients = random_values(n, 100 + static_cast<uint64_t>(t));
    inputs.write(adam_inputs(options, t, rate));
    result.write({.gradient_scale = static_cast<real>(scale), .finite = true});
    adam_update({values, mean, variance, low}, Tensor::from(gradients), options, inputs, result);
    for (size_t i = 0; i < n; ++i) {
      const double g = scale * gradients[i];
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      const double corrected_m = m[i] / (1 - std::pow(beta1, t));
      const double corrected_v = v[i] / (1 - std::pow(beta2, t));
      x[i] -= rate * (corrected_m / (std::sqrt(corrected_v) + epsilon) + decay * x[i]);
    }
  }
  const std::vector<real> updated = values.to_host();
  for (size_t i = 0; i < n; ++i) ASSERT_NEAR(updated[i], x[i], 2e-6 * (1 + std::abs(x[i]))) << i;
  EXPECT_EQ(convert(low, DType::kReal).to_host(),
            convert(convert(values, DType::kBf16), DType::kReal).to_host());
}

// A model of a few parameters, and an optimiser for it.
struct SmallModel {
  explicit SmallModel(const std::string& settings, Device device = {})
      : config(parse_config("training: {" + settings + "}", "test").training),
        inputs(device),
        result(device) {
    parameters.add("a", {3}, Start::kOnes);
    parameters.add("b", {2, 2}, Start::kOnes);
    parameters.allocate(device, 1, {});
    optimizer.emplace(parameters, config);
  }
  // One step with all gradients at `gradient`; returns the norm.
  double step(int64_t number, real gradient, double rate, int64_t tokens) {
    for (const Parameters::Entry& entry : parameters.entries()) {
      const Tensor part = Parameters::part(parameters.gradients(), entry);
      part.copy_from(Tensor::from(std::vector<real>(static_cast<size_t>(part.size()), gradient),
                                  part.shape()));
    }
    inputs.write(optimizer->inputs(number, rate, tokens));
    optimizer->update(inputs, result);
    return result.read().norm;
  }
  double first(const Tensor& flat) const { return flat.to_host()[0]; }

  TrainingConfig config;
  Parameters parameters;
  std::optional<Optimizer> optimizer;
  Record<StepInputs> inputs;
  Record<StepResult> result;
};

TEST(Optimizer, DescendsTheMeanOverTokensAndClipsIt) {
  for (const Device device : all_devices()) {
    SmallModel free("clip_norm: 0, beta1: 0.5", device);
    EXPECT_NEAR(free.step(1, 8, 0.1, 4), 2 * std::sqrt(7.0), 1e-5);
    EXPECT_NEAR(free.first(free.optimizer->mean()), 0.5 * 2, 1e-6);
    SmallModel clipped("clip_norm: 0.1, beta1: 0.5", device);
    EXPECT_NEAR(clipped.step(1, 8, 0.1, 4), 2 * std::sqrt(7.0), 1e-5) << "the norm before clipping";
    EXPECT_NEAR(norm_of(clipped.optimizer->mean().to_host()).norm / 0.5, 0.1, 1e-6);
  }
}

TEST(Optimizer, DecaysWeightsAsAdamWAndNotAsAdam) {
  SmallModel adam("optimizer: adam"), adamw("optimizer: adamw, weight_decay: 0.5");
  adam.step(1, 0, 0.1, 1);
  adamw.step(1, 0, 0.1, 1);
  EXPECT_EQ(adam.first(adam.parameters.values()), 1);
  EXPECT_NEAR(adamw.first(adamw.parameters.values()), 1 - 0.1 * 0.5, 1e-6);
}

TEST(Optimizer, ChangesNothingForAGradientThatIsNotFinite) {
  for (const Device device : all_devices()) {
    SmallModel model("ema_decay: 0.9", device);
    EXPECT_TRUE(std::isnan(model.step(1, NAN, 0.1, 1)));
    EXPECT_EQ(model.first(model.parameters.values()), 1);
    EXPECT_EQ(model.first(model.optimizer->average()), 1);
    EXPECT_EQ(model.first(model.optimizer->mean()), 0);
  }
}

TEST(Optimizer, KeepsAMovingAverage) {
  for (const Device device : all_devices()) {
    SmallModel model("ema_decay: 0.3", device);
    model.parameters.make_bf16_copy();
    const auto bf16_copy_is_up_to_date = [&] {
      const Parameters& p = model.parameters;
      return p.bf16_copy().to_host<Bf16>() == convert(p.values(), DType::kBf16).to_host<Bf16>();
    };
    double average = 1;
    for (int t = 1; t <= 4; ++t) {
      model.step(t, 1, 0.1, 1);
      const double decay = std::min(0.3, (1.0 + t) / (10.0 + t));
      average = decay * average + (1 - decay) * model.first(model.parameters.values());
    }
    EXPECT_NEAR(model.first(model.optimizer->average()), average, 1e-6);
    const double trained = model.first(model.parameters.values());
    const auto look = [&] {
      EXPECT_NEAR(model.first(model.parameters.values()), average, 1e-6);
      EXPECT_TRUE(bf16_copy_is_up_to_date()) << "else a validation in bf16 is of other weights";
    };
    with_average(model.parameters, *model.optimizer, look);
    EXPECT_EQ(model.first(model.parameters.values()), trained);
    EXPECT_THROW(with_average(model.parameters, *model.optimizer, [] { fail("not now"); }), Error);
    EXPECT_EQ(model.first(model.parameters.values()), trained);
    EXPECT_TRUE(bf16_copy_is_up_to_date());
  }
}

}  // namespace
}  // namespace dragoman
