// The losses of some steps of every architecture, which must not change by accident: bit for bit
// those of fixtures/golden_losses.json on the kind of processor, compiler and device that they are
// of, and near them elsewhere. Where a change means to change them, run this program with
// DRAGOMAN_WRITE_GOLDEN=1 in the environment, and say why in the commit.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <tuple>

#include "architectures.h"
#include "device_names.h"
#include "train/updater.h"

namespace dragoman {
namespace {

constexpr const char* kFixture = DRAGOMAN_SOURCE_DIR "/tests/fixtures/golden_losses.json";
constexpr const char* kAnyKind = "GNU 12.2.0 znver3 Release cpu fp32";
constexpr int kSteps = 8;

nlohmann::ordered_json read_fixture() {
  std::ifstream file(kFixture);
  return file ? nlohmann::ordered_json::parse(file) : nlohmann::ordered_json::object();
}

// What the last bits of a loss depend on besides the source.
std::string kind_of(Device device, const std::string& precision) {
  return fmt::format("{} {} {}", DRAGOMAN_KIND, to_string(device), precision);
}

// Losses a target token of an architecture that learns two batches in turn, with dropout.
std::vector<double> losses_of(const Architecture& architecture, Device device,
                              const std::string& precision) {
  Config config = parse_config("", "test", {"training.precision=" + precision});
  config.model = architecture.config;
  Model model(config.model, kVocabulary, kVocabulary, 7, device);
  Updater updater(config, model);
  const Batch batches[] = {
      batch_of(random_sentences({3, 7, 1, 5}, 1), random_sentences({6, 5, 2, 1}, 2)),
      batch_of(random_sentences({9, 2, 4}, 3), random_sentences({8, 4, 4}, 4))};
  std::vector<double> losses;
  for (int64_t step = 1; step <= kSteps; ++step) {
    const Batch& batch = batches[static_cast<size_t>(step % 2)];
    const Totals totals = updater.update(step, 3e-3, [&] { return batch; }).finish().totals;
    losses.push_back(totals.loss / static_cast<double>(totals.target_tokens));
  }
  return losses;
}

class Golden : public testing::TestWithParam<std::tuple<Architecture, Device, std::string>> {};

TEST_P(Golden, LossesAreWhatTheyWere) {
  const auto& [architecture, device, precision] = GetParam();
  const std::vector<double> losses = losses_of(architecture, device, precision);
  EXPECT_LT(losses[kSteps - 2], losses[0]) << "of the same batch";
  const std::string kind = kind_of(device, precision);
  auto golden = read_fixture();
  if (std::getenv("DRAGOMAN_WRITE_GOLDEN") != nullptr) {
    auto& list = golden[kind][architecture.name] = nlohmann::ordered_json::array();
    for (const double loss : losses) list.push_back(fmt::format("{:a}", loss));
    std::ofstream(kFixture) << golden.dump(1) << "\n";
    return;
  }
  const bool exact = golden.contains(kind);
  const auto& list = golden.at(exact ? kind : kAnyKind).at(architecture.name);
  ASSERT_EQ(list.size(), losses.size());
  // Other orders of the same sums; bf16 has 8 bits.
  const double tolerance = precision == "fp32" ? 1e-4 : 3e-2;
  for (size_t i = 0; i < losses.size(); ++i) {
    const double expected = std::stod(list[i].get<std::string>());
    if (exact) {
      EXPECT_EQ(losses[i], expected) << "step " << i + 1 << " on " << kind;
    } else {
      EXPECT_NEAR(losses[i], expected, tolerance * expected) << "step " << i + 1 << " on " << kind;
    }
  }
}

std::vector<std::tuple<Architecture, Device, std::string>> rows() {
  std::vector<std::tuple<Architecture, Device, std::string>> list;
  for (const Architecture& architecture : architectures()) {
    for (const Device device : all_devices()) {
      list.emplace_back(architecture, device, "fp32");
      if (device.on_gpu()) list.emplace_back(architecture, device, "bf16");
    }
  }
  return list;
}

std::string row_name(const testing::TestParamInfo<Golden::ParamType>& row) {
  const auto& [architecture, device, precision] = row.param;
  return architecture.name + "_" + name_of(device) + "_" + precision;
}

INSTANTIATE_TEST_SUITE_P(Architectures, Golden, testing::ValuesIn(rows()), row_name);

}  // namespace
}  // namespace dragoman
