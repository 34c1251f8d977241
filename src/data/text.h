// Text files: one sentence a line, UTF-8, plain or compressed with gzip.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dragoman {

/// Reads the lines of a text file, plain or gzip. What ends a line (`\n` or `\r\n`) is taken off,
/// and every line is checked to be UTF-8.
class LineReader {
 public:
  class Source;

  /// Opens a file. Throws Error when it cannot be opened.
  explicit LineReader(const std::string& path);
  /// Reads standard input, line by line as it arrives.
  static LineReader standard_input();
  ~LineReader();
  LineReader(LineReader&&) noexcept;
  LineReader& operator=(LineReader&&) noexcept;

  /// Puts the next line into `line`; false at the end. Throws Error with the file and the line
  /// number on invalid UTF-8, and when the file cannot be read (a truncated gzip file, for one).
  bool next(std::string& line);

  const std::string& name() const { return name_; }
  /// Lines read so far, which is the number of the current line, counted from 1.
  int64_t line_number() const { return line_number_; }

 private:
  LineReader() = default;

  std::string name_;
  std::unique_ptr<Source> source_;
  int64_t line_number_ = 0;
};

/// How many lines a file has; 0 for what can be read only once, such as a pipe. Throws as
/// LineReader does.
int64_t count_lines(const std::string& path);

/// All lines of a file. Throws as LineReader does.
std::vector<std::string> read_lines(const std::string& path);

/// The two files of a parallel corpus.
struct CorpusFiles {
  std::string source;
  std::string target;
};

/// Throws Error, with both names and counts, when one side of a corpus has more lines than the
/// other.
void check_same_length(const CorpusFiles& files, int64_t source_lines, int64_t target_lines);
/// Throws Error when a corpus has no lines.
void check_not_empty(const CorpusFiles& files, int64_t lines);

/// Reads two files in step: line n of one is the translation of line n of the other.
class ParallelReader {
 public:
  explicit ParallelReader(const CorpusFiles& files)
      : source_(files.source), target_(files.target) {}

  /// Puts the next pair into `source` and `target`; false at the end of both. Throws Error with
  /// both names and line counts when one file ends before the other.
  bool next(std::string& source, std::string& target);

 private:
  LineReader source_;
  LineReader target_;
};

/// The sides of a parallel corpus, whole; for validation and test sets.
struct ParallelText {
  std::vector<std::string> source;
  std::vector<std::string> target;
};

/// All pairs of a corpus. Throws as ParallelReader does, and Error when there is no pair.
ParallelText read_parallel(const CorpusFiles& files);

/// The file of one side of the corpus `name`: `directory/name.language` or that with `.gz`.
/// Throws Error, with the paths tried and what to set, when neither exists.
std::string find_corpus_file(const std::string& directory, const std::string& name,
                             const std::string& language);

/// Both files of the corpus `name`. Throws as find_corpus_file does.
CorpusFiles find_corpus(const std::string& directory, const std::string& name,
                        const std::string& source_language, const std::string& target_language);

}  // namespace dragoman
