// Where a verb writes its lines.
#pragma once

#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

namespace dragoman {

/// A file that the user named, and how: "--output" and "out.txt". An empty path, or "-", is
/// standard input or output.
struct NamedFile {
  std::string option;
  std::string path;
};

/// Throws UsageError when a file that would be written is one of those that are read, or that are
/// written as well, by whatever name: nothing that a verb reads is lost to what it writes.
void keep_apart(const std::vector<NamedFile>& written, const std::vector<NamedFile>& read);

/// Standard output, or a file. A file is written as `<path>.<random>.part` and gets its name when
/// it is whole; what there was before stays until then, and what was done stays after a failure,
/// which says where. A path that is there and no regular file, such as a pipe or /dev/stdout, is
/// written to as it is; what another link leads to is written as a file is.
class Output {
 public:
  /// Opens `path`; standard output if it is empty or "-". Throws Error when it cannot be written.
  explicit Output(const std::string& path);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  std::ostream& stream() { return *stream_; }
  /// Hands everything written so far on. Throws Error when it cannot, the disk being full for one.
  void flush();
  /// Everything is written: a file gets its name. Throws Error when it cannot.
  void finish();

 private:
  std::filesystem::path path_;     // empty: standard output
  std::filesystem::path written_;  // the file that is open
  std::ofstream file_;
  std::ostream* stream_;
  bool finished_ = false;
};

}  // namespace dragoman
