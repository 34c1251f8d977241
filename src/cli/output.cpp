#include "cli/output.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>

#include "core/check.h"

namespace dragoman {
namespace {

// Whether it is the file that standard output or error goes to.
bool is_printed_to(const std::filesystem::path& path) {
  struct stat file = {}, printed = {};
  if (::stat(path.c_str(), &file) != 0) return false;
  for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO}) {
    if (::fstat(descriptor, &printed) == 0 && printed.st_dev == file.st_dev &&
        printed.st_ino == file.st_ino)
      return true;
  }
  return false;
}

}  // namespace

Output::Output(const std::string& path)
    : path_(path == "-" ? "" : path), written_(path_), stream_(&std::cout) {
  if (path_.empty()) return;
  std::error_code ignored;
  check(!std::filesystem::is_directory(path_, ignored), "{}: is a directory, not a file", path);
  // Whoever gave a link wants what it leads to to be written; if that is where this program prints
  // (/dev/stdout), as it is.
  if (std::filesystem::is_symlink(path_, ignored) &&
      std::filesystem::is_regular_file(path_, ignored) && !is_printed_to(path_)) {
    written_ = path_ = std::filesystem::canonical(path_);
  }
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
