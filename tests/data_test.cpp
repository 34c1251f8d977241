// Text, vocabularies, prepared corpora and the stream of batches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "core/check.h"
#include "core/hdf5.h"
#include "core/rng.h"
#include "data/batch.h"
#include "data/dataset.h"
#include "data/prepare.h"
#include "data/stream.h"
#include "data/text.h"
#include "data/vocabulary.h"
#include "files_harness.h"
#include "places.h"

namespace dragoman {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

/// A sentence of invented words: `length` words of one to three syllables.
std::string invented_sentence(Random& random, int64_t length) {
  static const char* const kSyllables[] = {"ba", "ko", "ri", "mu", "stra", "ße",
                                           "lü", "né", "ta", "go", "pin",  "ost"};
  std::string sentence;
  for (int64_t word = 0; word < length; ++word) {
    if (word > 0) sentence += ' ';
    for (uint64_t syllable = 0, count = 1 + random.below(3); syllable < count; ++syllable)
      sentence += kSyllables[random.below(std::size(kSyllables))];
  }
  return sentence;
}

std::vector<std::string> invented_text(uint64_t seed, int64_t sentences) {
  Random random(seed);
  std::vector<std::string> lines;
  for (int64_t i = 0; i < sentences; ++i)
    lines.push_back(invented_sentence(random, 1 + static_cast<int64_t>(random.below(20))) + " .");
  return lines;
}

/// A directory of the test's own, removed behind it, and ways to fill it.
class DataTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    directory_ = fs::temp_directory_path() /
                 fmt::format("dragoman-{}-{}-{}", test->test_suite_name(), test->name(), getpid());
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  std::string write_lines(const std::string& name, const std::vector<std::string>& lines) const {
    return write(name, fmt::format("{}\n", fmt::join(lines, "\n")));
  }
  std::string write_gzip(const std::string& name, const std::string& text) const {
    const gzFile file = gzopen(path(name).c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    return path(name);
  }
  /// A corpus `train` of `pairs` invented pairs, and the settings that find it.
  DataConfig write_corpus(int64_t pairs) const {
    write_lines("train.en", invented_text(1, pairs));
    write_lines("train.de", invented_text(2, pairs));
    DataConfig data;
    data.directory = directory_.string();
    return data;
  }

  fs::path directory_;
};

VocabularyConfig small_vocabulary(const std::string& type = "unigram", int size = 90) {
  VocabularyConfig config;
  config.type = type;
  config.size = size;
  return config;
}

// --- text ---

class TextTest : public DataTest {};

TEST_F(TextTest, ReadsPlainAndGzipFilesAlike) {
  const std::string text = "erste Zeile\r\n\nSüß\nohne Ende";
  const auto expected = ElementsAre("erste Zeile", "", "Süß", "ohne Ende");
  EXPECT_THAT(read_lines(write("plain.de", text)), expected);
  EXPECT_THAT(read_lines(write_gzip("packed.de.gz", text)), expected);
}

TEST_F(TextTest, ReadsLinesLongerThanAnyBuffer) {
  const std::string line(300'000, 'x');
  EXPECT_THAT(read_lines(write("long.en", line + "\nb\n")), ElementsAre(line, "b"));
}

TEST_F(TextTest, ReadsFromAStream) {
  std::istringstream stream("a\nb\r\n");
  LineReader reader(stream, "<stdin>");
  std::string line;
  EXPECT_TRUE(reader.next(line));
  EXPECT_TRUE(reader.next(line));
  EXPECT_EQ(line, "b");
  EXPECT_EQ(reader.line_number(), 2);
  EXPECT_FALSE(reader.next(line));
}

TEST_F(TextTest, InvalidUtf8NamesFileAndLine) {
  const std::string file = write("bad.de",
                                 "gut\nauch gut\nschl\xFC"
                                 "cht\n");
  EXPECT_THAT(complaint([&] { read_lines(file); }), HasSubstr(file + ":3: invalid UTF-8"));
}

TEST_F(TextTest, KnowsValidUtf8) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("ä € 𝄞"));
  EXPECT_FALSE(is_utf8("\xC3"));              // cut short
  EXPECT_FALSE(is_utf8("\xC0\xAF"));          // overlong
  EXPECT_FALSE(is_utf8("\xED\xA0\x80"));      // a surrogate
  EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
}

TEST_F(TextTest, MissingFileAndDirectoryAreErrors) {
  EXPECT_THAT(complaint([&] { read_lines(path("none.en")); }),
              AllOf(HasSubstr("none.en"), HasSubstr("No such file")));
  EXPECT_THAT(complaint([&] { read_lines(directory_.string()); }), HasSubstr("is a directory"));
}

TEST_F(TextTest, TruncatedGzipIsAnError) {
  const std::string file =
      write_gzip("cut.en.gz", fmt::format("{}\n", fmt::join(invented_text(3, 500), "\n")));
  fs::resize_file(file, fs::file_size(file) / 2);
  EXPECT_THAT(complaint([&] { read_lines(file); }),
              AllOf(HasSubstr(file), HasSubstr("unexpected end of file")));
}

TEST_F(TextTest, SidesOfDifferentLengthNameBothFilesAndCounts) {
  const CorpusFiles files = {write("a.en", "1\n2\n3\n4\n"), write_gzip("a.de.gz", "1\n2\n")};
  EXPECT_THAT(complaint([&] { read_parallel(files); }),
              AllOf(HasSubstr(files.source + " has 4"), HasSubstr(files.target + " has 2")));
}

TEST_F(TextTest, EmptyParallelTextIsAnError) {
  const CorpusFiles files = {write("a.en", ""), write("a.de", "")};
  EXPECT_THAT(complaint([&] { read_parallel(files); }), HasSubstr("the corpus is empty"));
}

TEST_F(TextTest, FindsCorporaPlainOrPacked) {
  write("train.en", "a\n");
  write_gzip("train.de.gz", "b\n");
  const CorpusFiles files = find_corpus(directory_.string(), "train", "en", "de");
  EXPECT_EQ(files.source, path("train.en"));
  EXPECT_EQ(files.target, path("train.de.gz"));
  EXPECT_THAT(complaint([&] { find_corpus(directory_.string(), "train", "en", "fr"); }),
              AllOf(HasSubstr(path("train.fr")), HasSubstr(path("train.fr.gz")),
                    HasSubstr("data.directory")));
}

// --- vocabulary ---

class VocabularyTest : public DataTest {
 protected:
  Vocabulary train(const VocabularyConfig& config) const {
    return Vocabulary::train(config, {write_lines("text.en", invented_text(1, 400))});
  }
};

class VocabularyTypeTest : public VocabularyTest, public testing::WithParamInterface<const char*> {
 public:
  static int size_of(const std::string& type) { return type == "char" ? 23 : 90; }
};

TEST_P(VocabularyTypeTest, EncodesAndDecodesAndKeepsItsIds) {
  const Vocabulary vocabulary = train(small_vocabulary(GetParam(), size_of(GetParam())));
  EXPECT_EQ(vocabulary.size(), size_of(GetParam()));
  EXPECT_EQ(vocabulary.piece(Vocabulary::kUnknown), "<unk>");
  EXPECT_EQ(vocabulary.piece(Vocabulary::kBegin), "<s>");
  EXPECT_EQ(vocabulary.piece(Vocabulary::kEnd), "</s>");
  EXPECT_TRUE(vocabulary.encode("").empty());
  int known = 0;
  for (const std::string& line : invented_text(1, 100)) {
    const std::vector<int32_t> ids = vocabulary.encode(line);
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

INSTANTIATE_TEST_SUITE_P(Types, VocabularyTypeTest,
                         testing::Values("unigram", "bpe", "char", "word"),
                         [](const auto& test) { return std::string(test.param); });

TEST_F(VocabularyTest, BeginAndEndLeaveNothingInText) {
  const Vocabulary vocabulary = train(small_vocabulary());
  std::vector<int32_t> ids = vocabulary.encode("bako stra");
  ids.insert(ids.begin(), Vocabulary::kBegin);
  ids.push_back(Vocabulary::kEnd);
  EXPECT_EQ(vocabulary.decode(ids), "bako stra");
}

TEST_F(VocabularyTest, ASizeBelowTheCharactersIsAnErrorWithTheNeededSize) {
  for (const char* type : {"unigram", "bpe"}) {
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

TEST_F(VocabularyTest, TextOfOneWordIsNoCrash) {
  const std::string file = write("word.en", "a\n");
  for (const char* type : {"unigram", "bpe", "char", "word"})
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
  for (const char* type : {"unigram", "bpe"}) {
    const Vocabulary vocabulary = train(small_vocabulary(type));
    const auto sampled = vocabulary.encode_sampled(lines, 64, 0.2, 7);
    EXPECT_EQ(sampled, vocabulary.encode_sampled(lines, 64, 0.2, 7));
    EXPECT_NE(sampled, vocabulary.encode_sampled(lines, 64, 0.2, 8));
    int different = 0;
    for (size_t i = 0; i < lines.size(); ++i) {
      EXPECT_EQ(vocabulary.decode(sampled[i]), lines[i]);
      different += sampled[i] != vocabulary.encode(lines[i]);
    }
    EXPECT_GT(different, 10) << type;
  }
}

TEST_F(VocabularyTest, SamplingAWordVocabularyIsAnError) {
  const Vocabulary vocabulary = train(small_vocabulary("word"));
  const std::vector<std::string> lines = {"bako"};
  EXPECT_THAT(complaint([&] { vocabulary.encode_sampled(lines, 64, 0.1, 1); }),
              HasSubstr("unigram or bpe"));
}

// --- dataset ---

class DatasetTest : public DataTest {
 protected:
  TrainingData prepare(const DataConfig& data, const VocabularyConfig& vocabulary) const {
    return prepare_training_data(data, vocabulary, directory_ / "cache");
  }
  /// The file of the given kind in the cache; there must be exactly one.
  fs::path cached(const std::string& kind) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(directory_ / "cache"))
      if (entry.path().filename().string().starts_with(kind)) found.push_back(entry.path());
    EXPECT_EQ(found.size(), 1u) << kind;
    return found.empty() ? fs::path() : found.front();
  }
};

/// Turns one byte over at `offset`; from the end when it is negative.
void flip_byte(const fs::path& file, int64_t offset) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  const auto from = offset < 0 ? std::ios::end : std::ios::beg;
  stream.seekg(offset, from);
  const char byte = static_cast<char>(stream.get() ^ 0xFF);
  stream.seekp(offset, from);
  stream.put(byte);
}

TEST_F(DatasetTest, HoldsThePiecesOfEveryPair) {
  const DataConfig data = write_corpus(200);
  const TrainingData prepared = prepare(data, small_vocabulary());
  ASSERT_EQ(prepared.dataset->size(), 200);
  const PairBlock block = prepared.dataset->read(50, 150);
  ASSERT_EQ(block.source.size(), 100);
  const auto source = invented_text(1, 200), target = invented_text(2, 200);
  int64_t tokens = 0;
  for (int i = 0; i < 100; ++i) {
    const auto pieces = prepared.vocabularies.source.encode(source[50 + i]);
    EXPECT_TRUE(std::ranges::equal(block.source[i], pieces));
    EXPECT_EQ(prepared.vocabularies.target.decode(block.target[i]), target[50 + i]);
  }
  for (const std::string& line : source)
    tokens += std::ssize(prepared.vocabularies.source.encode(line));
  EXPECT_EQ(prepared.dataset->description().source_tokens, tokens);
  EXPECT_TRUE(block.source_text.empty());
}

TEST_F(DatasetTest, KeepsTheTextForSampling) {
  const DataConfig data = write_corpus(100);
  VocabularyConfig vocabulary = small_vocabulary();
  vocabulary.sampling = 0.1;
  const TrainingData prepared = prepare(data, vocabulary);
  const PairBlock block = prepared.dataset->read(98, 100);
  EXPECT_EQ(block.source_text[1], invented_text(1, 100)[99]);
  EXPECT_EQ(block.target_text[0], invented_text(2, 100)[98]);
  EXPECT_TRUE(describe_dataset(prepared.dataset->path()).has_text);
}

TEST_F(DatasetTest, CountsWhatItLeavesOut) {
  auto source = invented_text(1, 100), target = invented_text(2, 100);
  source[3] = "";
  target[4] = "   ";
  Random random(9);
  target[5] = invented_sentence(random, 500);
  write_lines("train.en", source);
  write_lines("train.de", target);
  DataConfig data;
  data.directory = directory_.string();
  testing::internal::CaptureStderr();
  const TrainingData prepared = prepare(data, small_vocabulary());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, AllOf(HasSubstr("2 sentence pairs left out: one side is empty"),
                         HasSubstr("1 sentence pairs left out: one side has more than 128")));
  const CorpusCounts counts = describe_dataset(prepared.dataset->path()).counts;
  EXPECT_EQ(counts.pairs, 97);
  EXPECT_EQ(counts.empty, 2);
  EXPECT_EQ(counts.too_long, 1);
}

TEST_F(DatasetTest, ALimitThatLeavesNothingIsAnError) {
  write_lines("train.en", {"ba ko ri", "mu stra go"});
  write_lines("train.de", {"ba ko ri", "mu stra go"});
  DataConfig data;
  data.directory = directory_.string();
  data.max_length = 1;
  EXPECT_THAT(complaint([&] { prepare(data, small_vocabulary("char", 14)); }),
              AllOf(HasSubstr("no sentence pair"), HasSubstr("data.max_length")));
}

TEST_F(DatasetTest, TakesSeveralCorporaAndAVocabularyForEachSide) {
  DataConfig data = write_corpus(150);
  write_lines("more.en", invented_text(5, 60));
  write_gzip("more.de.gz", fmt::format("{}\n", fmt::join(invented_text(6, 60), "\n")));
  data.train = {"train", "more"};
  VocabularyConfig vocabulary = small_vocabulary();
  vocabulary.shared = false;
  const TrainingData prepared = prepare(data, vocabulary);
  EXPECT_EQ(prepared.dataset->size(), 210);
  EXPECT_FALSE(prepared.vocabularies.source == prepared.vocabularies.target);
  const PairBlock block = prepared.dataset->read(209, 210);
  EXPECT_EQ(prepared.vocabularies.target.decode(block.target[0]), invented_text(6, 60)[59]);
}

TEST_F(DatasetTest, TextErrorsComeOut) {
  DataConfig data = write_corpus(20);
  write_lines("train.de", invented_text(2, 19));
  EXPECT_THAT(complaint([&] { prepare(data, small_vocabulary()); }),
              AllOf(HasSubstr("train.en has 20"), HasSubstr("train.de has 19")));
  write("train.de", "");
  write("train.en", "");
  EXPECT_THAT(complaint([&] { prepare(data, small_vocabulary()); }), HasSubstr("is empty"));
  data.train = {"other"};
  EXPECT_THAT(complaint([&] { prepare(data, small_vocabulary()); }), HasSubstr("other.en.gz"));
}

TEST_F(DatasetTest, TheCacheServesTheSameInputOnly) {
  DataConfig data = write_corpus(100);
  prepare(data, small_vocabulary());
  const auto written = fs::last_write_time(cached("dataset"));
  const fs::path first = cached("dataset");
  prepare(data, small_vocabulary());
  EXPECT_EQ(fs::last_write_time(cached("dataset")), written);
  data.max_length = 64;
  const TrainingData other = prepare(data, small_vocabulary());
  EXPECT_NE(fs::path(other.dataset->path()), first);
  auto changed = invented_text(1, 100);
  changed[42] = "ba ko .";
  write_lines("train.en", changed);
  const TrainingData again = prepare(data, small_vocabulary());
  EXPECT_NE(again.dataset->path(), other.dataset->path());
  EXPECT_EQ(again.vocabularies.source.decode(again.dataset->read(42, 43).source[0]), "ba ko .");
}

TEST_F(DatasetTest, GivenVocabulariesAreUsed) {
  const DataConfig data = write_corpus(100);
  const Vocabulary own = Vocabulary::train(small_vocabulary("char", 23), {path("train.en")});
  const TrainingData prepared =
      prepare_training_data(data, small_vocabulary(), directory_ / "cache", Vocabularies{own, own});
  EXPECT_EQ(prepared.vocabularies.source, own);
  EXPECT_TRUE(std::ranges::equal(prepared.dataset->read(0, 1).source[0],
                                 own.encode(invented_text(1, 1)[0])));
}

TEST_F(DatasetTest, ADamagedCacheIsMadeAgain) {
  const DataConfig data = write_corpus(2000);
  PairBlock expected;
  std::string vocabulary;
  {
    // Closed before the damage: HDF5 goes on with what it holds of a file that is open.
    const TrainingData before = prepare(data, small_vocabulary());
    expected = before.dataset->read(0, 2000);
    vocabulary = before.vocabularies.source.bytes();
  }
  for (const char* kind : {"dataset", "vocabulary"}) {
    const fs::path file = cached(kind);
    const auto size = static_cast<int64_t>(fs::file_size(file));
    const std::vector<std::function<void()>> injuries = {
        [&] { fs::resize_file(file, size / 2); },  [&] { fs::resize_file(file, 0); },
        [&] { std::ofstream(file) << "no HDF5"; }, [&] { flip_byte(file, size / 3); },
        [&] { flip_byte(file, size / 2); },
    };
    for (size_t i = 0; i < injuries.size(); ++i) {
      SCOPED_TRACE(fmt::format("{}, injury {}", kind, i));
      injuries[i]();
      testing::internal::CaptureStderr();
      const TrainingData after = prepare(data, small_vocabulary());
      EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("will be made again"));
      EXPECT_EQ(after.dataset->read(0, 2000).target.ids, expected.target.ids);
      EXPECT_EQ(after.vocabularies.source.bytes(), vocabulary);
    }
  }
}

TEST_F(DatasetTest, AFileOfAnotherKindIsAnError) {
  hdf5::File file = hdf5::File::create(path("other.h5"));
  file.write<int32_t>("/numbers", std::vector<int32_t>{1, 2});
  file.close();
  EXPECT_THAT(complaint([&] { describe_dataset(path("other.h5")); }),
              AllOf(HasSubstr("other.h5"), HasSubstr("not a prepared corpus")));
}

// --- batches ---

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
}

// --- stream ---

class StreamTest : public DataTest {
 protected:
  void prepare(int64_t pairs, double sampling = 0) {
    VocabularyConfig vocabulary = small_vocabulary();
    vocabulary.sampling = sampling;
    data_ = prepare_training_data(write_corpus(pairs), vocabulary, directory_ / "cache");
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

// --- scripts ---

TEST_F(DataTest, TheDownloaderReportsWhatItCannotFetch) {
  const std::string command = fmt::format(
      "MULTI30K_URL=file://{0}/nowhere {1}/scripts/download_multi30k.sh {0}/out "
      "> {0}/log 2>&1",
      directory_.string(), project_directory());
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  std::ostringstream log;
  log << std::ifstream(path("log")).rdbuf();
  EXPECT_THAT(log.str(), HasSubstr("train.en.gz"));
  EXPECT_FALSE(fs::exists(path("out/train.en.gz")));
}

}  // namespace
}  // namespace dragoman
