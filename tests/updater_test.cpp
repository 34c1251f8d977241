// Updates of a model on every device: their precision, and batches that do not fit into memory.
#include "train/updater.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "core/rng.h"
#include "device_names.h"
#include "tensor/gemm.h"

namespace dragoman {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

constexpr int64_t kVocabulary = 600;  // the logits are most of what a batch takes

Config config_of(const std::vector<std::string>& sets) {
  std::vector<std::string> all = {"training.precision=fp32"};
  for (const std::string side : {"model.encoder.", "model.decoder."}) {
    for (const char* set :
         {"layers=1", "dim=16", "heads=2", "ffn_dim=16", "dropout=0", "embedding_dropout=0"})
      all.push_back(side + set);
  }
  all.insert(all.end(), sets.begin(), sets.end());
  return parse_config("", "test", all);
}

Batch random_batch(int sentences, int length, uint64_t seed) {
  Random random(seed);
  Batch batch;
  for (int i = 0; i < sentences; ++i) {
    const auto pieces = [&] {
      std::vector<int32_t> ids(static_cast<size_t>(length));
      for (int32_t& id : ids) id = static_cast<int32_t>(3 + random.below(kVocabulary - 3));
      return ids;
    };
    batch.append(pieces(), pieces(), i);
  }
  return batch;
}

// A model that takes the batches of a list, one after the other.
class Trained {
 public:
  Trained(Device device, const std::vector<std::string>& sets)
      : config_(config_of(sets)),
        model_(config_.model, kVocabulary, kVocabulary, 1, device),
        updater_(config_, model_) {}

  Updater::Update update(std::vector<Batch> batches) {
    std::deque<Batch> left(batches.begin(), batches.end());
    const auto next = [&] {
      check(!left.empty(), "there are no more batches");
      Batch batch = left.front();
      left.pop_front();
      return batch;
    };
    return updater_.update(++step_, 1e-3, next).finish();
  }
  std::vector<real> values() const { return model_.parameters().values().to_host(); }
  Precision precision() const { return updater_.precision(); }

 private:
  Config config_;
  Model model_;
  Updater updater_;
  int64_t step_ = 0;
};

double distance(const std::vector<real>& a, const std::vector<real>& b) {
  double square = 0;
  for (size_t i = 0; i < a.size(); ++i) square += double(a[i] - b[i]) * double(a[i] - b[i]);
  return std::sqrt(square);
}

class UpdaterTest : public testing::TestWithParam<Device> {
 protected:
  ~UpdaterTest() override { allocator_.set_limit(std::numeric_limits<size_t>::max()); }

  Trained trained(const std::vector<std::string>& sets = {}) const { return {GetParam(), sets}; }

  // Limits memory to this share of what an update with `batch_` takes, beside what is held now.
  void limit(double share) {
    allocator_.set_limit(std::numeric_limits<size_t>::max());
    size_t needed = 0;
    {
      Trained whole = trained();
      allocator_.release_cached();
      allocator_.reset_peak();
      const size_t before = allocator_.statistics().reserved;
      whole.update({batch_});
      needed = allocator_.statistics().peak_reserved - before;
    }
    allocator_.release_cached();
    allocator_.set_limit(allocator_.statistics().reserved +
                         static_cast<size_t>(share * static_cast<double>(needed)));
  }

  Allocator& allocator_ = Allocator::of(GetParam());
  Batch batch_ = random_batch(16, 20, 1);
  Batch small_ = random_batch(2, 20, 2);
};

INSTANTIATE_TEST_SUITE_P(Devices, UpdaterTest, testing::ValuesIn(all_devices()),
                         [](const auto& row) { return name_of(row.param); });

TEST_P(UpdaterTest, ThePrecisionIsOneOfTheDevices) {
  const Device device = GetParam();
  const auto precision = [&](const std::string& name) {
    return to_string(trained({"training.precision=" + name}).precision());
  };
  EXPECT_EQ(precision("fp32"), "fp32");
  EXPECT_EQ(precision("auto"), has_bf16_products(device) ? "bf16" : "fp32");
  if (device.on_gpu()) {
    EXPECT_EQ(precision("auto"), "bf16");
    EXPECT_EQ(precision("tf32"), "tf32");
  } else {
    EXPECT_THAT([&] { precision("tf32"); },
                ThrowsMessage<Error>(StartsWith("training.precision: tf32 is for GPUs")));
  }
}

TEST_P(UpdaterTest, EachPrecisionHasItsRounding) {
  if (!GetParam().on_gpu()) GTEST_SKIP() << "trainer_test has those of the cpu";
  const auto values = [&](const std::string& name) {
    Trained model = trained({"training.precision=" + name, "training.epsilon=1"});
    model.update({batch_});
    return model.values();
  };
  const std::vector<real> fp32 = values("fp32"), tf32 = values("tf32"), bf16 = values("bf16");
  const double step = distance(fp32, trained().values());
  EXPECT_GT(distance(tf32, fp32), 0);
  EXPECT_GT(distance(bf16, fp32), distance(tf32, fp32));
  EXPECT_LT(distance(bf16, fp32), 0.05 * step);
}

TEST_P(UpdaterTest, ABatchThatDoesNotFitIsNamed) {
  Trained model = trained();
  const std::vector<real> before = model.values();
  limit(0.5);
  EXPECT_THAT([&] { model.update({batch_}); },
              ThrowsMessage<Error>(AllOf(
                  StartsWith("step 1: out of memory on " + to_string(GetParam())),
                  HasSubstr("16 sentences, 336 source and 336 target tokens, the longest of 21"),
                  HasSubstr("lower training.batch_tokens (4096)"), HasSubstr("skip or split"))));
  EXPECT_EQ(model.values(), before);
}

TEST_P(UpdaterTest, ABatchThatDoesNotFitIsSkipped) {
  const std::vector<std::string> two = {"training.accumulate=2"};
  Trained expected = trained();
  expected.update({small_});
  for (const std::vector<Batch>& batches :
       {std::vector{small_, batch_}, std::vector{batch_, small_},
        std::vector{batch_, batch_, small_}}) {
    Trained model = trained(
        {"training.on_out_of_memory=skip", fmt::format("training.accumulate={}", batches.size())});
    limit(0.5);
    const Updater::Update update = model.update(batches);
    EXPECT_EQ(update.totals.target_tokens, small_.target_output.tokens());
    EXPECT_EQ(model.values(), expected.values()) << "the gradients were begun anew";
  }
  // Where nothing of an update is left, the next batch is taken; but not for ever.
  Trained model = trained({"training.on_out_of_memory=skip"});
  limit(0.5);
  model.update({batch_, batch_, small_});
  EXPECT_EQ(model.values(), expected.values());
  EXPECT_THAT([&] { model.update(std::vector<Batch>(200, batch_)); },
              ThrowsMessage<Error>(HasSubstr("100 batches in a row did not fit")));
}

// Graphs keep about as much as a step takes: a batch of another shape may lack just that.
TEST_P(UpdaterTest, WhatGraphsKeepIsGivenUpBeforeABatchIs) {
  const Batch others[] = {random_batch(15, 24, 3), random_batch(17, 18, 4)};
  const auto values_after = [&](Trained model) {
    for (int round = 0; round < 2; ++round) {
      for (const Batch& batch : {batch_, batch_, others[0], others[1]}) model.update({batch});
    }
    return model.values();
  };
  const std::vector<real> expected = values_after(trained());
  limit(1.6);
  EXPECT_EQ(values_after(trained({"training.on_out_of_memory=skip"})), expected);
}

TEST_P(UpdaterTest, ABatchThatDoesNotFitIsSplitAndMakesTheSameUpdate) {
  const std::vector<std::string> large_epsilon = {"training.epsilon=1"};  // steps like gradients
  Trained whole = trained(large_epsilon);
  const std::vector<real> before = whole.values();
  const Updater::Update expected = whole.update({batch_});
  const double step = distance(whole.values(), before);
  for (const double share : {0.75, 0.4}) {
    Trained model = trained({"training.epsilon=1", "training.on_out_of_memory=split"});
    limit(share);
    const Updater::Update update = model.update({batch_});
    EXPECT_NE(model.values(), whole.values()) << "it was not split";
    EXPECT_LT(distance(model.values(), whole.values()), 1e-4 * step);
    EXPECT_EQ(update.totals.target_tokens, expected.totals.target_tokens);
    EXPECT_EQ(update.totals.source_tokens, expected.totals.source_tokens);
    EXPECT_NEAR(update.totals.loss, expected.totals.loss, 1e-5 * expected.totals.loss);
    EXPECT_NEAR(update.gradient_norm, expected.gradient_norm, 1e-5 * expected.gradient_norm);
  }
}

TEST_P(UpdaterTest, OneSentenceThatDoesNotFitCannotBeSplit) {
  Trained model = trained({"training.on_out_of_memory=split"});
  limit(0.02);
  EXPECT_THAT([&] { model.update({batch_}); },
              ThrowsMessage<Error>(AllOf(HasSubstr("the batch has 1 sentence, 21 source"),
                                         HasSubstr("cannot be split: lower data.max_length"))));
}

}  // namespace
}  // namespace dragoman
