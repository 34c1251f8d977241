// Batches, and the stream of them.
#include <algorithm>
#include <optional>
#include <set>

#include "core/check.h"
#include "data/batch.h"
#include "data/prepare.h"
#include "data/stream.h"
#include "data_fixture.h"
#include "hdf5/file.h"

namespace dragoman {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Batches -----------------------------------------------------------------------------------------

std::vector<std::vector<int32_t>> sentences_of_lengths(const std::vector<int>& lengths) {
  std::vector<std::vector<int32_t>> sentences;
  for (const int length : lengths) sentences.emplace_back(length, 10 + length);
  return sentences;
}

TEST(BatchTest, PacksAndMarksSentences) {
  const auto batches = make_batches({{5, 6}, {7}}, {{8}, {9, 10, 11}}, 100);
  ASSERT_EQ(batches.size(), 1u);
  const Batch& batch = batches[0];
  EXPECT_EQ(batch.size(), 2);
  EXPECT_THAT(batch.indices, ElementsAre(1, 0));
  EXPECT_THAT(batch.source.ids, ElementsAre(7, 2, 5, 6, 2));
  EXPECT_THAT(batch.source.offsets, ElementsAre(0, 2, 5));
  EXPECT_THAT(batch.target_input.ids, ElementsAre(1, 9, 10, 11, 1, 8));
  EXPECT_THAT(batch.target_output.ids, ElementsAre(9, 10, 11, 2, 8, 2));
  EXPECT_THAT(batch.target_output.offsets, ElementsAre(0, 4, 6));
  EXPECT_EQ(batch.target_output.offsets, batch.target_input.offsets);
  EXPECT_EQ(batch.source.max_length(), 3);
}

TEST(BatchTest, OrdersByTargetThenSourceThenPlace) {
  const auto batches = make_batches(sentences_of_lengths({1, 2, 5, 2, 9}),
                                    sentences_of_lengths({3, 4, 3, 4, 3}), 1000);
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_THAT(batches[0].indices, ElementsAre(1, 3, 4, 2, 0));
}

TEST(BatchTest, CutsByTokensAndLeavesALongSentenceAlone) {
  const auto targets = sentences_of_lengths({4, 29, 4, 4, 4, 0});
  const auto batches = make_batches(targets, targets, 10);
  std::vector<std::vector<int64_t>> indices;
  for (const Batch& batch : batches) indices.push_back(batch.indices);
  EXPECT_THAT(indices,
              ElementsAre(ElementsAre(1), ElementsAre(0, 2), ElementsAre(3, 4), ElementsAre(5)));
  EXPECT_TRUE(make_batches({}, {}, 10).empty());
}

TEST(BatchTest, HasHalvesAndASize) {
  Batch batch;
  const std::vector<std::vector<int32_t>> sources = {{10}, {11, 12, 13, 14}, {15}};
  const std::vector<std::vector<int32_t>> targets = {{20, 21, 22}, {23}, {}};
  for (size_t i = 0; i < 3; ++i) batch.append(sources[i], targets[i], 7 + static_cast<int64_t>(i));
  EXPECT_EQ(size_text(batch), "3 sentences, 9 source and 7 target tokens, the longest of 5");
  const auto [first, second] = halves(batch);
  EXPECT_EQ(size_text(second), "1 sentence, 2 source and 1 target tokens, the longest of 2");
  Batch joined;
  for (const Batch* half : {&first, &second}) {
    for (int32_t i = 0; i < half->size(); ++i) {
      const auto place = static_cast<size_t>(half->indices[static_cast<size_t>(i)] - 7);
      joined.append(sources[place], targets[place], half->indices[static_cast<size_t>(i)]);
      EXPECT_TRUE(std::ranges::equal(half->source[i], joined.source[joined.size() - 1]));
      EXPECT_TRUE(
          std::ranges::equal(half->target_input[i], joined.target_input[joined.size() - 1]));
      EXPECT_TRUE(
          std::ranges::equal(half->target_output[i], joined.target_output[joined.size() - 1]));
    }
  }
  EXPECT_EQ(joined.indices, batch.indices);
  EXPECT_EQ(joined.source.ids, batch.source.ids);
  EXPECT_THROW(halves(second), Error);
}

TEST(BatchTest, CutsSourcesBySentencesAndTokens) {
  const auto batches = make_source_batches(sentences_of_lengths({1, 5, 2, 0, 3}), 2, 7);
  std::vector<std::vector<int64_t>> indices;
  for (const SourceBatch& batch : batches) indices.push_back(batch.indices);
  EXPECT_THAT(indices, ElementsAre(ElementsAre(1), ElementsAre(4, 2), ElementsAre(0, 3)));
  EXPECT_THAT(batches[2].source.ids, ElementsAre(11, 2, 2));

  EXPECT_EQ(size_text(batches[1]), "2 sentences, 7 source tokens, the longest of 4");
  const auto [first, second] = halves(batches[1]);
  EXPECT_EQ(size_text(first), "1 sentence, 4 source tokens, the longest of 4");
  EXPECT_THAT(first.indices, ElementsAre(4));
  EXPECT_THAT(second.indices, ElementsAre(2));
  EXPECT_TRUE(std::ranges::equal(second.source[0], batches[1].source[1]));
  EXPECT_THROW(halves(second), Error);
}

// The stream --------------------------------------------------------------------------------------

class StreamTest : public DataTest {
 protected:
  void prepare(int64_t pairs, double sampling = 0) {
    VocabularyConfig vocabulary = small_vocabulary();
    vocabulary.sampling = sampling;
    data_ = prepare_training_data(write_corpus(pairs), vocabulary, directory_ / "cache", 2);
    options_.sampling = sampling;
  }
  BatchStream open(const DataPosition& position = {}) const {
    return BatchStream(data_->dataset, data_->vocabularies, options_, position);
  }
  /// The rest of the epoch that the stream is in.
  static std::vector<Batch> rest_of_epoch(BatchStream& stream) {
    std::vector<Batch> batches;
    do {
      batches.push_back(stream.next());
    } while (!batches.back().ends_epoch);
    return batches;
  }
  static std::vector<std::vector<int64_t>> indices_of(const std::vector<Batch>& batches) {
    std::vector<std::vector<int64_t>> indices;
    for (const Batch& batch : batches) indices.push_back(batch.indices);
    return indices;
  }

  std::optional<TrainingData> data_;
  // Small batches, so that an epoch of the test has several pools of 100.
  BatchOptions options_ = {.batch_tokens = 120, .seed = 3};
};

TEST_F(StreamTest, AnEpochHasEverySentenceOnce) {
  prepare(2000);
  BatchStream stream = open();
  EXPECT_EQ(stream.sentences_per_epoch(), 2000);
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<int64_t> seen;
    const auto batches = rest_of_epoch(stream);
    for (const Batch& batch : batches) {
      EXPECT_EQ(batch.epoch, epoch);
      seen.insert(seen.end(), batch.indices.begin(), batch.indices.end());
      EXPECT_EQ(batch.sentences_done, std::ssize(seen));
    }
    ASSERT_EQ(seen.size(), 2000u);
    EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 2000u);
    EXPECT_EQ(batches.back().next, (DataPosition{epoch + 1, 0, 0}));
  }
}

TEST_F(StreamTest, BatchesAreBoundedFullAndSorted) {
  prepare(2000);
  BatchStream stream = open();
  const auto batches = rest_of_epoch(stream);
  int64_t tokens = 0;
  for (const Batch& batch : batches) {
    EXPECT_TRUE(batch.target_output.tokens() <= options_.batch_tokens || batch.size() == 1);
    tokens += batch.target_output.tokens();
    for (int32_t i = 0; i + 1 < batch.size(); ++i)
      EXPECT_GE(batch.target_output.length(i), batch.target_output.length(i + 1));
  }
  EXPECT_GT(static_cast<double>(tokens) / static_cast<double>(batches.size()),
            0.75 * static_cast<double>(options_.batch_tokens));
}

TEST_F(StreamTest, BatchesHoldThePairsTheyName) {
  prepare(300);
  BatchStream stream = open();
  const auto source = invented_text(1, 300), target = invented_text(2, 300);
  for (const Batch& batch : rest_of_epoch(stream)) {
    for (int32_t i = 0; i < batch.size(); ++i) {
      EXPECT_EQ(data_->vocabularies.source.decode(batch.source[i]), source[batch.indices[i]]);
      EXPECT_EQ(data_->vocabularies.target.decode(batch.target_output[i]),
                target[batch.indices[i]]);
      EXPECT_EQ(batch.source[i].back(), Vocabulary::kEnd);
      EXPECT_EQ(batch.target_input[i].front(), Vocabulary::kBegin);
    }
  }
}

TEST_F(StreamTest, TheOrderFollowsFromSeedAndEpoch) {
  prepare(600);
  BatchStream stream = open(), twin = open();
  const auto first = indices_of(rest_of_epoch(stream));
  EXPECT_EQ(indices_of(rest_of_epoch(twin)), first);
  EXPECT_NE(indices_of(rest_of_epoch(stream)), first);
  options_.seed = 4;
  BatchStream other = open();
  EXPECT_NE(indices_of(rest_of_epoch(other)), first);
}

TEST_F(StreamTest, LengthsDoNotComeInOrder) {
  prepare(2000);
  BatchStream stream = open();
  std::vector<int32_t> longest;
  for (const Batch& batch : rest_of_epoch(stream))
    longest.push_back(batch.target_output.max_length());
  int rises = 0;
  for (size_t i = 1; i < longest.size(); ++i) rises += longest[i] > longest[i - 1];
  EXPECT_GT(rises, static_cast<int>(longest.size()) / 4);
}

TEST_F(StreamTest, ContinuesFromEveryPosition) {
  for (const double sampling : {0.0, 0.2}) {
    prepare(700, sampling);
    BatchStream whole = open();
    std::vector<Batch> batches = rest_of_epoch(whole);
    // A few of the next epoch, for the position behind the last batch of this one.
    for (int i = 0; i < 3; ++i) batches.push_back(whole.next());
    std::set<int64_t> pools;
    for (size_t i = 0; i + 3 < batches.size(); ++i) {
      // Everywhere would take long: within a pool now and then, and around its end.
      const bool at_border =
          batches[i + 1].next.block != batches[i].next.block || batches[i].next.batch == 0;
      if (i % 50 != 7 && !at_border) continue;
      pools.insert(batches[i].next.block);
      BatchStream rest = open(batches[i].next);
      for (size_t j = i + 1; j <= i + 3; ++j) {
        const Batch batch = rest.next();
        ASSERT_EQ(batch.indices, batches[j].indices) << i;
        ASSERT_EQ(batch.source.ids, batches[j].source.ids);
        ASSERT_EQ(batch.target_input.ids, batches[j].target_input.ids);
        ASSERT_EQ(batch.next, batches[j].next);
        ASSERT_EQ(batch.sentences_done, batches[j].sentences_done);
        ASSERT_EQ(batch.epoch, batches[j].epoch);
      }
    }
    EXPECT_GT(pools.size(), 1u) << "the test must cross a pool";
  }
}

TEST_F(StreamTest, SamplingSegmentsEachEpochAnew) {
  prepare(300, 0.2);
  const auto source = invented_text(1, 300);
  std::vector<std::vector<int32_t>> before(300);
  BatchStream stream = open();
  int different_from_best = 0, different_from_before = 0;
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const Batch& batch : rest_of_epoch(stream)) {
      for (int32_t i = 0; i < batch.size(); ++i) {
        const int64_t index = batch.indices[i];
        std::vector<int32_t> ids(batch.source[i].begin(), batch.source[i].end() - 1);
        EXPECT_EQ(data_->vocabularies.source.decode(ids), source[index]);
        different_from_best += ids != data_->vocabularies.source.encode(source[index]);
        different_from_before += epoch == 1 && ids != before[index];
        before[index] = std::move(ids);
      }
    }
  }
  EXPECT_GT(different_from_best, 100);
  EXPECT_GT(different_from_before, 100);
}

TEST_F(StreamTest, SamplingNeedsTheText) {
  prepare(100);
  options_.sampling = 0.1;
  EXPECT_THAT(complaint([&] { open(); }), HasSubstr("no raw text"));
}

TEST_F(StreamTest, APositionOfOtherDataIsAnError) {
  prepare(100);
  for (const DataPosition& position : {DataPosition{0, 50, 0}, DataPosition{0, 0, 1'000'000}}) {
    BatchStream stream = open(position);
    EXPECT_THAT(complaint([&] { stream.next(); }), HasSubstr("has no data position"));
    EXPECT_THAT(complaint([&] { stream.next(); }), HasSubstr("has no data position"));
  }
}

TEST_F(StreamTest, DamageFoundWhileReadingReachesTheReader) {
  prepare(2000);
  const std::string file = data_->dataset->path();
  const Vocabularies vocabularies = data_->vocabularies;
  data_.reset();
  flip_byte(file, static_cast<int64_t>(fs::file_size(file)) / 2);
  data_ = {vocabularies, std::make_shared<const Dataset>(file)};
  BatchStream stream = open();
  EXPECT_THAT(complaint([&] { rest_of_epoch(stream); }),
              AllOf(HasSubstr(file), HasSubstr("damaged")));
}

TEST_F(StreamTest, MayBeClosedAtAnyTime) {
  prepare(500);
  for (int taken = 0; taken < 5; ++taken) {
    BatchStream stream = open();
    BatchStream moved = std::move(stream);
    for (int i = 0; i < taken; ++i) moved.next();
  }
}

}  // namespace
}  // namespace dragoman
