#include "data/text.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/check.h"
#include "core/utf8.h"

namespace dragoman {

/// Where lines come from: a descriptor of plain text or, as its first byte tells, of gzip. Read by
/// ourselves, since zlib's own reader takes damage behind a part of a file for its end, and
/// standard streams take an error for it.
class LineReader::Source {
 public:
  /// Closes the descriptor in the end if it is `owned`.
  Source(int descriptor, std::string name, bool owned)
      : descriptor_(descriptor), name_(std::move(name)), owned_(owned) {
    check(descriptor_ >= 0, "{}: cannot be opened: {}", name_, std::strerror(errno));
  }
  ~Source() {
    if (gzip_) inflateEnd(&zip_);
    if (owned_) ::close(descriptor_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  /// Puts the next line, without its `\n`, into `line`; false at the end.
  bool next(std::string& line) {
    line.clear();
    for (;;) {
      if (begin_ == end_ && !fill()) return !line.empty();
      const char* start = text_.data() + begin_;
      const auto* newline = static_cast<const char*>(std::memchr(start, '\n', end_ - begin_));
      const size_t length = newline ? newline - start : end_ - begin_;
      line.append(start, length);
      begin_ += length;
      if (newline) {
        ++begin_;
        return true;
      }
    }
  }

 private:
  // More text; false at the end.
  bool fill() {
    begin_ = end_ = 0;
    if (!begun_ && !begin()) return false;
    end_ = gzip_ ? unpack() : take();
    return end_ > 0;
  }

  // More of what is in the file; false at its end, which a terminal tells once.
  bool read_more() {
    if (ended_) return false;
    ssize_t count = 0;
    do {
      count = ::read(descriptor_, input_.data(), input_.size());
    } while (count < 0 && errno == EINTR);
    check(count >= 0, "{}: cannot be read: {}", name_, std::strerror(errno));
    check(count > 0 || !in_part_, "{}: cannot be read: unexpected end of file in what gzip packed",
          name_);
    zip_.next_in = input_.data();
    zip_.avail_in = static_cast<unsigned>(count);
    ended_ = count == 0;
    return !ended_;
  }

  // Finds out what it is; false if it is empty.
  bool begin() {
    if (!read_more()) return false;
    begun_ = true;
    constexpr Bytef kGzip = 0x1F;  // begins no line of text
    if (*zip_.next_in != kGzip) return true;
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    check(inflateInit2(&zip_, kGzipOnly) == Z_OK, "{}: cannot be read: zlib has no memory", name_);
    gzip_ = in_part_ = true;
    return true;
  }

  size_t take() {
    if (zip_.avail_in == 0 && !read_more()) return 0;
    const size_t count = std::min<size_t>(zip_.avail_in, text_.size());
    std::memcpy(text_.data(), zip_.next_in, count);
    zip_.next_in += count;
    zip_.avail_in -= static_cast<unsigned>(count);
    return count;
  }

  // A gzip file has one part or several; zeros may fill it up.
  size_t unpack() {
    zip_.next_out = reinterpret_cast<Bytef*>(text_.data());
    zip_.avail_out = static_cast<unsigned>(text_.size());
    for (;;) {
      if (in_part_) {  // may have text left where no input is
        const int code = inflate(&zip_, Z_NO_FLUSH);
        check(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR,
              "{}: cannot be read: what gzip packed is damaged{}", name_,
              zip_.msg ? fmt::format(" ({})", zip_.msg) : "");
        in_part_ = code != Z_STREAM_END;
        if (const size_t made = text_.size() - zip_.avail_out; made > 0) return made;
      }
      if (zip_.avail_in == 0 && !read_more()) return 0;
      if (in_part_) continue;
      if (*zip_.next_in != 0) {
        inflateReset(&zip_);
        in_part_ = true;
      } else {
        ++zip_.next_in;
        --zip_.avail_in;
      }
    }
  }

  int descriptor_;
  std::string name_;
  bool owned_;
  bool begun_ = false, ended_ = false, gzip_ = false;
  bool in_part_ = false;  // of a gzip file, which cannot end there
  z_stream zip_{};        // in plain text, only what it says of the input
  std::array<Bytef, 1 << 16> input_;
  std::array<char, 1 << 16> text_;
  size_t begin_ = 0, end_ = 0;  // of what is left of text_
};

LineReader::LineReader(const std::string& path) : name_(path) {
  check(!std::filesystem::is_directory(path), "{}: is a directory, not a text file", path);
  source_ = std::make_unique<Source>(::open(path.c_str(), O_RDONLY | O_CLOEXEC), path, true);
}

LineReader LineReader::standard_input() {
  LineReader reader;
  reader.name_ = "standard input";
  reader.source_ = std::make_unique<Source>(STDIN_FILENO, reader.name_, false);
  return reader;
}

LineReader::~LineReader() = default;
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader& LineReader::operator=(LineReader&&) noexcept = default;

bool LineReader::next(std::string& line) {
  if (!source_->next(line)) return false;
  ++line_number_;
  if (line.ends_with('\r')) line.pop_back();
  check(is_utf8(line), "{}:{}: invalid UTF-8; convert the file to UTF-8 or mend this line", name_,
        line_number_);
  return true;
}

int64_t count_lines(const std::string& path) {
  if (!std::filesystem::is_regular_file(path)) return 0;
  LineReader reader(path);
  for (std::string line; reader.next(line);) {
  }
  return reader.line_number();
}

std::vector<std::string> read_lines(const std::string& path) {
  LineReader reader(path);
  std::vector<std::string> lines;
  for (std::string line; reader.next(line);) lines.push_back(line);
  return lines;
}

void check_same_length(const CorpusFiles& files, int64_t source_lines, int64_t target_lines) {
  check(source_lines == target_lines,
        "the two sides of a parallel corpus have different numbers of lines: {} has {}, {} has {}; "
        "line n of one must translate line n of the other",
        files.source, source_lines, files.target, target_lines);
}

void check_not_empty(const CorpusFiles& files, int64_t lines) {
  check(lines > 0, "the corpus is empty: {} and {} have no lines", files.source, files.target);
}

bool ParallelReader::next(std::string& source, std::string& target) {
  const bool has_source = source_.next(source);
  const bool has_target = target_.next(target);
  if (has_source && has_target) return true;
  if (has_source || has_target) {
    LineReader& longer = has_source ? source_ : target_;
    for (std::string line; longer.next(line);) {
    }
    check_same_length({source_.name(), target_.name()}, source_.line_number(),
                      target_.line_number());
  }
  return false;
}

ParallelText read_parallel(const CorpusFiles& files) {
  ParallelReader reader(files);
  ParallelText text;
  std::string source, target;
  while (reader.next(source, target)) {
    text.source.push_back(source);
    text.target.push_back(target);
  }
  check_not_empty(files, std::ssize(text.source));
  return text;
}

std::string find_corpus_file(const std::string& directory, const std::string& name,
                             const std::string& language) {
  const auto plain = (std::filesystem::path(directory) / (name + "." + language)).string();
  const auto compressed = plain + ".gz";
  if (std::filesystem::exists(plain)) return plain;
  if (std::filesystem::exists(compressed)) return compressed;
  fail(
      "corpus '{}' has no file for the language '{}': neither {} nor {} exists; set data.directory "
      "to the folder that holds the corpus",
      name, language, plain, compressed);
}

CorpusFiles find_corpus(const std::string& directory, const std::string& name,
                        const std::string& source_language, const std::string& target_language) {
  return {find_corpus_file(directory, name, source_language),
          find_corpus_file(directory, name, target_language)};
}

}  // namespace dragoman
