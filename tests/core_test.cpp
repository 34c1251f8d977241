#include <fmt/ranges.h>
#include <gmock/gmock.h>
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
#include "core/hash.h"
#include "core/log.h"
#include "core/parallel.h"
#include "core/profile.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "files_harness.h"

namespace dragoman {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

// Text and hashes -------------------------------------------------------------------------------

TEST(Utf8, IsKnownWhereItIsValid) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("ä € 𝄞"));
  EXPECT_FALSE(is_utf8("\xC3"));              // cut short
  EXPECT_FALSE(is_utf8("\xC0\xAF"));          // overlong
  EXPECT_FALSE(is_utf8("\xED\xA0\x80"));      // a surrogate
  EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
}

TEST(Utf8, IsDecodedAndEncoded) {
  const std::vector<int32_t> codepoints = {'a', 0xE4, 0x20AC, 0x1D11E};
  EXPECT_EQ(decode_utf8("aä€𝄞"), codepoints);
  std::string text;
  for (const int32_t codepoint : codepoints) append_utf8(text, codepoint);
  EXPECT_EQ(text, "aä€𝄞");
  int32_t codepoint = 0;
  EXPECT_EQ(decode_front("€a", codepoint), 3u);
  EXPECT_EQ(codepoint, 0x20AC);
  EXPECT_EQ(decode_front("", codepoint), 0u);
  EXPECT_EQ(decode_front("\xE2\x82", codepoint), 0u);
}

TEST(Utf8, IsCountedAndCutBetweenCodePoints) {
  EXPECT_EQ(count_codepoints("aä€𝄞"), 4u);
  EXPECT_EQ(first_codepoints("aä€𝄞", 3), "aä€");
  EXPECT_EQ(first_codepoints("aä€𝄞", 4), "aä€𝄞");
  EXPECT_EQ(first_codepoints("aä", 9), "aä");
  EXPECT_EQ(first_codepoints("aä", 0), "");
}

// The numbers that the function's authors publish (http://www.isthe.com/chongo/tech/comp/fnv/).
TEST(Hash, IsThatOfFowlerNollAndVo) {
  EXPECT_EQ(Fnv1a().value(), 0xcbf29ce484222325u);
  EXPECT_EQ(Fnv1a().add("a").value(), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(Fnv1a().add("foobar").value(), 0x85944171f73967e8u);
  EXPECT_EQ(Fnv1a().add("foo").add("bar"), Fnv1a().add("foobar"));
}

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

TEST_F(Files, TellsWhyAFileCannotBeReplaced) {
  // Renaming fails once all is written: what was read from errno before would be another reason.
  const std::string message = complaint([&] {
    write_atomically(directory_ / "f", [&](const fs::path& temporary) {
      std::ofstream(temporary) << "new";
      fs::create_directory(directory_ / "f");
    });
  });
  EXPECT_THAT(message, HasSubstr("f: cannot be written: Is a directory"));
  EXPECT_THAT(names(), ElementsAre("f"));
}

TEST_F(Files, AnyNameHasAFileOfItsOwn) {
  EXPECT_EQ(file_name_for("test_2016.flickr"), "test_2016.flickr");
  EXPECT_EQ(file_name_for("/data/test"), "%2Fdata%2Ftest");
  EXPECT_EQ(file_name_for("../test"), "%2E.%2Ftest");
  EXPECT_EQ(file_name_for("50%2Ftest"), "50%252Ftest");
}

// Two that write the same file, of which one may see no process of the other: they share a disk
// only.
TEST_F(Files, LeavesAloneWhatAnotherProcessWrites) {
  write_atomically(directory_ / "f", [&](const fs::path& temporary) {
    std::ofstream(temporary) << "first";
    const pid_t other = ::fork();
    if (other == 0) {
      write_atomically(directory_ / "f", "second");
      ::_exit(0);
    }
    int status = -1;
    ::waitpid(other, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(read_file(directory_ / "f"), "second");
    EXPECT_EQ(read_file(temporary), "first");
  });
  EXPECT_EQ(read_file(directory_ / "f"), "first");
  EXPECT_THAT(names(), ElementsAre("f"));
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

TEST(Progress, CountsLinesOfTextsWithAndWithoutAKnownEnd) {
  Captured captured(true);
  {
    LineProgress known("translated", 200);
    known.update(0);
    LineProgress unknown("scored", 0);
    unknown.update(0);
  }
  EXPECT_EQ(
      captured.text(),
      "\r\033[K[--------------------]   0%  0 lines translated\r\033[K0 lines scored\r\033[K");
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
  for (const size_t grain : {3, 100, 1000}) {
    std::vector<int> done(100);
    parallel_for(
        done.size(), 4, [&done](size_t i) { ++done[i]; }, grain);
    EXPECT_EQ(done, std::vector<int>(100, 1)) << grain;
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
