#include "data/text.h"

#include <utf8proc.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/check.h"

namespace dragoman {

namespace {

/// What a failed zlib call says, or the system's message behind it.
std::string gzip_error(gzFile file) {
  int code = Z_OK;
  const char* message = gzerror(file, &code);
  return code == Z_ERRNO ? std::strerror(errno) : message;
}

}  // namespace

/// Where lines come from.
class LineReader::Source {
 public:
  virtual ~Source() = default;
  /// Puts the next line, without its `\n`, into `line`; false at the end.
  virtual bool next(std::string& line) = 0;
};

namespace {

class StreamSource : public LineReader::Source {
 public:
  StreamSource(std::istream& stream, std::string name) : stream_(stream), name_(std::move(name)) {}

  bool next(std::string& line) override {
    if (std::getline(stream_, line)) return true;
    check(!stream_.bad(), "{}: cannot be read", name_);
    return false;
  }

 private:
  std::istream& stream_;
  std::string name_;
};

class FileSource : public LineReader::Source {
 public:
  explicit FileSource(const std::string& path) : path_(path) {
    check(!std::filesystem::is_directory(path), "{}: is a directory, not a text file", path);
    file_ = gzopen(path.c_str(), "rb");
    check(file_ != nullptr, "{}: cannot be opened: {}", path, std::strerror(errno));
    gzbuffer(file_, 1 << 17);
  }
  ~FileSource() override { gzclose(file_); }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  bool next(std::string& line) override {
    line.clear();
    for (;;) {
      if (begin_ == end_ && !fill()) return !line.empty();
      const char* start = buffer_.data() + begin_;
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
  bool fill() {
    const int bytes = gzread(file_, buffer_.data(), static_cast<unsigned>(buffer_.size()));
    check(bytes >= 0, "{}: cannot be read: {}", path_, gzip_error(file_));
    // A gzip file that was cut short ends like a whole one, but leaves an error behind.
    if (bytes == 0) {
      int code = Z_OK;
      gzerror(file_, &code);
      check(code == Z_OK || code == Z_STREAM_END, "{}: cannot be read: {}", path_,
            gzip_error(file_));
    }
    begin_ = 0;
    end_ = static_cast<size_t>(bytes);
    return bytes > 0;
  }

  std::string path_;
  gzFile file_ = nullptr;
  std::array<char, 1 << 16> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace

LineReader::LineReader(const std::string& path)
    : name_(path), source_(std::make_unique<FileSource>(path)) {}

LineReader::LineReader(std::istream& stream, std::string name)
    : name_(std::move(name)), source_(std::make_unique<StreamSource>(stream, name_)) {}

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

bool ParallelReader::next(std::string& source, std::string& target) {
  const bool has_source = source_.next(source);
  const bool has_target = target_.next(target);
  if (has_source && has_target) return true;
  if (has_source || has_target) {
    LineReader& longer = has_source ? source_ : target_;
    for (std::string line; longer.next(line);) {
    }
    fail(
        "the two sides of a parallel corpus have different numbers of lines: {} has {}, {} has {}; "
        "line n of one must translate line n of the other",
        source_.name(), source_.line_number(), target_.name(), target_.line_number());
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
  check(!text.source.empty(), "the corpus is empty: {} and {} have no lines", files.source,
        files.target);
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

bool is_utf8(std::string_view text) {
  const auto* position = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto* end = position + text.size();
  while (position < end) {
    if (*position < 0x80) {
      ++position;
      continue;
    }
    utf8proc_int32_t codepoint = 0;
    const auto bytes = utf8proc_iterate(position, end - position, &codepoint);
    if (bytes <= 0) return false;
    position += bytes;
  }
  return true;
}

}  // namespace dragoman
