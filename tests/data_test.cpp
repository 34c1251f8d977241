// Text and prepared corpora.
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <map>
#include <sstream>
#include <thread>

#include "core/check.h"
#include "core/files.h"
#include "core/log.h"
#include "data/dataset.h"
#include "data/known_files.h"
#include "data/prepare.h"
#include "data/text.h"
#include "data_fixture.h"
#include "hdf5/file.h"

namespace dragoman {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

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
  /// A corpus that nobody has touched for an hour.
  DataConfig write_old_corpus(int64_t pairs) const {
    const DataConfig data = write_corpus(pairs);
    for (const char* name : {"train.en", "train.de"}) age(path(name), 60);
    return data;
  }
  static void age(const fs::path& file, int minutes) {
    fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::minutes(minutes));
  }
  /// Puts as many other bytes into the file `name`, and its time of modification back.
  void exchange(const std::string& name) const {
    const fs::file_time_type time = fs::last_write_time(path(name));
    std::string text = read_file(path(name));
    for (size_t at; (at = text.find("ba")) != text.npos;) text.replace(at, 2, "ko");
    write(name, text);
    fs::last_write_time(path(name), time);
  }
  std::string log_of(const std::function<void()>& action) const {
    testing::internal::CaptureStderr();
    action();
    return testing::internal::GetCapturedStderr();
  }
};

/// Counts how often the files of a directory are opened.
class Opens {
 public:
  explicit Opens(const std::string& directory) : events_(::inotify_init1(IN_NONBLOCK)) {
    EXPECT_GE(::inotify_add_watch(events_, directory.c_str(), IN_OPEN), 0);
  }
  ~Opens() { ::close(events_); }

  /// Of train.en and of train.de, since the last call.
  std::pair<int, int> take() {
    std::map<std::string, int> counts;
    alignas(inotify_event) char buffer[1 << 14];
    for (ssize_t size; (size = ::read(events_, buffer, sizeof buffer)) > 0;) {
      for (ssize_t at = 0; at < size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
        if (event->len > 0) ++counts[event->name];
        at += static_cast<ssize_t>(sizeof *event + event->len);
      }
    }
    return {counts["train.en"], counts["train.de"]};
  }

 private:
  int events_;
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
  EXPECT_THAT(complaint([&] { prepare(data, small_vocabulary(VocabularyType::kChar, 14)); }),
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
  data.train = {"train"};
  write_lines("train.en", invented_text(1, 20));
  write("train.de", fmt::format("{}\n\xFF\n", fmt::join(invented_text(2, 19), "\n")));
  VocabularyConfig vocabulary = small_vocabulary();
  for (const bool shared : {true, false}) {
    vocabulary.shared = shared;
    EXPECT_THAT(complaint([&] { prepare(data, vocabulary); }),
                HasSubstr("train.de:20: invalid UTF-8"));
  }
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

TEST_F(DatasetTest, TextIsReadOnceToLearnFromAndOnceToBeCutAndThenNotAgain) {
  DataConfig data = write_old_corpus(100);
  VocabularyConfig vocabulary = small_vocabulary();
  Opens opens(directory_.string());
  const auto opened = [&] {
    prepare(data, vocabulary);
    return opens.take();
  };
  EXPECT_EQ(opened(), std::pair(2, 2));
  EXPECT_EQ(opened(), std::pair(0, 0));
  data.max_length = 64;
  EXPECT_EQ(opened(), std::pair(1, 1)) << "to be cut";
  vocabulary.size = 80;
  EXPECT_EQ(opened(), std::pair(2, 2));
  vocabulary.shared = false;
  fs::remove_all(directory_ / "cache");
  EXPECT_EQ(opened(), std::pair(2, 3)) << "each side is learnt by itself; both are surveyed first";
  EXPECT_EQ(opened(), std::pair(0, 0));
}

TEST_F(DatasetTest, TextWithAnotherTimeIsReadToSeeWhetherItIsTheSame) {
  const DataConfig data = write_old_corpus(100);
  const std::string dataset = prepare(data, small_vocabulary()).dataset->path();
  Opens opens(directory_.string());
  age(path("train.de"), 30);
  const std::string log = log_of([&] { prepare(data, small_vocabulary()); });
  EXPECT_THAT(log, AllOf(HasSubstr("reading the training text"), Not(HasSubstr("cutting"))));
  EXPECT_EQ(opens.take(), std::pair(0, 1));
  EXPECT_EQ(log_of([&] { prepare(data, small_vocabulary()); }), "");
  EXPECT_EQ(opens.take(), std::pair(0, 0)) << "the new time is remembered";
  // The same text elsewhere, beside a cache of what was prepared before.
  fs::create_directory(directory_ / "copy");
  DataConfig copy = data;
  copy.directory = path("copy");
  for (const char* name : {"train.en", "train.de"})
    fs::copy(path(name), directory_ / "copy" / name);
  EXPECT_EQ(prepare(copy, small_vocabulary()).dataset->path(), dataset);
}

TEST_F(DatasetTest, ATimeTooNewToShowAnotherChangeIsNotTrusted) {
  const DataConfig data = write_corpus(100);
  age(path("train.de"), -60);  // as new as can be, however long this test takes
  const std::string dataset = prepare(data, small_vocabulary()).dataset->path();
  exchange("train.de");
  const TrainingData other = prepare(data, small_vocabulary());
  EXPECT_NE(other.dataset->path(), dataset);
  EXPECT_EQ(other.vocabularies.target.decode(other.dataset->read(0, 1).target[0]),
            read_lines(path("train.de"))[0]);
}

// What KnownFiles warns of, and the way out.
TEST_F(DatasetTest, TextExchangedUnderItsTimeIsTakenForWhatItWasUntilItIsRead) {
  const DataConfig data = write_old_corpus(100);
  const std::string dataset = prepare(data, small_vocabulary()).dataset->path();
  exchange("train.de");
  EXPECT_EQ(prepare(data, small_vocabulary()).dataset->path(), dataset);
  fs::remove(dataset);
  EXPECT_THAT(complaint([&] { prepare(data, small_vocabulary()); }),
              HasSubstr("train.de: the training text was changed while it was read"));
  const TrainingData other = prepare(data, small_vocabulary());
  EXPECT_EQ(other.vocabularies.target.decode(other.dataset->read(0, 1).target[0]),
            read_lines(path("train.de"))[0]);
}

TEST_F(DatasetTest, TextThatChangesWhileItIsReadIsNotCachedForWhatItWas) {
  const DataConfig data = write_corpus(200);
  const std::string pipe = path("train.de");
  // A pipe says something else when it is read again: to be cut, and to be learnt from behind a
  // survey, which there is where the cache has something in it.
  for (const std::string moment : {"cutting", "learning"}) {
    SCOPED_TRACE(moment);
    fs::remove(pipe);
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    fs::remove_all(directory_ / "cache");
    fs::create_directory(directory_ / "cache");
    if (moment == "learning") write("cache/vocabulary-0.h5", "of other text");
    fs::remove(path("log"));
    log::open_file(path("log"));
    std::atomic<bool> over = false;
    std::thread writer([&] {  // opening waits for who reads
      write_lines("train.de", invented_text(2, 200));
      while (!over && read_file(path("log")).find(moment) == std::string::npos)
        std::this_thread::yield();
      write_lines("train.de", invented_text(3, 200));
    });
    const std::string error = complaint([&] { prepare(data, small_vocabulary()); });
    over = true;
    const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);  // if nobody else came
    writer.join();
    ::close(reader);
    log::close_file();
    EXPECT_THAT(error, HasSubstr("the training text was changed while it was read"));
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(directory_ / "cache"))
      files.push_back(entry.path().filename().string());
    // The vocabulary is that of the text as it was read then, and named so.
    EXPECT_THAT(files, ElementsAre(moment == "cutting" ? StartsWith("vocabulary-")
                                                       : StartsWith("vocabulary-0.h5")));
  }
}

TEST_F(DatasetTest, WhatIsKnownOfFilesMayBeDamagedOrMissing) {
  const DataConfig data = write_old_corpus(100);
  const std::string dataset = prepare(data, small_vocabulary()).dataset->path();
  std::vector<fs::path> records;
  for (const auto& entry : fs::directory_iterator(directory_ / "cache"))
    if (entry.path().filename().string().starts_with("known-")) records.push_back(entry.path());
  ASSERT_EQ(records.size(), 3u) << "of two files of text and of the dataset";
  for (const fs::path& record : records) {
    const std::string whole = read_file(record);
    for (size_t at = 0; at < whole.size(); at += whole.size() / 20) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ 1);
      write_atomically(record, damaged);
      std::string used;
      const std::string log =
          log_of([&] { used = prepare(data, small_vocabulary()).dataset->path(); });
      EXPECT_EQ(used, dataset) << at;
      EXPECT_THAT(log, AnyOf(IsEmpty(), HasSubstr("will be read again"))) << at;
    }
    fs::remove(record);
    fs::create_directory(record);  // where nothing can be written
    EXPECT_THAT(log_of([&] { prepare(data, small_vocabulary()); }),
                HasSubstr("the next start will read all of"));
    fs::remove(record);
    log_of([&] { prepare(data, small_vocabulary()); });
    EXPECT_TRUE(fs::is_regular_file(record));
  }
}

TEST_F(DatasetTest, ADatasetIsReadAsAWholeOnlyIfItWasWrittenTo) {
  const DataConfig data = write_old_corpus(2000);
  const fs::path file = prepare(data, small_vocabulary()).dataset->path();
  const fs::file_time_type time = fs::last_write_time(file);
  flip_byte(file, static_cast<int64_t>(fs::file_size(file)) / 2);
  fs::last_write_time(file, time);  // as when a disk goes bad
  {
    const TrainingData damaged = prepare(data, small_vocabulary());
    EXPECT_THAT(complaint([&] { damaged.dataset->read(0, 2000); }),
                AllOf(HasSubstr(file.string()), HasSubstr("delete the file")));
  }
  fs::last_write_time(file, time + std::chrono::seconds(1));
  EXPECT_THAT(log_of([&] { prepare(data, small_vocabulary()).dataset->read(0, 2000); }),
              HasSubstr("will be made again"));
  // One that was copied is read once.
  fs::last_write_time(file, time + std::chrono::seconds(2));
  EXPECT_EQ(log_of([&] { prepare(data, small_vocabulary()); }), "");
  EXPECT_TRUE(KnownFiles(directory_ / "cache").recall(stamp_of(file)));
}

TEST_F(DatasetTest, GivenVocabulariesAreUsed) {
  const DataConfig data = write_corpus(100);
  const Vocabulary own =
      Vocabulary::train(small_vocabulary(VocabularyType::kChar, 23), {path("train.en")});
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
      const fs::file_time_type time = fs::last_write_time(file);
      injuries[i]();
      fs::last_write_time(file, time + std::chrono::seconds(1));  // whatever ticks slowly
      testing::internal::CaptureStderr();
      const TrainingData after = prepare(data, small_vocabulary());
      EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("will be made again"));
      EXPECT_EQ(after.dataset->read(0, 2000).target.ids, expected.target.ids);
      EXPECT_EQ(after.vocabularies.source.bytes(), vocabulary);
    }
  }
}

TEST_F(DatasetTest, ImpossibleOffsetsAreAnError) {
  hdf5::File file = hdf5::File::create(path("forged.h5"));
  for (const std::string side : {"/source", "/target"}) {
    constexpr int64_t kLowest = std::numeric_limits<int64_t>::min();
    hdf5::Writer<int32_t> tokens(file, side + "/tokens", {.chunk = 8});
    hdf5::Writer<int64_t> offsets(file, side + "/offsets", {.chunk = 8});
    tokens.append(std::vector<int32_t>{3, 4});
    offsets.append(std::vector<int64_t>{kLowest, 2});
    tokens.close();
    offsets.close();
  }
  file.set_attribute("/", "format", std::string(Dataset::kFormat));
  file.set_attribute("/", "version", Dataset::kVersion);
  file.set_attribute("/", "inputs", std::string("none"));
  for (const char* name : {"max_length", "pairs", "empty", "too_long"})
    file.set_attribute("/", name, int64_t{1});
  file.close();
  EXPECT_THAT(complaint([&] { Dataset(path("forged.h5")).read(0, 1); }),
              HasSubstr("the offsets are damaged"));
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
