// What the training text is: how many lines each of its files has, and a fingerprint of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/hash.h"
#include "data/known_files.h"
#include "data/text.h"

namespace dragoman {

/// Tells the lines of one text file from those of another.
struct TextPrint {
  Fnv1a hash;
  int64_t lines = 0;

  void add(std::string_view line) {
    hash.add(line).add("\n");
    ++lines;
  }
  bool operator==(const TextPrint&) const = default;
};

/// The sides of a corpus.
enum class Side { kSource, kTarget };

/// The prints of the training text's files. Whoever reads a file for whatever reason takes its
/// print on the way: the first makes it known, and every later one makes sure that the file has not
/// changed since, so that nothing made of another text passes for this one's.
class Survey {
 public:
  /// Takes the prints that `known` remembers of the files. Throws Error when a file is missing, and
  /// as `add` does for a corpus.
  Survey(std::vector<CorpusFiles> corpora, KnownFiles known);

  const std::vector<CorpusFiles>& corpora() const { return corpora_; }
  const std::string& path(size_t corpus, Side side) const;

  bool knows(size_t corpus, Side side) const { return file(corpus, side).print.has_value(); }
  /// Whether it knows all files.
  bool complete() const;

  /// Says what was read in a file from beginning to end. Throws Error when it was something else
  /// before, and for a corpus whose sides differ in length or that is empty.
  void add(size_t corpus, Side side, const TextPrint& print);

  /// A line about each corpus: names, fingerprints, pairs. It must be complete.
  std::string description() const;

 private:
  struct File {
    FileStamp stamp;
    std::optional<TextPrint> print;
  };
  const File& file(size_t corpus, Side side) const;
  void check_sides(size_t corpus) const;  // as far as they are known

  std::vector<CorpusFiles> corpora_;
  KnownFiles known_;
  std::vector<File> files_;  // of each corpus the source and the target
};

/// Reads the training text file by file, of each corpus the source first, and adds to a survey what
/// it reads.
class SurveyedLines {
 public:
  /// Hands out the lines of the sides asked for, and reads of the others what the survey does not
  /// know. It must outlive the reader.
  SurveyedLines(Survey& survey, bool source, bool target)
      : survey_(survey), source_(source), target_(target) {}

  /// Puts the next line into `line`; false at the end. Throws as LineReader and Survey::add do.
  bool next(std::string& line);

 private:
  bool wanted() const { return side_ == Side::kSource ? source_ : target_; }
  void go_on();  // to the next file

  Survey& survey_;
  bool source_, target_;
  size_t corpus_ = 0;
  Side side_ = Side::kSource;
  std::optional<LineReader> reader_;
  TextPrint print_;
};

}  // namespace dragoman
