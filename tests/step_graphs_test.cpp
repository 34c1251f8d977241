// Updates on a GPU: graphs of steps against the same steps without, and against a CPU. Where there
// is no GPU these are skipped; the build that emulates one runs them.
#include "train/step_graphs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/profile.h"
#include "core/rng.h"
#include "train/updater.h"

namespace dragoman {
namespace {

constexpr int32_t kVocabulary = 29;

std::vector<Device> gpus() {
  std::vector<Device> devices = all_devices();
  devices.erase(devices.begin());
  return devices;
}

Config small_config(std::vector<std::string> sets) {
  const char* const yaml =
      "model:\n"
      "  encoder: {type: transformer, layers: 2, dim: 16, heads: 2, ffn_dim: 24, dropout: 0.1}\n"
      "  decoder: {type: transformer, layers: 1, dim: 16, heads: 2, ffn_dim: 24,\n"
      "            attention_dropout: 0.2}\n"
      "training: {clip_norm: 1, precision: fp32}\n";
  return parse_config(yaml, "test", sets);
}

// Batches of sentences of some lengths, longest targets first, a few of each of two shapes; the
// fifth ends an epoch.
std::vector<Batch> batches_for(int count) {
  Random random(1);
  const auto ids = [&](uint64_t least) {
    std::vector<int32_t> list(least + random.below(3));
    for (int32_t& id : list) id = static_cast<int32_t>(3 + random.below(kVocabulary - 3));
    return list;
  };
  std::vector<Batch> batches(static_cast<size_t>(count));
  for (size_t i = 0; i < batches.size(); ++i) {
    const uint64_t shift = i % 3 == 2 ? 30 : 0;
    for (const uint64_t least : {12, 8, 4}) batches[i].append(ids(3), ids(least + shift), 0);
    batches[i].ends_epoch = i == 4;
  }
  return batches;
}

// All that some steps leave behind.
struct Trained {
  std::vector<real> values, mean, variance, average;
  std::vector<double> losses, log_probabilities, norms;
  bool operator==(const Trained&) const = default;
};

Trained trained(const std::vector<std::string>& sets, Device device, int profiled_step = -1) {
  const Config config = small_config(sets);
  Model model(config.model, kVocabulary, kVocabulary, 5, device);
  Updater updater(config, model);
  const std::vector<Batch> batches = batches_for(12);
  size_t next = 0;
  Trained result;
  for (int step = 1; next + 3 < batches.size(); ++step) {
    std::optional<Profile> profile;
    if (step == profiled_step) profile.emplace();
    const auto update = updater.update(step, 0.01 / step, [&] { return batches[next++]; }).finish();
    result.losses.push_back(update.totals.loss);
    result.log_probabilities.push_back(update.totals.log_probability);
    result.norms.push_back(update.gradient_norm);
  }
  result.values = model.parameters().values().to_host();
  result.mean = updater.optimizer().mean().to_host();
  result.variance = updater.optimizer().variance().to_host();
  if (updater.optimizer().average().defined())
    result.average = updater.optimizer().average().to_host();
  return result;
}

const std::vector<std::vector<std::string>> kUses = {
    {},
    {"training.accumulate=3"},
    {"training.ema_decay=0.9"},
    {"training.precision=bf16"},
    // fewer positions than lengths are rounded up to
    {"model.decoder.positions=learned", "model.decoder.max_positions=46", "data.max_length=45",
     "decoding.max_length=45"},
    {"training.clip_norm=0", "training.optimizer=adamw"},
};

TEST(Graphs, OfStepsGiveTheSameBitsAsTheSteps) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    for (std::vector<std::string> sets : kUses) {
      SCOPED_TRACE(testing::PrintToString(sets));
      const Trained with = trained(sets, device);
      EXPECT_EQ(trained(sets, device, /*profiled_step=*/4), with) << "a step apart changes nothing";
      sets.push_back("training.cuda_graphs=false");
      EXPECT_EQ(trained(sets, device), with);
    }
  }
}

TEST(Graphs, AreNotMadeWhereEachOperationIsLookedAt) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus())
    EXPECT_EQ(trained({"training.debug_nan=true"}, device), trained({}, device));
}

// The batches are rounded up there, and the masks of dropout are the same.
TEST(Graphs, OfStepsTrainAsACpuDoes) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    for (const std::vector<std::string>& sets : kUses) {
      SCOPED_TRACE(testing::PrintToString(sets));
      const bool low = testing::PrintToString(sets).find("bf16") != std::string::npos;
      if (low) continue;  // not every CPU has it
      const Trained gpu = trained(sets, device), cpu = trained(sets, Device{});
      ASSERT_EQ(gpu.losses.size(), cpu.losses.size());
      for (size_t i = 0; i < cpu.losses.size(); ++i) {
        EXPECT_NEAR(gpu.losses[i], cpu.losses[i], 1e-4 * cpu.losses[i]) << "step " << i + 1;
        EXPECT_NEAR(gpu.norms[i], cpu.norms[i], 1e-3 * cpu.norms[i]) << "step " << i + 1;
        EXPECT_NEAR(gpu.log_probabilities[i], cpu.log_probabilities[i],
                    -1e-4 * cpu.log_probabilities[i]);
      }
    }
  }
}

// A recurrent model's work depends on every length: it has no graphs, and its batches are as they
// are.
TEST(Graphs, AreNotMadeOfRecurrentModels) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  const char* const yaml =
      "model:\n"
      "  tie_output: false\n"
      "  encoder: {type: gru, layers: 1, dim: 8, embedding_dim: 12}\n"
      "  decoder: {type: transformer, layers: 1, dim: 12, heads: 2, ffn_dim: 16}\n"
      "training: {precision: fp32}\n";
  for (const Device device : gpus()) {
    const auto losses = [&](Device on) {
      const Config config = parse_config(yaml, "test");
      Model model(config.model, kVocabulary, kVocabulary, 5, on);
      Updater updater(config, model);
      std::vector<double> list;
      for (const Batch& batch : batches_for(4)) {
        const auto step = std::ssize(list) + 1;
        list.push_back(updater.update(step, 0.01, [&] { return batch; }).finish().totals.loss);
      }
      return list;
    };
    const std::vector<double> gpu = losses(device), cpu = losses(Device{});
    for (size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(gpu[i], cpu[i], 1e-4 * cpu[i]);
  }
}

// What is launched for a step that is repeated is not launched by the host.
TEST(Graphs, SpareTheHostTheLaunches) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    const auto allocations = [&](const std::vector<std::string>& sets) {
      const Config config = small_config(sets);
      Model model(config.model, kVocabulary, kVocabulary, 5, device);
      Updater updater(config, model);
      const Batch batch = batches_for(1)[0];
      const auto update = [&](int step) { updater.update(step, 0.01, [&] { return batch; }); };
      update(1);
      update(2);
      const uint64_t before = Allocator::of(device).statistics().allocations;
      update(3);
      return Allocator::of(device).statistics().allocations - before;
    };
    EXPECT_EQ(allocations({}), 0u);
    EXPECT_GT(allocations({"training.cuda_graphs=false"}), 50u);
  }
}

TEST(StepGraphs, AreMadeTheSecondTimeAndForgottenWhenTheyAreMany) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    StepGraphs graphs(device);
    // Adds up the first ids of the batches: as the losses of an update.
    const Record<UpdateResult> sum(device);
    const Variable table(Tensor::from(std::vector<real>{0, 1, 2, 3, 4, 5}, {6, 1}, device));
    int calls = 0;
    const StepGraphs::Work work = [&](const DeviceBatch& batch) {
      ++calls;
      Tape tape(/*recording=*/false);
      const Variable ids = embedding(tape, table, batch.source().ids);
      add_loss({ids, ids.value()}, /*first=*/false, sum);
      return uint32_t{7};
    };
    const auto run = [&](int32_t id, int number) {
      Batch batch;
      batch.append(std::vector<int32_t>{id}, std::vector<int32_t>{4}, 0);
      EXPECT_EQ(graphs.run({exact_bucket(batch), number}, batch, work), 7u);
    };
    for (int32_t id = 1; id <= 5; ++id) run(id, 0);
    EXPECT_EQ(calls, 2) << "once as it is, once for the graph";
    EXPECT_EQ(sum.read().loss, 1 + 2 + 3 + 4 + 5);
    for (int number = 1; number <= 200; ++number) run(1, number);
    EXPECT_EQ(graphs.size(), 128u);
    calls = 0;
    run(1, 200);
    run(1, 0);
    EXPECT_EQ(calls, 2) << "a graph of the last, and the first anew";
    const auto fails = [](const DeviceBatch&) -> uint32_t { fail("not now"); };
    Batch batch;
    batch.append(std::vector<int32_t>{5, 5}, std::vector<int32_t>{4}, 0);
    EXPECT_THROW(graphs.run({exact_bucket(batch)}, batch, fails), Error);
    calls = 0;
    graphs.run({exact_bucket(batch)}, batch, work);
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(sum.read().loss, 15 + 200 + 2 + 5) << "what failed does not count as done";
  }
}

}  // namespace
}  // namespace dragoman
