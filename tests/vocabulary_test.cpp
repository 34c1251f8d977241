// Vocabularies.
#include "data/vocabulary.h"

#include "core/check.h"
#include "data_fixture.h"

namespace dragoman {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using enum VocabularyType;

class VocabularyTest : public DataTest {
 protected:
  Vocabulary train(const VocabularyConfig& config) const {
    return Vocabulary::train(config, {write_lines("text.en", invented_text(1, 400))});
  }
};

class VocabularyTypeTest : public VocabularyTest,
                           public testing::WithParamInterface<VocabularyType> {
 public:
  static int size_of(VocabularyType type) { return type == kChar ? 23 : 90; }
};

TEST_P(VocabularyTypeTest, EncodesAndDecodesAndKeepsItsIds) {
  const Vocabulary vocabulary = train(small_vocabulary(GetParam(), size_of(GetParam())));
  EXPECT_EQ(vocabulary.size(), size_of(GetParam()));
  EXPECT_EQ(vocabulary.piece(Vocabulary::kUnknown), "<unk>");
  EXPECT_EQ(vocabulary.piece(Vocabulary::kBegin), "<s>");
  EXPECT_EQ(vocabulary.piece(Vocabulary::kEnd), "</s>");
  EXPECT_TRUE(vocabulary.encode("").empty());
  int known = 0;
  const std::vector<std::string> lines = invented_text(1, 200);
  const auto of_all = vocabulary.encode(lines, 3);
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    const std::vector<int32_t> ids = vocabulary.encode(line);
    EXPECT_EQ(of_all[i], ids);
    for (const int32_t id : ids) EXPECT_FALSE(id == Vocabulary::kBegin || id == Vocabulary::kEnd);
    if (std::ranges::count(ids, Vocabulary::kUnknown) > 0) continue;
    EXPECT_EQ(vocabulary.decode(ids), line);
    ++known;
  }
  EXPECT_GT(known, 0);
}

TEST_P(VocabularyTypeTest, SameTextGivesSameBytesAndBytesGiveTheSameVocabulary) {
  const VocabularyConfig config = small_vocabulary(GetParam(), size_of(GetParam()));
  const Vocabulary vocabulary = train(config);
  EXPECT_EQ(vocabulary, train(config));
  const Vocabulary restored(vocabulary.bytes());
  EXPECT_EQ(restored, vocabulary);
  EXPECT_EQ(restored.encode("bako stra"), vocabulary.encode("bako stra"));
}

TEST_P(VocabularyTypeTest, ASizeBeyondTheTextIsAnErrorWithThePossibleSize) {
  const std::string message = complaint([&] { train(small_vocabulary(GetParam(), 5000)); });
  ASSERT_THAT(message, HasSubstr("vocabulary.size to "));
  const int possible = std::stoi(message.substr(message.find("vocabulary.size to ") + 19));
  EXPECT_EQ(train(small_vocabulary(GetParam(), possible)).size(), possible);
}

INSTANTIATE_TEST_SUITE_P(Types, VocabularyTypeTest, testing::Values(kUnigram, kBpe, kChar, kWord),
                         [](const auto& test) { return to_string(test.param); });

TEST_F(VocabularyTest, BeginAndEndLeaveNothingInText) {
  const Vocabulary vocabulary = train(small_vocabulary());
  std::vector<int32_t> ids = vocabulary.encode("bako stra");
  ids.insert(ids.begin(), Vocabulary::kBegin);
  ids.push_back(Vocabulary::kEnd);
  EXPECT_EQ(vocabulary.decode(ids), "bako stra");
}

TEST_F(VocabularyTest, ASizeBelowTheCharactersIsAnErrorWithTheNeededSize) {
  for (const auto type : {kUnigram, kBpe}) {
    const std::string message = complaint([&] { train(small_vocabulary(type, 10)); });
    ASSERT_THAT(message, HasSubstr("vocabulary.size to "));
    const int needed = std::stoi(message.substr(message.find("vocabulary.size to ") + 19));
    EXPECT_EQ(train(small_vocabulary(type, needed)).size(), needed) << message;
  }
}

TEST_F(VocabularyTest, TextWithoutWordsIsAnError) {
  const std::string file = write("blank.en", "\n\n\n");
  EXPECT_THAT(complaint([&] { Vocabulary::train(small_vocabulary(), {file}); }),
              AllOf(HasSubstr("empty"), HasSubstr(file)));
}

TEST_F(VocabularyTest, WhatIsWrongWithTheTextComesOut) {
  for (const int good : {0, 1, 300}) {
    int given = 0;
    const auto next = [&](std::string& line) {
      if (given++ == good) fail("no line {}", good);
      line = invented_text(1, 400)[static_cast<size_t>(given)];
      return true;
    };
    EXPECT_EQ(complaint([&] { Vocabulary::train(small_vocabulary(), next, "it"); }),
              fmt::format("no line {}", good));
  }
}

TEST_F(VocabularyTest, TextOfOneWordIsNoCrash) {
  const std::string file = write("word.en", "a\n");
  for (const auto type : {kUnigram, kBpe, kChar, kWord})
    EXPECT_THAT(complaint([&] { Vocabulary::train(small_vocabulary(type), {file}); }),
                HasSubstr("vocabulary"));
}

TEST_F(VocabularyTest, BytesThatAreNoModelAreAnError) {
  EXPECT_THAT(complaint([] { Vocabulary("no model"); }), HasSubstr("not a sentencepiece model"));
}

TEST_F(VocabularyTest, UnknownIdsAreAnError) {
  const Vocabulary vocabulary = train(small_vocabulary());
  EXPECT_THAT(complaint([&] { vocabulary.piece(90); }), HasSubstr("90"));
  EXPECT_THAT(complaint([&] { vocabulary.decode(std::vector<int32_t>{-1}); }), HasSubstr("-1"));
}

TEST_F(VocabularyTest, SamplingIsReproducibleAndDiffersFromTheBest) {
  const std::vector<std::string> lines = invented_text(1, 50);
  for (const auto type : {kUnigram, kBpe}) {
    const Vocabulary vocabulary = train(small_vocabulary(type));
    const auto sampled = vocabulary.encode_sampled(lines, 64, 0.2, 7);
    EXPECT_EQ(sampled, vocabulary.encode_sampled(lines, 64, 0.2, 7));
    EXPECT_NE(sampled, vocabulary.encode_sampled(lines, 64, 0.2, 8));
    int different = 0;
    for (size_t i = 0; i < lines.size(); ++i) {
      EXPECT_EQ(vocabulary.decode(sampled[i]), lines[i]);
      different += sampled[i] != vocabulary.encode(lines[i]);
    }
    EXPECT_GT(different, 10) << to_string(type);
  }
}

TEST_F(VocabularyTest, SamplingAWordVocabularyIsAnError) {
  const Vocabulary vocabulary = train(small_vocabulary(kWord));
  const std::vector<std::string> lines = {"bako"};
  EXPECT_THAT(complaint([&] { vocabulary.encode_sampled(lines, 64, 0.1, 1); }),
              HasSubstr("unigram or bpe"));
}

}  // namespace
}  // namespace dragoman
