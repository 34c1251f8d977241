#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <hdf5.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <thread>

#include "core/check.h"
#include "core/files.h"
#include "core/hdf5.h"
#include "core/log.h"
#include "core/parallel.h"
#include "core/profile.h"
#include "core/progress.h"

namespace dragoman {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

// The message of the Error that `action` throws, or "" when it throws none.
template <class Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// Stands for a full disk: from here to the end of the scope no file grows beyond `bytes`.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

class InDirectory : public testing::Test {
 protected:
  InDirectory() {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  ~InDirectory() override { fs::remove_all(directory_); }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(directory_))
      found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }

  const fs::path directory_ =
      fs::temp_directory_path() / ("core_test." + std::to_string(::getpid()));
};

// Files -----------------------------------------------------------------------------------------

using Files = InDirectory;

TEST_F(Files, WritesAndReadsBytes) {
  const std::string bytes("a\0b\n\xff", 5);
  write_atomically(directory_ / "f", bytes);
  EXPECT_EQ(read_file(directory_ / "f"), bytes);
  write_atomically(directory_ / "f", "");
  EXPECT_EQ(read_file(directory_ / "f"), "");
  const std::string large(300000, 'x');
  write_atomically(directory_ / "f", large);
  EXPECT_EQ(read_file(directory_ / "f"), large);
  EXPECT_THAT(names(), ElementsAre("f"));
}

TEST_F(Files, WritesToThePlainNameOfTheWorkingDirectory) {
  const fs::path before = fs::current_path();
  fs::current_path(directory_);
  write_atomically("f", "text");
  fs::current_path(before);
  EXPECT_EQ(read_file(directory_ / "f"), "text");
}

TEST_F(Files, MissingFileIsNamed) {
  EXPECT_THAT(complaint([&] { read_file(directory_ / "none"); }),
              AllOf(HasSubstr((directory_ / "none").string()), HasSubstr("No such file")));
  EXPECT_THAT(complaint([&] { read_file(directory_); }), HasSubstr("Is a directory"));
}

TEST_F(Files, MissingDirectoryIsAnError) {
  EXPECT_THAT(complaint([&] { write_atomically(directory_ / "no" / "f", "text"); }),
              AllOf(HasSubstr("no/f: cannot be written"), HasSubstr("No such file or directory"),
                    HasSubstr("choose another directory")));
}

TEST_F(Files, WhatIsNoFileIsNotReplaced) {
  EXPECT_THAT(complaint([&] { write_atomically(directory_, "text"); }),
              HasSubstr("no regular file"));
  EXPECT_TRUE(fs::is_directory(directory_));
}

TEST_F(Files, AFailedWriteLeavesTheOldFile) {
  write_atomically(directory_ / "f", "old");
  const std::string message = complaint([&] {
    write_atomically(directory_ / "f", [](const fs::path& temporary) {
      std::ofstream(temporary) << "half of it";
      fail("the pen broke");
    });
  });
  EXPECT_THAT(message,
              AllOf(HasSubstr("f: cannot be written: the pen broke"),
                    HasSubstr("the file there before is unchanged"), Not(HasSubstr("make room"))));
  EXPECT_EQ(read_file(directory_ / "f"), "old");
  EXPECT_THAT(names(), ElementsAre("f"));
}

TEST_F(Files, AFullDiskLeavesTheOldFile) {
  write_atomically(directory_ / "f", "old");
  std::string message;
  {
    const FullDisk full(10000);
    message = complaint([&] { write_atomically(directory_ / "f", std::string(20000, 'x')); });
  }
  EXPECT_THAT(message, AllOf(HasSubstr("f: cannot be written: File too large"),
                             HasSubstr("make room or choose another directory")));
  EXPECT_EQ(read_file(directory_ / "f"), "old");
  EXPECT_THAT(names(), ElementsAre("f"));
}

TEST_F(Files, ACallbackThatWritesNothingIsAnError) {
  EXPECT_THAT(complaint([&] { write_atomically(directory_ / "f", [](const fs::path&) {}); }),
              HasSubstr("f: cannot be written"));
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Files, RemovesWhatAKilledWriterLeft) {
  const pid_t writer = ::fork();
  if (writer == 0) {
    write_atomically(directory_ / "f", [](const fs::path& temporary) {
      std::ofstream(temporary) << "half" << std::flush;
      ::raise(SIGKILL);
    });
  }
  ::waitpid(writer, nullptr, 0);
  std::ofstream(directory_ / "f.mine.tmp") << "somebody else's";
  ASSERT_EQ(names().size(), 2u);
  write_atomically(directory_ / "f", "new");
  EXPECT_THAT(names(), ElementsAre("f", "f.mine.tmp"));
  EXPECT_EQ(read_file(directory_ / "f"), "new");
}

// Log and progress ------------------------------------------------------------------------------

TEST(Progress, FormatsDurations) {
  EXPECT_EQ(format_duration(0), "0.0s");
  EXPECT_EQ(format_duration(4.24), "4.2s");
  EXPECT_EQ(format_duration(9.96), "10s");
  EXPECT_EQ(format_duration(59.7), "1m00s");
  EXPECT_EQ(format_duration(185), "3m05s");
  EXPECT_EQ(format_duration(3725), "1h02m");
  EXPECT_EQ(format_duration(2 * 86400 + 3 * 3600), "2d03h");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "?");
}

TEST(Progress, LineShowsFractionTextAndTimeLeft) {
  EXPECT_EQ(progress_line(0.5, "step 5", 185, 80),
            "[##########----------]  50%  step 5  3m05s left");
  EXPECT_EQ(progress_line(0, "", -1, 80), "[--------------------]   0%  ");
  EXPECT_EQ(progress_line(1, "x", 0, 80), "[####################] 100%  x  0.0s left");
  EXPECT_EQ(progress_line(7, "x", -1, 80), progress_line(1, "x", -1, 80));
  EXPECT_EQ(progress_line(std::nan(""), "x", -1, 80), progress_line(0, "x", -1, 80));
  // 99.9% is not 100%.
  EXPECT_THAT(progress_line(0.999, "x", -1, 80), HasSubstr(" 99%"));
}

TEST(Progress, LineIsCutAtTheWidthAndNotInsideACharacter) {
  EXPECT_EQ(progress_line(0.5, "step 5", 185, 10), "[#########");
  const std::string line = progress_line(0, "\u00e4\u00e4\u00e4\u00e4", -1, 31);
  EXPECT_EQ(line, "[--------------------]   0%  \u00e4\u00e4");
}

// Standard error as another terminal or pipe, to read what is written there.
class Captured {
 public:
  explicit Captured(bool terminal) {
    if (terminal) {
      const winsize size{24, 60, 0, 0};
      EXPECT_EQ(::openpty(&ends_[0], &ends_[1], nullptr, nullptr, &size), 0);
    } else {
      EXPECT_EQ(::pipe(ends_), 0);
    }
    saved_ = ::dup(STDERR_FILENO);
    ::dup2(ends_[1], STDERR_FILENO);
  }
  // What was written; ends the capture.
  std::string text() {
    std::fflush(stderr);
    [[maybe_unused]] const ssize_t marked = ::write(STDERR_FILENO, "\4", 1);
    ::dup2(saved_, STDERR_FILENO);
    std::string text;
    char c;
    while (::read(ends_[0], &c, 1) == 1 && c != '\4') text += c;
    for (const int end : {ends_[0], ends_[1], saved_}) ::close(end);
    return text;
  }

 private:
  int ends_[2] = {-1, -1};
  int saved_ = -1;
};

TEST(Progress, StaysBelowLogLinesOnATerminal) {
  Captured captured(true);
  {
    Progress progress;
    progress.update(0.25, "step 1", 60);
    log::info("a line");
    log::warn("another");
  }
  log::info("after");
  const std::string text = captured.text();
  const std::string bar = "[#####---------------]  25%  step 1  1m00s left";
  EXPECT_EQ(text, "\r\033[K" + bar + "\r\033[Ka line\r\n" + bar + "\r\033[Kwarning: another\r\n" +
                      bar + "\r\033[Kafter\r\n");
}

TEST(Progress, IsCutAtTheTerminalsWidth) {
  Captured captured(true);
  {
    Progress progress;
    progress.update(0.25, std::string(100, 'x'));
  }
  const std::string text = captured.text();
  EXPECT_EQ(text.size(), std::string("\r\033[K").size() * 2 + 59);
}

TEST(Progress, IsNotDrawnElsewhere) {
  Captured captured(false);
  {
    Progress progress;
    progress.update(0.5, "step 1");
    log::info("only {} line", 1);
    progress.finish();
  }
  EXPECT_EQ(captured.text(), "only 1 line\n");
}

using LogFile = InDirectory;

TEST_F(LogFile, HasTheTimeAndEveryLineWhileOpen) {
  Captured captured(false);
  log::info("before");
  log::open_file(directory_ / "train.log");
  log::info("braces {} and %v stay", "{}");
  log::error("bad");
  log::close_file();
  log::info("after");
  log::open_file(directory_ / "train.log");  // a continued run adds to the file
  log::info("later");
  log::close_file();
  EXPECT_EQ(captured.text(), "before\nbraces {} and %v stay\nerror: bad\nafter\nlater\n");
  const std::string time = "[0-9-]+ [0-9:]+ ";
  EXPECT_THAT(
      read_file(directory_ / "train.log"),
      MatchesRegex(time + "I braces \\{\\} and %v stay\n" + time + "E bad\n" + time + "I later\n"));
}

TEST_F(LogFile, ThatCannotBeOpenedIsAnError) {
  EXPECT_THAT(complaint([&] { log::open_file("/proc/no/train.log"); }),
              HasSubstr("/proc/no/train.log: cannot be opened for the log"));
}

// HDF5 ------------------------------------------------------------------------------------------

class Hdf5 : public InDirectory {
 protected:
  const fs::path path_ = directory_ / "f.h5";
};

template <class T>
std::vector<T> counting(size_t size, T first = 0) {
  std::vector<T> values(size);
  std::iota(values.begin(), values.end(), first);
  return values;
}

template <class T>
class Hdf5Elements : public InDirectory {};
using Elements = testing::Types<float, double, int32_t, int64_t, uint8_t>;
TYPED_TEST_SUITE(Hdf5Elements, Elements);

TYPED_TEST(Hdf5Elements, SurviveARoundTrip) {
  const auto path = this->directory_ / "f.h5";
  const std::vector<TypeParam> values = counting<TypeParam>(120);
  {
    hdf5::File file = hdf5::File::create(path);
    file.write("/a/b/plain", values);
    file.write("/matrix", values, {10, 12});
    file.write("/packed", values, {10, 12}, {.chunk = 4, .deflate = 6});
    file.write("/short", values, {}, {.chunk = 4096, .deflate = 1});
    file.write("/empty", std::vector<TypeParam>{}, {}, {.chunk = 4096, .deflate = 1});
    file.write("/scalarish", std::vector<TypeParam>{7}, {1, 1});
    file.close();
  }
  const hdf5::File file = hdf5::File::open(path);
  EXPECT_EQ(file.template read<TypeParam>("/a/b/plain"), values);
  for (const char* const name : {"/matrix", "/packed"}) {
    EXPECT_EQ(file.template read<TypeParam>(name), values);
    EXPECT_THAT(file.shape(name), ElementsAre(10, 12));
  }
  EXPECT_EQ(file.template read<TypeParam>("/short"), values);
  EXPECT_THAT(file.template read<TypeParam>("/empty"), IsEmpty());
  EXPECT_THAT(file.shape("/empty"), ElementsAre(0));
  EXPECT_THAT(file.shape("/scalarish"), ElementsAre(1, 1));
  std::vector<TypeParam> out(120);
  file.template read_into<TypeParam>("/matrix", out);
  EXPECT_EQ(out, values);
}

TYPED_TEST(Hdf5Elements, GrowInAnyPiecesAndAreReadInRanges) {
  const auto path = this->directory_ / "f.h5";
  const std::vector<TypeParam> values = counting<TypeParam>(100);
  {
    hdf5::File file = hdf5::File::create(path);
    hdf5::Writer<TypeParam> writer(file, "/g/grown", {.chunk = 16, .deflate = 4});
    const std::span<const TypeParam> all(values);
    writer.append(all.first(0));
    writer.append(all.first(5));
    writer.append(all.subspan(5, 50));
    writer.append(all.subspan(55));
    EXPECT_EQ(writer.size(), 100);
    writer.close();
    hdf5::Writer<TypeParam>(file, "/g/none", {.chunk = 16}).close();
    file.close();
  }
  const hdf5::File file = hdf5::File::open(path);
  EXPECT_EQ(file.template read<TypeParam>("/g/grown"), values);
  const hdf5::Reader<TypeParam> reader(file, "/g/grown");
  EXPECT_EQ(reader.size(), 100);
  for (const auto& [begin, end] :
       {std::pair{0, 100}, std::pair{3, 3}, std::pair{15, 17}, std::pair{99, 100}}) {
    EXPECT_EQ(reader.read(begin, end),
              std::vector<TypeParam>(values.begin() + begin, values.begin() + end));
  }
  EXPECT_EQ(hdf5::Reader<TypeParam>(file, "/g/none").size(), 0);
  EXPECT_THAT(complaint([&] { reader.read(90, 101); }),
              HasSubstr("/g/grown: elements 90 to 101 asked for, but there are 100"));
}

TEST_F(Hdf5, KeepsTextAttributesAndGroups) {
  const std::string text = "a: \u00fcbung\n\n  # 2 lines\n" + std::string(100000, 'x');
  {
    hdf5::File file = hdf5::File::create(path_);
    file.write_string("/config", text);
    file.write_string("/nothing", "");
    file.set_attribute("/", "step", int64_t{1} << 40);
    file.set_attribute("/", "score", 41.25);
    file.set_attribute("/", "format", std::string("dragoman \u00e9"));
    file.set_attribute("/scores", "long", text);
    file.set_attribute("/scores", "empty", std::string());
    file.set_attribute("/", "step", int64_t{7});
    file.set_attribute("/scores/best", "bleu", 12.5);
    file.make_group("/scores");
    file.write("/parameters/encoder.0.weight", std::vector<float>{1, 2}, {2, 1});
    file.close();
  }
  const hdf5::File file = hdf5::File::open(path_);
  EXPECT_EQ(file.read_string("/config"), text);
  EXPECT_EQ(file.read_string("/nothing"), "");
  EXPECT_EQ(file.int_attribute("/", "step"), 7);
  EXPECT_EQ(file.real_attribute("/", "score"), 41.25);
  EXPECT_EQ(file.string_attribute("/", "format"), "dragoman \u00e9");
  EXPECT_EQ(file.string_attribute("/scores", "long"), text);
  EXPECT_EQ(file.string_attribute("/scores", "empty"), "");
  EXPECT_EQ(file.real_attribute("/scores/best", "bleu"), 12.5);
  EXPECT_TRUE(file.has_attribute("/", "step"));
  EXPECT_FALSE(file.has_attribute("/", "steps"));
  EXPECT_FALSE(file.has_attribute("/nowhere/at/all", "step"));
  EXPECT_THAT(file.attributes("/"), ElementsAre("format", "score", "step"));
  EXPECT_THAT(file.list(), ElementsAre("config", "nothing", "parameters", "scores"));
  EXPECT_THAT(file.list("/parameters"), ElementsAre("encoder.0.weight"));
  EXPECT_TRUE(file.exists("/"));
  EXPECT_TRUE(file.exists("/parameters/encoder.0.weight"));
  EXPECT_FALSE(file.exists("/parameters/encoder"));
  EXPECT_FALSE(file.exists("/no/such/path"));
  EXPECT_FALSE(file.exists("/config/below/text"));
  EXPECT_TRUE(file.is_group("/scores/best"));
  EXPECT_FALSE(file.is_group("/config"));
  EXPECT_EQ(file.type_name("/parameters/encoder.0.weight"), "float32");
  EXPECT_EQ(file.type_name("/config"), "string");
}

TEST_F(Hdf5, CompressionCompresses) {
  const std::vector<int32_t> zeros(100000);
  hdf5::File file = hdf5::File::create(path_);
  file.write("/zeros", zeros, {}, {.chunk = 10000, .deflate = 4});
  file.write("/more", zeros, {1000, 100}, {.deflate = 4});
  file.close();
  EXPECT_LT(fs::file_size(path_), 10000u);
  EXPECT_EQ(hdf5::File::open(path_).read<int32_t>("/more"), zeros);
}

TEST_F(Hdf5, FilesThatCannotBeOpenedAreExplained) {
  const auto opening = [](const fs::path& path) {
    return complaint([&] { hdf5::File::open(path); });
  };
  EXPECT_THAT(opening(path_), HasSubstr("f.h5: no such file"));
  EXPECT_THAT(opening(directory_), HasSubstr("is not a file"));
  std::ofstream(path_) << "hello";
  EXPECT_THAT(opening(path_), HasSubstr("f.h5: is not an HDF5 file"));
  hdf5::File file = hdf5::File::create(path_);
  file.write("/a", counting<float>(100000));
  file.close();
  fs::resize_file(path_, fs::file_size(path_) / 2);
  EXPECT_THAT(opening(path_), AllOf(HasSubstr("f.h5: is damaged or cut short: truncated file"),
                                    HasSubstr("another checkpoint")));
  fs::resize_file(path_, 0);
  EXPECT_THAT(opening(path_), HasSubstr("f.h5: is not an HDF5 file"));
  EXPECT_THAT(complaint([&] { hdf5::File::create(directory_ / "no" / "f.h5"); }),
              HasSubstr("no/f.h5: cannot be created: No such file or directory"));
}

TEST_F(Hdf5, DamagedDataIsNoticedByItsChecksum) {
  hdf5::File file = hdf5::File::create(path_);
  file.write("/a", counting<float>(3 << 20), {3 << 10, 1 << 10});
  file.close();
  {
    std::fstream stream(path_, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(fs::file_size(path_)) / 2);
    stream.put('\x5a');
  }
  EXPECT_THAT(complaint([&] { hdf5::File::open(path_).read<float>("/a"); }),
              AllOf(HasSubstr("f.h5: /a: cannot be read"), HasSubstr("Fletcher32 checksum")));
}

// A file with each kind of structure that HDF5 has for what we store: groups and attributes, few
// and many; text; arrays of one chunk, of several and growing ones.
void write_variety(const fs::path& path) {
  hdf5::File file = hdf5::File::create(path);
  file.write_string("/config", "seed: 1\nname: \u00fcbung\n");
  for (int i = 0; i < 10; ++i) {
    file.write(fmt::format("/parameters/{}", i), counting<float>(6, static_cast<float>(i)), {2, 3});
    file.set_attribute("/many", fmt::format("whole {}", i), int64_t{i});
    file.set_attribute("/many", fmt::format("text {}", i), std::string(20, 'x'));
  }
  file.set_attribute("/many", "text", std::string(5000, 'y'));
  file.set_attribute("/few", "real", 2.5);
  file.write("/few/chunks", counting<int32_t>(50), {10, 5}, {.chunk = 3});
  file.write("/few/empty", std::vector<uint8_t>{});
  hdf5::Writer<uint8_t> writer(file, "/few/grown", {.chunk = 16, .deflate = 1});
  writer.append(counting<uint8_t>(100));
  writer.close();
  file.close();
}

// What a file says of the object `name` and of all below it.
std::string everything(const hdf5::File& file, const std::string& name) {
  std::string text = name + "\n";
  for (const std::string& attribute : file.attributes(name)) {
    text += attribute + (file.has_attribute(name, attribute) ? "=" : "?");
    if (attribute.starts_with("whole")) {
      text += fmt::format("{}\n", file.int_attribute(name, attribute));
    } else if (attribute.starts_with("text")) {
      text += file.string_attribute(name, attribute) + "\n";
    } else {
      text += fmt::format("{}\n", file.real_attribute(name, attribute));
    }
  }
  if (file.is_group(name)) {
    for (const std::string& below : file.list(name))
      text += everything(file, name == "/" ? name + below : name + "/" + below);
    return text;
  }
  const std::string type = file.type_name(name);
  text += fmt::format("{} {}\n", type, fmt::join(file.shape(name), " "));
  if (type == "string") return text + file.read_string(name) + "\n";
  if (type == "float32") return text + fmt::format("{}\n", fmt::join(file.read<float>(name), " "));
  return text + fmt::format("{}\n", fmt::join(file.read<int32_t>(name), " "));
}

TEST_F(Hdf5, NoDamagedByteIsReadAsSomethingElse) {
  write_variety(path_);
  const std::string intact = read_file(path_);
  const std::string expected = everything(hdf5::File::open(path_), "/");
  const pid_t child = ::fork();  // which may crash, or run for ever
  if (child == 0) {
    for (size_t i = 0; i < intact.size(); i += 5) {
      ::alarm(20);
      const fs::path damaged = directory_ / fmt::format("byte {}.h5", i);
      std::string bytes = intact;
      bytes[i] = static_cast<char>(bytes[i] ^ (i % 2 == 0 ? 0xff : 1 << i % 8));
      std::ofstream(damaged, std::ios::binary) << bytes;
      std::string found = expected;
      const std::string error =
          complaint([&] { found = everything(hdf5::File::open(damaged), "/"); });
      if (found != expected || !(error.empty() || error.starts_with(damaged.string()))) ::_exit(1);
      fs::remove(damaged);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(names(), ElementsAre("f.h5"));  // or also the one that was read wrongly
}

TEST_F(Hdf5, AttributesOfOtherProgramsThatDoNotFitAreErrors) {
  const hid_t file = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t text = H5Tcopy(H5T_C_S1);
  const hid_t any_length = H5Tcopy(H5T_C_S1);
  H5Tset_size(any_length, H5T_VARIABLE);
  const hsize_t size = 1000;
  const hid_t many = H5Screate_simple(1, &size, nullptr);
  const hid_t one = H5Screate(H5S_SCALAR);
  const auto add = [&](const char* name, hid_t type, hid_t space) {
    H5Aclose(H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT));
  };
  add("numbers", H5T_NATIVE_INT64, many);
  add("texts", text, many);
  add("any length", any_length, one);
  for (const hid_t type : {text, any_length}) H5Tclose(type);
  for (const hid_t space : {many, one}) H5Sclose(space);
  H5Fclose(file);
  const hdf5::File opened = hdf5::File::open(path_);
  EXPECT_THAT(complaint([&] { opened.int_attribute("/", "numbers"); }),
              HasSubstr("attribute numbers: holds 1000 values where one is expected"));
  EXPECT_THAT(complaint([&] { opened.string_attribute("/", "texts"); }),
              HasSubstr("attribute texts: holds 1000 values where one is expected"));
  EXPECT_THAT(complaint([&] { opened.string_attribute("/", "any length"); }),
              HasSubstr("attribute any length: holds no text of fixed length"));
}

TEST_F(Hdf5, IsSilentInEveryThread) {
  hdf5::File file = hdf5::File::create(path_);
  testing::internal::CaptureStderr();
  std::string message;
  std::thread([&] { message = complaint([&] { file.read<float>("/none"); }); }).join();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_THAT(message, HasSubstr("object 'none' doesn't exist"));
}

TEST_F(Hdf5, WrongNamesKindsAndSizesAreErrors) {
  hdf5::File file = hdf5::File::create(path_);
  file.write("/real", std::vector<double>{1.5});
  file.write("/wide", std::vector<int64_t>{1, 2});
  file.write("/narrow", std::vector<uint8_t>{1, 2});
  file.write("/matrix", std::vector<float>{1, 2}, {1, 2});
  file.write_string("/text", "x");
  file.set_attribute("/", "score", 1.5);
  EXPECT_THAT(complaint([&] { file.read<int64_t>("/real"); }), HasSubstr("/real: holds no whole"));
  EXPECT_THAT(complaint([&] { file.read<float>("/wide"); }), HasSubstr("/wide: holds no real"));
  EXPECT_THAT(complaint([&] { file.read<float>("/text"); }), HasSubstr("/text: holds no real"));
  EXPECT_THAT(complaint([&] { file.read<int32_t>("/wide"); }), HasSubstr("more than 32 bits"));
  EXPECT_THAT(file.read<int32_t>("/narrow"), ElementsAre(1, 2));
  EXPECT_THAT(file.read<float>("/real"), ElementsAre(1.5f));
  EXPECT_THAT(complaint([&] { file.read_string("/real"); }), HasSubstr("/real: holds no text"));
  EXPECT_THAT(complaint([&] { file.read<float>("/none"); }),
              HasSubstr("f.h5: /none: cannot be opened: object 'none' doesn't exist"));
  std::vector<int64_t> three(3);
  EXPECT_THAT(complaint([&] { file.read_into<int64_t>("/wide", three); }),
              HasSubstr("/wide: holds 2 elements where 3 are expected"));
  EXPECT_THAT(complaint([&] { hdf5::Reader<float>(file, "/matrix"); }),
              HasSubstr("/matrix: has 2 dimensions where one is expected"));
  EXPECT_THAT(complaint([&] {
                file.write("/bad", std::vector<float>{1, 2}, {3});
              }),
              HasSubstr("2 elements do not fill the shape of 3"));
  EXPECT_THAT(complaint([&] { file.write("/real", std::vector<double>{1}); }),
              HasSubstr("/real: cannot be created"));
  EXPECT_THAT(complaint([&] { file.write_string("/nul", std::string("a\0b", 3)); }),
              HasSubstr("NUL character"));
  EXPECT_THAT(complaint([&] { file.int_attribute("/", "score"); }), HasSubstr("no whole number"));
  EXPECT_THAT(complaint([&] { file.int_attribute("/", "none"); }), HasSubstr("attribute none"));
  EXPECT_THAT(complaint([&] { file.string_attribute("/", "score"); }), HasSubstr("holds no text"));
  EXPECT_THAT(complaint([&] { file.list("/real"); }), HasSubstr("/real: cannot be opened"));
  file.close();
  hdf5::File reopened = hdf5::File::open(path_);
  EXPECT_THAT(complaint([&] { reopened.write_string("/y", "y"); }), HasSubstr("cannot be created"));
}

// A stand-in for a checkpoint, with each kind of thing that can be left half written.
void write_much(const fs::path& path) {
  hdf5::File file = hdf5::File::create(path);
  hdf5::Writer<int32_t> writer(file, "/grown", {.chunk = 5000, .deflate = 1});
  for (int i = 0; i < 5; ++i) {
    file.write(fmt::format("/parameters/{}", i), counting<float>(10000), {100, 100});
    writer.append(counting<int32_t>(7000, i));
  }
  file.write_string("/config", std::string(5000, 'x'));
  file.set_attribute("/", "step", int64_t{3});
  writer.close();
  file.close();
}

TEST_F(Hdf5, AFullDiskIsAnErrorWhereverItStrikes) {
  write_atomically(path_, write_much);
  const std::string intact = read_file(path_);
  for (rlim_t limit = 0; limit < intact.size(); limit += intact.size() / 60) {
    std::string message;
    {
      const FullDisk full(limit);
      message = complaint([&] { write_atomically(path_, write_much); });
    }
    EXPECT_THAT(message, AllOf(HasSubstr("File too large"), HasSubstr("unchanged"))) << limit;
    EXPECT_THAT(names(), ElementsAre("f.h5"));
    EXPECT_EQ(read_file(path_), intact);
  }
  // With room again all is well.
  write_atomically(path_, write_much);
  EXPECT_EQ(hdf5::File::open(path_).read<float>("/parameters/4"), counting<float>(10000));
}

TEST_F(Hdf5, AProgramThatMetAFullDiskEndsInOrder) {
  const pid_t child = ::fork();
  if (child == 0) {
    const FullDisk full(100000);
    std::exit(complaint([&] { write_atomically(path_, write_much); }).empty() ? 3 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST_F(Hdf5, MayBeUsedFromSeveralThreads) {
  const std::vector<int32_t> values = counting<int32_t>(20000);
  {
    hdf5::File file = hdf5::File::create(path_);
    file.write("/a", values, {}, {.chunk = 1000, .deflate = 1});
    file.close();
  }
  const hdf5::File file = hdf5::File::open(path_);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      const hdf5::Reader<int32_t> reader(file, "/a");
      for (int i = 0; i < 50; ++i) {
        const int begin = (thread * 5003 + i * 397) % 19000;
        if (reader.read(begin, begin + 1000)[999] != begin + 999) ++wrong;
      }
    });
  }
  for (int i = 0; i < 10; ++i) write_atomically(directory_ / "other.h5", write_much);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Hdf5, ClosesOnceAndMoves) {
  hdf5::File file = hdf5::File::create(path_);
  hdf5::File moved = std::move(file);
  moved.write("/a", std::vector<float>{1});
  moved.flush();
  moved.close();
  moved.close();
  EXPECT_THAT(hdf5::File::open(path_).read<float>("/a"), ElementsAre(1));
  EXPECT_THAT(names(), Not(IsEmpty()));
}

// Profiles ----------------------------------------------------------------------------------------

TEST(Profile, SumsUpWhatWasMarked) {
  Profile profile;
  Profile::count(100);
  Profile::mark("linear");
  Profile::count(50);
  Profile::mark("linear");
  Profile::mark("linear", Profile::Pass::kBackward);
  Profile::count(1000);
  Profile::skip();
  Profile::mark("add");
  ASSERT_EQ(profile.events().size(), 4u);
  for (size_t i = 1; i < 3; ++i) {
    const Profile::Event &before = profile.events()[i - 1], &event = profile.events()[i];
    EXPECT_DOUBLE_EQ(event.begin, before.begin + before.seconds) << "no time is left out";
  }
  double seconds = 0;
  std::map<std::string, Profile::Line> lines;
  for (const Profile::Line& line : profile.lines()) {
    lines[line.name] = line;
    if (lines.size() > 1) {
      EXPECT_LE(line.seconds, seconds) << "longest first";
    }
    seconds = line.seconds;
  }
  EXPECT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines["linear"].calls, 2);
  EXPECT_EQ(lines["linear"].flops, 150);
  EXPECT_EQ(lines["linear, backward"].calls, 1);
  EXPECT_EQ(lines["add"].flops, 0) << "skipped";
  const std::string table = profile_table(profile.lines(), 2);
  EXPECT_THAT(table, HasSubstr("linear, backward"));
}

TEST(Profile, CostsNothingAndKeepsNothingWhereThereIsNone) {
  Profile::mark("linear");
  Profile::count(1);
  const Profile profile;
  EXPECT_THAT(profile.events(), testing::IsEmpty());
  EXPECT_THROW(Profile(), Error);
}

TEST(Profile, WaitsBeforeItLooksAtTheClock) {
  // A device that is done 5 ms after it was given something to do.
  int waits = 0;
  Profile profile([&] {
    ++waits;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  Profile::mark("linear");
  Profile::skip();
  Profile::mark("add");
  EXPECT_EQ(waits, 4);
  for (const Profile::Event& event : profile.events()) EXPECT_GE(event.seconds, 5e-3);
}

// Threads -----------------------------------------------------------------------------------------

TEST(ParallelFor, DoesEachPieceOnceOnAnyNumberOfThreads) {
  for (const int threads : {0, 1, 2, 7}) {
    std::vector<int> done(100);
    parallel_for(done.size(), threads, [&done](size_t i) { ++done[i]; });
    EXPECT_EQ(done, std::vector<int>(100, 1)) << threads;
  }
  parallel_for(0, 3, [](size_t) { ADD_FAILURE(); });
}

TEST(ParallelFor, ThrowsWhatAPieceThrows) {
  for (const int threads : {1, 4}) {
    EXPECT_THAT(complaint([threads] {
                  parallel_for(50, threads, [](size_t i) { check(i != 7, "piece {}", i); });
                }),
                HasSubstr("piece 7"));
  }
}

}  // namespace
}  // namespace dragoman
