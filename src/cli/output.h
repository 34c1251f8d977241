// Where a verb writes its lines.
#pragma once

#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>

namespace dragoman {

/// Standard output, or a file. A file is written as `<path>.part` and gets its name when it is
/// whole; what there was before stays until then, and what was done stays after a failure. A path
/// that is there and no regular file, such as a pipe or /dev/stdout, is written to as it is; what
/// another link leads to is written as a file is.
class Output {
 public:
  /// Opens `path`; standard output if it is empty or "-". Throws Error when it cannot be written.
  explicit Output(const std::string& path);
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
};

}  // namespace dragoman
