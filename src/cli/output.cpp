#include "cli/output.h"

#include <cerrno>
#include <cstring>
#include <iostream>

#include "core/check.h"

namespace dragoman {

Output::Output(const std::string& path)
    : path_(path == "-" ? "" : path), written_(path_), stream_(&std::cout) {
  if (path_.empty()) return;
  std::error_code ignored;
  check(!std::filesystem::is_directory(path_, ignored), "{}: is a directory, not a file", path);
  // Whoever gave a link, such as /dev/stdout, wants what it leads to to be written.
  const std::filesystem::file_status there = std::filesystem::symlink_status(path_, ignored);
  if (!std::filesystem::exists(there) || std::filesystem::is_regular_file(there))
    written_ += ".part";
  errno = 0;
  file_.open(written_, std::ios::binary | std::ios::trunc);
  check(file_.is_open(), "{}: cannot be written: {}", written_.string(), std::strerror(errno));
  stream_ = &file_;
}

void Output::flush() {
  errno = 0;
  stream_->flush();
  check(stream_->good(), "{}: cannot be written: {}",
        path_.empty() ? "standard output" : written_.string(), std::strerror(errno));
}

void Output::finish() {
  flush();
  if (path_.empty()) return;
  file_.close();
  check(!file_.fail(), "{}: cannot be written", written_.string());
  if (written_ != path_) std::filesystem::rename(written_, path_);
}

}  // namespace dragoman
