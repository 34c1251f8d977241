// Text and prepared corpora.
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <sstream>
#include <thread>

#include "core/check.h"
#include "core/files.h"
#include "core/log.h"
#include "data/dataset.h"
#include "data/prepare.h"
#include "data/text.h"
#include "data_fixture.h"
#include "hdf5/file.h"

namespace dragoman {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Text --------------------------------------------------------------------------------------------

class TextTest : public DataTest {};

TEST_F(TextTest, ReadsPlainAndGzipFilesAlike) {
  const std::string text = "erste Zeile\r\n\nSüß\nohne Ende";
  const auto expected = ElementsAre("erste Zeile", "", "Süß", "ohne Ende");
  EXPECT_THAT(read_lines(write("plain.de", text)), expected);
  EXPECT_EQ(count_lines(write("plain.de", text)), 4);
  EXPECT_THAT(read_lines(write_gzip("packed.de.gz", text)), expected);
  EXPECT_EQ(count_lines(write_gzip("packed.de.gz", text)), 4);
  EXPECT_EQ(count_lines("/dev/null"), 0) << "it may be read only once";
}

TEST_F(TextTest, ReadsLinesLongerThanAnyBuffer) {
  const std::string line(300'000, 'x');
  EXPECT_THAT(read_lines(write("long.en", line + "\nb\n")), ElementsAre(line, "b"));
}

TEST_F(TextTest, NumbersItsLines) {
  LineReader reader(write("a.en", "a\nb\r\n"));
  std::string line;
  EXPECT_TRUE(reader.next(line));
  EXPECT_TRUE(reader.next(line));
  EXPECT_EQ(line, "b");
  EXPECT_EQ(reader.line_number(), 2);
  EXPECT_FALSE(reader.next(line));
}

TEST_F(TextTest, GzipOfSeveralPartsIsReadToItsEnd) {
  std::string parts;
  for (const char* const text : {"a\nb", "c\n", "", "d\n"})
    parts += read_file(write_gzip("part.gz", text));
  EXPECT_THAT(read_lines(write("parts.gz", parts)), ElementsAre("a", "bc", "d"));
  EXPECT_THAT(read_lines(write("filled.gz", parts + std::string(1000, '\0'))),
              ElementsAre("a", "bc", "d"));
  // What is damaged in the middle is not the end.
  const std::string packed = read_file(write_gzip("part.gz", "c\n"));
  EXPECT_THAT(complaint([&] { read_lines(write("bad.gz", packed + "xx" + packed.substr(2))); }),
              HasSubstr("bad.gz: cannot be read: what gzip packed is damaged"));
  // Text that is much longer than what it is packed in.
  const std::string line(3'000'000, 'x');
  EXPECT_THAT(read_lines(write_gzip("long.gz", line + "\ny\n")), ElementsAre(line, "y"));
}

TEST_F(TextTest, InvalidUtf8NamesFileAndLine) {
  const std::string file = write("bad.de",
                                 "gut\nauch gut\nschl\xFC"
                                 "cht\n");
  EXPECT_THAT(complaint([&] { read_lines(file); }), HasSubstr(file + ":3: invalid UTF-8"));
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

// Prepared corpora --------------------------------------------------------------------------------

class DatasetTest : public DataTest {
 protected:
  TrainingData prepare(const DataConfig& data, const VocabularyConfig& vocabulary) const {
    return prepare_training_data(data, vocabulary, directory_ / "cache", 2);
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

TEST_F(DatasetTest, TextThatChangesWhileItIsReadIsNotCachedForWhatItWas) {
  const DataConfig data = write_corpus(5000);
  log::open_file(path("log"));
  std::atomic<bool> over = false;
  std::thread editor([&] {  // changes the text as soon as a vocabulary is learnt from it
    while (!over && read_file(path("log")).find("learning") == std::string::npos)
      std::this_thread::yield();
    write_lines("train.de", invented_text(3, 5000));
  });
  const std::string error = complaint([&] { prepare(data, small_vocabulary("unigram", 150)); });
  over = true;
  editor.join();
  log::close_file();
  EXPECT_THAT(error, HasSubstr("the training text was changed while it was read"));
  for (const auto& entry : fs::directory_iterator(directory_ / "cache"))
    EXPECT_NE(entry.path().extension(), ".h5");
}

TEST_F(DatasetTest, GivenVocabulariesAreUsed) {
  const DataConfig data = write_corpus(100);
  const Vocabulary own = Vocabulary::train(small_vocabulary("char", 23), {path("train.en")});
  const TrainingData prepared = prepare_training_data(
      data, small_vocabulary(), directory_ / "cache", 1, Vocabularies{own, own});
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

}  // namespace
}  // namespace dragoman
