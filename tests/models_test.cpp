// Every architecture through the one interface of a model.
#include "models/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>

#include "architectures.h"
#include "core/rng.h"
#include "device_names.h"

namespace dragoman {
namespace {

// Every architecture on every device.
class EveryModel : public testing::TestWithParam<std::tuple<Architecture, Device>> {
 protected:
  Tensor ids(const std::vector<int32_t>& list) const {
    return Tensor::from(list, {std::ssize(list)}, model_.device());
  }

  Model model_{std::get<Architecture>(GetParam()).config, kVocabulary, kVocabulary, 7,
               std::get<Device>(GetParam())};
  Sentences source_ = random_sentences({3, 7, 1, 5}, 1);
  Sentences target_ = random_sentences({6, 5, 2, 1}, 2);  // longest first
};

std::vector<real> row_of(const Tensor& matrix, int64_t row) {
  return matrix.slice_rows(row, row + 1).to_host();
}

void expect_near(const std::vector<real>& a, const std::vector<real>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 2e-5) << "element " << i;
}

TEST_P(EveryModel, SteppingEqualsTeacherForcing) {
  Tape tape(false);
  const Batch batch = batch_of(source_, target_);
  const Sentences& target = batch.target_input;
  const DeviceBatch loaded = model_.load(batch);
  const Memory memory = model_.encode(tape, loaded.source());
  const Tensor forced = model_.decode(tape, memory, loaded.target_input()).value();
  const auto state = model_.start(tape, memory);
  // All sentences step together, each with its own tokens; one that is at its end reads a filler.
  for (int64_t t = 0; t < target.max_length(); ++t) {
    std::vector<int32_t> last;
    for (int32_t s = 0; s < target.size(); ++s) {
      last.push_back(t < target.length(s) ? target[s][static_cast<size_t>(t)] : 3);
    }
    const Model::Step step = model_.step(tape, *state, ids(last));
    for (int32_t s = 0; s < target.size(); ++s) {
      if (t >= target.length(s)) continue;
      SCOPED_TRACE("sentence " + std::to_string(s) + " token " + std::to_string(t));
      expect_near(row_of(step.logits, s),
                  row_of(forced, target.offsets[static_cast<size_t>(s)] + t));
    }
  }
}

// A layer that reads all tokens at once needs no order of time, which takes the host a while to
// make.
TEST_P(EveryModel, OnlyRecurrentLayersAreGivenTheOrderInTime) {
  const Architecture& architecture = std::get<Architecture>(GetParam());
  const bool reads = !architecture.config.encoder.is_transformer();
  const bool writes = !architecture.config.decoder.is_transformer();
  const DeviceBatch batch = model_.load(batch_of(source_, target_));
  EXPECT_EQ(model_.load(source_).packing.forwards.rows.defined(), reads);
  EXPECT_EQ(batch.source().packing.forwards.rows.defined(), reads);
  EXPECT_EQ(batch.source().packing.backwards.rows.defined(), reads);
  EXPECT_EQ(batch.target_input().packing.forwards.rows.defined(), writes);
}

TEST_P(EveryModel, ReorderedHypothesesGoOnFromTheirRows) {
  Tape tape(false);
  const Memory memory = model_.encode(tape, model_.load(source_));
  const auto state = model_.start(tape, memory);
  model_.step(tape, *state, ids({3, 4, 5, 6}));
  // Two hypotheses of sentence 2, one of sentence 0, in this order.
  model_.reorder(*state, ids({2, 2, 0}));
  model_.step(tape, *state, ids({7, 8, 9}));
  model_.reorder(*state, ids({2, 1}));
  const Tensor logits = model_.step(tape, *state, ids({10, 11})).logits;
  const auto alone = [&](int32_t sentence, const std::vector<int32_t>& read) {
    Sentences one;
    one.append(source_[sentence]);
    const Memory part = model_.encode(tape, model_.load(one));
    const auto fresh = model_.start(tape, part);
    Tensor last;
    for (const int32_t id : read) {
      last = model_.step(tape, *fresh, ids({id})).logits;
    }
    return row_of(last, 0);
  };
  expect_near(row_of(logits, 0), alone(0, {3, 9, 10}));
  expect_near(row_of(logits, 1), alone(2, {5, 8, 11}));
}

TEST_P(EveryModel, AttentionOfAStepIsADistributionOverTheSource) {
  Tape tape(false);
  const Memory memory = model_.encode(tape, model_.load(source_));
  const auto state = model_.start(tape, memory);
  const Model::Step step = model_.step(tape, *state, ids({1, 1, 1, 1}), true);
  ASSERT_EQ(step.attention.defined(), model_.has_attention());
  if (!model_.has_attention()) return;
  for (int32_t s = 0; s < source_.size(); ++s) {
    const std::vector<real> weights = row_of(step.attention, s);
    real total = 0;
    for (int32_t j = 0; j < static_cast<int32_t>(weights.size()); ++j) {
      if (j >= source_.length(s)) {
        EXPECT_EQ(weights[static_cast<size_t>(j)], 0);
      }
      total += weights[static_cast<size_t>(j)];
    }
    EXPECT_NEAR(total, 1, 1e-5);
  }
}

// What a batch in some shapes gives: its loss, log-probabilities and gradients.
struct Outcome {
  double loss;
  std::vector<real> log_probabilities, gradient;
};
Outcome outcome(const Model& model, const DeviceBatch& batch, bool training) {
  Tape tape;
  if (training) tape.set_training(3, 4);
  model.parameters().begin_gradients();
  const CrossEntropy result = model.loss(tape, batch, real(0.1));
  Outcome found{result.loss.value().to_host()[0], result.log_probabilities.to_host(), {}};
  tape.backward(result.loss);
  model.parameters().complete_gradients();
  found.gradient = model.parameters().gradients().to_host();
  return found;
}

void expect_same(const Outcome& filled, const Outcome& exact) {
  EXPECT_NEAR(filled.loss, exact.loss, 1e-5 * exact.loss);
  const size_t real_tokens = exact.log_probabilities.size();
  for (size_t i = 0; i < filled.log_probabilities.size(); ++i) {
    ASSERT_NEAR(filled.log_probabilities[i], i < real_tokens ? exact.log_probabilities[i] : 0, 2e-5)
        << "token " << i;
  }
  ASSERT_EQ(filled.gradient.size(), exact.gradient.size());
  for (size_t i = 0; i < exact.gradient.size(); ++i) {
    ASSERT_NEAR(filled.gradient[i], exact.gradient[i], 2e-5 + 5e-4 * std::abs(exact.gradient[i]))
        << "parameter " << i;
  }
}

TEST_P(EveryModel, WhatFillsABatchUpChangesNothing) {
  const Batch batch = batch_of(source_, target_);
  const Bucket exact = model_.exact_bucket(batch);
  const Outcome expected = outcome(model_, model_.load(batch), false);
  const Bucket rounded = model_.rounded_bucket(batch);
  EXPECT_GE(rounded.source_tokens, exact.source_tokens + 1);
  // By sentences alone, by tokens of one side, by longer ones, by all, and by steps.
  std::vector<Bucket> buckets(6, exact);
  buckets[0].sentences += 3;
  buckets[1].sentences += 2;
  buckets[1].source_tokens += 4;
  buckets[2].sentences += 9;
  buckets[2].target_tokens += 8;
  buckets[3].longest_source += 7;
  buckets[3].longest_target += 9;
  buckets[4] = rounded;
  buckets[5].sentences += 2;
  buckets[5].source_steps = {6, 6, 5, 4, 3, 2, 2, 2, 1, 1};
  buckets[5].target_steps = {6, 4, 4, 2, 2, 2, 2, 2};
  // An emulated GPU is slow: there those that are filled in several ways.
  if (model_.device().on_gpu()) buckets.erase(buckets.begin(), buckets.begin() + 4);
  Allocator::of(model_.device()).set_poison(true);
  for (size_t i = 0; i < buckets.size(); ++i) {
    SCOPED_TRACE(i);
    expect_same(outcome(model_, DeviceBatch(batch, buckets[i], model_.device()), false), expected);
  }
  Allocator::of(model_.device()).set_poison(false);
}

INSTANTIATE_TEST_SUITE_P(Architectures, EveryModel,
                         testing::Combine(testing::ValuesIn(architectures()),
                                          testing::ValuesIn(all_devices())),
                         [](const auto& row) {
                           return std::get<Architecture>(row.param).name + "_" +
                                  name_of(std::get<Device>(row.param));
                         });

TEST(Gpu, AllModelsAreTestedOnOne) {
  if (!why_no_gpu().empty()) GTEST_SKIP() << why_no_gpu();
}

TEST(Model, TiesShareTheirParameters) {
  const auto count = [](const std::vector<std::string>& sets) {
    std::vector<std::string> all = {"model.encoder.dim=12", "model.decoder.dim=12",
                                    "model.encoder.heads=3", "model.decoder.heads=3"};
    all.insert(all.end(), sets.begin(), sets.end());
    const ModelConfig config = parse_config("name: test", "test", all).model;
    return Model(config, kVocabulary, kVocabulary, 1, Device{}).parameters().count();
  };
  const int64_t table = 12 * kVocabulary;
  const int64_t tied = count({});
  EXPECT_EQ(count({"model.tie_output=false"}), tied + table);
  EXPECT_EQ(count({"model.tie_source_target=false"}), tied + table);
  EXPECT_EQ(count({"model.tie_source_target=false", "model.tie_output=false"}), tied + 2 * table);
}

TEST(Model, ScaledEmbeddingsAreLarger) {
  ModelConfig config = small_model("transformer", "transformer");
  const Sentences source = random_sentences({4}, 3);
  const auto states = [&] {
    const Model model(config, kVocabulary, kVocabulary, 1, Device{});
    Tape tape(false);
    return model.encode(tape, model.load(source)).states.value().to_host();
  };
  const std::vector<real> scaled = states();
  config.scale_embeddings = false;
  EXPECT_NE(scaled, states());
}

TEST(Model, InitialWeightsFollowTheConfiguration) {
  ModelConfig config = small_model("transformer", "transformer");
  const auto largest = [&] {
    const Model model(config, kVocabulary, kVocabulary, 1, Device{});
    real most = 0;
    for (const auto& entry : model.parameters().entries()) {
      if (entry.start != Start::kWeights) continue;
      for (const real w : Parameters::part(model.parameters().values(), entry).to_host()) {
        most = std::max(most, std::abs(w));
      }
    }
    return most;
  };
  config.initializer = InitializerKind::kUniform;
  config.init_scale = 0.25;
  EXPECT_LE(largest(), 0.25);
  EXPECT_GT(largest(), 0.24);
  config.initializer = InitializerKind::kNormal;
  EXPECT_GT(largest(), 0.5);
  config.initializer = InitializerKind::kXavierUniform;
  const real uniform = largest();
  config.initializer = InitializerKind::kXavierNormal;
  EXPECT_GT(largest(), uniform);
}

TEST(Model, SameSeedSameWeights) {
  const ModelConfig config = small_model("lstm", "gru");
  const Model a(config, kVocabulary, kVocabulary, 5, Device{}),
      b(config, kVocabulary, kVocabulary, 5, Device{});
  const Model c(config, kVocabulary, kVocabulary, 6, Device{});
  EXPECT_EQ(a.parameters().values().to_host(), b.parameters().values().to_host());
  EXPECT_NE(a.parameters().values().to_host(), c.parameters().values().to_host());
}

// Every dropout of the configuration changes the loss while training, and none does otherwise.
TEST(Model, EveryDropoutTakesPart) {
  struct Case {
    std::string encoder, decoder, key;
  };
  const std::vector<Case> cases = {{"transformer", "transformer", "encoder.dropout"},
                                   {"transformer", "transformer", "decoder.dropout"},
                                   {"transformer", "transformer", "encoder.embedding_dropout"},
                                   {"transformer", "transformer", "decoder.embedding_dropout"},
                                   {"transformer", "transformer", "encoder.attention_dropout"},
                                   {"transformer", "transformer", "decoder.attention_dropout"},
                                   {"transformer", "transformer", "encoder.activation_dropout"},
                                   {"transformer", "transformer", "decoder.activation_dropout"},
                                   {"gru", "lstm", "encoder.dropout"},
                                   {"gru", "lstm", "decoder.dropout"},
                                   {"gru", "lstm", "encoder.embedding_dropout"},
                                   {"gru", "lstm", "decoder.embedding_dropout"}};
  const Batch batch = batch_of(random_sentences({6, 4}, 1), random_sentences({5, 3}, 2));
  for (const Case& row : cases) {
    SCOPED_TRACE(row.encoder + " " + row.key);
    const auto loss = [&](bool dropped, bool training) {
      std::vector<std::string> sets;
      for (const char* side : {"encoder", "decoder"}) {
        sets.push_back(std::string("model.") + side + ".dropout=0");
        sets.push_back(std::string("model.") + side + ".embedding_dropout=0");
      }
      if (dropped) sets.push_back("model." + row.key + "=0.5");
      const Model model(small_model(row.encoder, row.decoder, sets), kVocabulary, kVocabulary, 1,
                        Device{});
      Tape tape(false);
      if (training) tape.set_training(1, 1);
      return model.loss(tape, model.load(batch), 0).loss.value().to_host()[0];
    };
    EXPECT_NE(loss(true, true), loss(false, true));
    EXPECT_EQ(loss(true, false), loss(false, false));
  }
}

TEST(Model, DropoutIsThatOfTheBatchWithoutItsFilling) {
  const std::vector<std::string> attention = {"model.encoder.attention_dropout=0.3",
                                              "model.decoder.attention_dropout=0.3",
                                              "model.decoder.activation_dropout=0.3"};
  const std::vector<std::string> feeding = {"model.decoder.input_feeding=true"};
  const Batch batch = batch_of(random_sentences({40, 70, 3}, 1), random_sentences({66, 5, 5}, 2));
  for (const auto& [encoder, decoder, more] :
       {std::tuple("transformer", "transformer", attention),
        std::tuple("gru", "lstm", std::vector<std::string>()),
        std::tuple("transformer", "gru", feeding)}) {
    SCOPED_TRACE(decoder);
    std::vector<std::string> sets = {"model.encoder.dropout=0.3", "model.decoder.dropout=0.3",
                                     "model.encoder.embedding_dropout=0.3",
                                     "model.decoder.embedding_dropout=0.3"};
    sets.insert(sets.end(), more.begin(), more.end());
    const Model model(small_model(encoder, decoder, sets), kVocabulary, kVocabulary, 7, Device{});
    expect_same(
        outcome(model, DeviceBatch(batch, model.rounded_bucket(batch), model.device()), true),
        outcome(model, model.load(batch), true));
  }
}

// More than what additive attention tells the device in one launch.
TEST(Model, AdditiveAttentionOfManySentencesIsThatOfEach) {
  constexpr int kMany = 600;
  for (const Device device : all_devices()) {
    const Model model(small_model("gru", "gru"), kVocabulary, kVocabulary, 7, device);
    const auto outcome_of = [&](int copies) {
      Batch batch;
      for (int i = 0; i < copies; ++i) batch.append(std::vector{5, 6}, std::vector{7}, i);
      return outcome(model, DeviceBatch(batch, model.rounded_bucket(batch), device), false);
    };
    const Outcome one = outcome_of(1), many = outcome_of(kMany);
    EXPECT_NEAR(many.loss, kMany * one.loss, 1e-4 * many.loss);
    for (size_t i = 0; i < one.gradient.size(); ++i) {
      ASSERT_NEAR(many.gradient[i] / kMany, one.gradient[i],
                  2e-5 + 1e-3 * std::abs(one.gradient[i]))
          << "parameter " << i;
    }
  }
}

TEST(DeviceBatch, RoundsUpToShapesThatBatchesShare) {
  const Batch batch =
      batch_of(random_sentences({20, 20, 19}, 1), random_sentences({33, 30, 29}, 2));
  const auto bucket_of = [](const Batch& b) { return rounded_bucket(b, {1000}, {1000}); };
  EXPECT_EQ(bucket_of(batch), (Bucket{4, 64, 96, 32, 64}));
  const Batch alike =
      batch_of(random_sentences({18, 20, 19}, 3), random_sentences({32, 31, 30}, 4));
  EXPECT_EQ(bucket_of(alike).target_tokens, 96);
  EXPECT_EQ(rounded_bucket(batch, {1000}, {40}).longest_target, 40)
      << "all that the model can write";
  DeviceBatch filled(batch, bucket_of(batch), {});
  filled.refill(alike);
  const DeviceBatch fresh(alike, bucket_of(batch), {});
  EXPECT_EQ(filled.targets().to_host<int32_t>(), fresh.targets().to_host<int32_t>());
  EXPECT_EQ(filled.source().ids.to_host<int32_t>(), fresh.source().ids.to_host<int32_t>());
  EXPECT_EQ(filled.target_input().packing.offsets.to_host<int32_t>(),
            fresh.target_input().packing.offsets.to_host<int32_t>());
}

TEST(DeviceBatch, RoundsUpTheStepsOfRecurrentLayers) {
  std::vector<int> sources(70, 9), targets(70, 3);
  sources[8] = 19;
  sources[5] = 11;
  targets[0] = 13;
  targets[1] = 12;
  const Batch batch = batch_of(random_sentences(sources, 1), random_sentences(targets, 2));
  const Bucket bucket = rounded_bucket(batch, {1000, true}, {1000, true});
  EXPECT_EQ(bucket.sentences, 80);
  // Ten tokens, `</s>` counted, and some of 12 and 20; four, and some of 13 and 14.
  std::vector<int64_t> expected(12, 80);
  expected.resize(24, 32);
  EXPECT_EQ(bucket.source_steps, expected);
  expected.assign(4, 80);
  expected.resize(14, 32);
  EXPECT_EQ(bucket.target_steps, expected);
  EXPECT_TRUE(rounded_bucket(batch, {1000, true}, {1000}).target_steps.empty());
  sources[8] = 22;
  sources[11] = 10;
  targets[2] = 12;
  const Batch alike = batch_of(random_sentences(sources, 3), random_sentences(targets, 4));
  EXPECT_EQ(rounded_bucket(alike, {1000, true}, {1000, true}), bucket);
  DeviceBatch filled(batch, bucket, {});
  filled.refill(alike);
  const DeviceBatch fresh(alike, bucket, {});
  for (const auto part : {&TimeOrder::rows, &TimeOrder::places, &TimeOrder::ends}) {
    for (const auto order : {&Packing::forwards, &Packing::backwards}) {
      EXPECT_EQ((filled.source().packing.*order.*part).to_host<int32_t>(),
                (fresh.source().packing.*order.*part).to_host<int32_t>());
    }
  }
}

// Three sentences of 2, 1 and 3 tokens, and a place more at every step.
TEST(Packing, IsReadInTimeLongestSentenceFirst) {
  const PackingPlan plan{.bounds = {0, 2, 3, 6, 8}, .longest = 3, .read = 3, .steps = {4, 3, 2, 1}};
  std::vector<int32_t> words;
  append_packing(plan, words);
  int64_t place = 0;
  const Packing packing = packing_at(Tensor::from(words, {std::ssize(words)}), place, plan);
  EXPECT_EQ(place, std::ssize(words));
  EXPECT_FALSE(packing.longest_first);
  const auto numbers = [](const Tensor& tensor) { return tensor.to_host<int32_t>(); };
  using Numbers = std::vector<int32_t>;
  EXPECT_EQ(numbers(packing.positions), (Numbers{0, 1, 0, 0, 1, 2, 0, 1}));
  EXPECT_EQ(numbers(packing.forwards.rows), (Numbers{3, 0, 2, -1, 4, 1, -1, 5, -1, -1}));
  EXPECT_EQ(numbers(packing.forwards.places), (Numbers{1, 5, 2, 0, 4, 7, -1, -1}));
  EXPECT_EQ(numbers(packing.forwards.ends), (Numbers{5, 2, 7, -1}));
  EXPECT_EQ(numbers(packing.backwards.rows), (Numbers{5, 1, 2, -1, 4, 0, -1, 3, -1, -1}));
  EXPECT_EQ(numbers(packing.backwards.ends), (Numbers{5, 2, 7, -1}));
}

TEST(DeviceBatch, RefusesWhatDoesNotFit) {
  const Batch batch = batch_of(random_sentences({4}, 1), random_sentences({3}, 2));
  EXPECT_THROW(DeviceBatch(batch, {1, 6, 4, 5, 4}, {}), Error) << "a token more and no sentence";
  EXPECT_THROW(DeviceBatch(batch, {1, 5, 3, 5, 4}, {}), Error) << "a token less";
  EXPECT_THROW(DeviceBatch(batch, {1, 5, 4, 5, 4, {1, 1, 1}, {}}, {}), Error) << "two steps less";
  EXPECT_THROW(DeviceBatch(Batch(), {}, {}), Error);
  const Batch two = batch_of(random_sentences({4, 4}, 1), random_sentences({3, 5}, 2));
  EXPECT_THROW(DeviceBatch(two, exact_bucket(two, {}, {}), {}), Error) << "longest target first";
  const Batch level = batch_of(random_sentences({4, 4}, 1), random_sentences({3, 3}, 2));
  Bucket narrow = exact_bucket(level, {.in_time = true}, {});
  narrow.source_steps.back() = 1;
  EXPECT_THROW(DeviceBatch(level, narrow, {}), Error) << "a row less";
}

TEST(Model, LearnedPositionsHaveAnEnd) {
  ModelConfig config = small_model("transformer", "transformer");
  config.encoder.positions = PositionKind::kLearned;
  config.encoder.max_positions = 5;
  const Model model(config, kVocabulary, kVocabulary, 1, Device{});
  EXPECT_EQ(model.longest_source(), 5);
  Tape tape(false);
  EXPECT_THROW(model.encode(tape, model.load(random_sentences({6}, 1))), Error);
  EXPECT_NO_THROW(model.encode(tape, model.load(random_sentences({5}, 1))));
}

}  // namespace
}  // namespace dragoman
