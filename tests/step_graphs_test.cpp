// Updates on a GPU: graphs of steps against the same steps without, and against a CPU. Where there
// is no GPU these are skipped; the build that emulates one runs them.
#include "train/step_graphs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

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

constexpr const char* kTransformer =
    "model:\n"
    "  encoder: {type: transformer, layers: 2, dim: 16, heads: 2, ffn_dim: 24, dropout: 0.1}\n"
    "  decoder: {type: transformer, layers: 1, dim: 16, heads: 2, ffn_dim: 24,\n"
    "            attention_dropout: 0.2}\n";
constexpr const char* kRecurrent =
    "model:\n"
    "  tie_output: false\n"
    "  encoder: {type: gru, layers: 1, dim: 8, embedding_dim: 12, dropout: 0.1}\n"
    "  decoder: {type: gru, layers: 1, dim: 16, embedding_dim: 12, readout_dim: 12, dropout: "
    "0.2}\n";
constexpr const char* kMixed =
    "model:\n"
    "  tie_output: false\n"
    "  encoder: {type: transformer, layers: 1, dim: 16, heads: 2, ffn_dim: 24, dropout: 0.1}\n"
    "  decoder: {type: lstm, layers: 2, dim: 16, embedding_dim: 16, readout_dim: 12, dropout: "
    "0.2}\n";

// A model and what else is set.
struct Use {
  std::string model = kTransformer;
  std::vector<std::string> sets = {};
  bool recurrent() const { return model != kTransformer; }
};

Config small_config(const Use& use) {
  return parse_config(use.model + "training: {clip_norm: 1, precision: fp32}\n", "test", use.sets);
}

// Batches of sentences of some lengths, longest targets first, a few of each of two shapes; the
// fifth ends an epoch. Those of recurrent models, which launch much at every step, are fewer, of
// shorter sentences and of one shape.
std::vector<Batch> batches_for(const Use& use) {
  Random random(1);
  const auto ids = [&](uint64_t least) {
    std::vector<int32_t> list(least + random.below(3));
    for (int32_t& id : list) id = static_cast<int32_t>(3 + random.below(kVocabulary - 3));
    return list;
  };
  std::vector<Batch> batches(use.recurrent() ? 7 : 12);
  for (size_t i = 0; i < batches.size(); ++i) {
    const uint64_t shift = i % 3 == 2 && !use.recurrent() ? 30 : 0;
    for (const uint64_t least : {12, 8, 4}) {
      const uint64_t length = use.recurrent() ? least / 2 - 1 : least;
      batches[i].append(ids(3), ids(length + shift), 0);
    }
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

Trained trained(const Use& use, Device device, int profiled_step = -1) {
  const Config config = small_config(use);
  Model model(config.model, kVocabulary, kVocabulary, 5, device);
  Updater updater(config, model);
  const std::vector<Batch> batches = batches_for(use);
  size_t next = 0;
  Trained result;
  for (int step = 1; next + 2 < batches.size(); ++step) {
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

const std::vector<Use> kUses = {
    {kTransformer, {}},
    {kTransformer, {"training.accumulate=3"}},
    {kTransformer, {"training.ema_decay=0.9"}},
    {kTransformer, {"training.precision=bf16"}},
    // fewer positions than lengths are rounded up to
    {kTransformer,
     {"model.decoder.positions=learned", "model.decoder.max_positions=46", "data.max_length=45",
      "decoding.max_length=45"}},
    {kTransformer, {"training.clip_norm=0", "training.optimizer=adamw"}},
    {kRecurrent, {"training.accumulate=2"}},
    {kRecurrent, {"training.precision=bf16", "model.decoder.type=lstm"}},
    {kRecurrent, {"model.decoder.attention=none", "model.encoder.type=lstm"}},
    {kRecurrent, {"model.decoder.attention=general", "model.decoder.readout=maxout"}},
    {kRecurrent, {"model.decoder.attention=dot", "model.decoder.input_feeding=true"}},
    {kMixed, {"training.accumulate=2"}},
};

TEST(Graphs, OfStepsGiveTheSameBitsAsTheSteps) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    for (Use use : kUses) {
      SCOPED_TRACE(use.model + testing::PrintToString(use.sets));
      const Trained with = trained(use, device);
      EXPECT_EQ(trained(use, device, /*profiled_step=*/3), with) << "a step apart changes nothing";
      use.sets.push_back("training.cuda_graphs=false");
      EXPECT_EQ(trained(use, device), with);
    }
  }
}

TEST(Graphs, AreNotMadeWhereEachOperationIsLookedAt) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus())
    EXPECT_EQ(trained({.sets = {"training.debug_nan=true"}}, device), trained({}, device));
}

// The batches are rounded up there, and the masks of dropout are the same.
TEST(Graphs, OfStepsTrainAsACpuDoes) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    for (const Use& use : kUses) {
      const std::string sets = testing::PrintToString(use.sets);
      SCOPED_TRACE(use.model + sets);
      if (sets.find("bf16") != std::string::npos) continue;  // not every CPU has it
      const Trained gpu = trained(use, device), cpu = trained(use, Device{});
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

// A batch of two sentences, with that many source and target pieces.
Batch batch_of(const std::array<int, 4>& lengths) {
  const auto ids = [](int n) { return std::vector<int32_t>(static_cast<size_t>(n), 3 + n); };
  Batch batch;
  batch.append(ids(lengths[0]), ids(lengths[1]), 0);
  batch.append(ids(lengths[2]), ids(lengths[3]), 1);
  return batch;
}

// What is launched for a step that is repeated is not launched by the host, whatever the lengths of
// sentences that are rounded up to the same.
TEST(Graphs, SpareTheHostTheLaunches) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    const auto allocations = [&](Use use, bool graphs) {
      if (!graphs) use.sets.push_back("training.cuda_graphs=false");
      const Config config = small_config(use);
      Model model(config.model, kVocabulary, kVocabulary, 5, device);
      Updater updater(config, model);
      const std::vector<Batch> batches = {batch_of({12, 15, 5, 9}), batch_of({9, 14, 14, 8}),
                                          batch_of({13, 14, 3, 13})};
      for (const Batch& batch : batches)
        EXPECT_EQ(model.rounded_bucket(batch), model.rounded_bucket(batches[0]));
      const auto update = [&](int step) {
        updater.update(step, 0.01, [&] { return batches[static_cast<size_t>(step) - 1]; });
      };
      update(1);
      update(2);
      const uint64_t before = Allocator::of(device).statistics().allocations;
      update(3);
      return Allocator::of(device).statistics().allocations - before;
    };
    for (const char* const model : {kTransformer, kRecurrent, kMixed}) {
      SCOPED_TRACE(model);
      EXPECT_EQ(allocations({model, {}}, true), 0u);
      EXPECT_GT(allocations({model, {}}, false), 50u);
    }
  }
}

TEST(StepGraphs, AreMadeTheSecondTimeAndForgottenWhenTheyAreMany) {
  if (gpus().empty()) GTEST_SKIP() << "no GPU";
  for (const Device device : gpus()) {
    StepGraphs graphs(device);
    // Adds up the first ids of the batches: as the losses of an update.
    const Record<StepResult> sum(device);
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
      EXPECT_EQ(graphs.run({exact_bucket(batch, {}, {}), number}, batch, work), 7u);
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
    EXPECT_THROW(graphs.run({exact_bucket(batch, {}, {})}, batch, fails), Error);
    calls = 0;
    graphs.run({exact_bucket(batch, {}, {})}, batch, work);
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(sum.read().loss, 15 + 200 + 2 + 5) << "what failed does not count as done";
  }
}

}  // namespace
}  // namespace dragoman
