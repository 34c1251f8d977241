#include "cli/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>
#include <optional>
#include <random>

#include "core/check.h"
#include "core/log.h"

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

// The regular file that a path is, or that a standard stream goes to where there is no path.
std::optional<struct stat> regular_file(const std::string& path, int stream) {
  struct stat file = {};
  const bool found =
      path.empty() || path == "-" ? ::fstat(stream, &file) == 0 : ::stat(path.c_str(), &file) == 0;
  if (!found || !S_ISREG(file.st_mode)) return std::nullopt;
  return file;
}

bool is_same(const std::optional<struct stat>& one, const std::optional<struct stat>& other) {
  return one && other && one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

// A file that is not there yet is the same by its path alone.
bool is_same_path(const std::string& one, const std::string& other) {
  return std::filesystem::absolute(one).lexically_normal() ==
         std::filesystem::absolute(other).lexically_normal();
}

// Creates a file beside `path` that was not there, so that nobody else's is written to.
std::filesystem::path create_part(const std::filesystem::path& path) {
  while (true) {
    std::filesystem::path part = path;
    part += fmt::format(".{:08x}.part", std::random_device{}());
    const int file = ::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0) {
      ::close(file);
      return part;
    }
    if (errno != EEXIST) fail("{}: cannot be written: {}", path.string(), std::strerror(errno));
  }
}

}  // namespace

void keep_apart(const std::vector<NamedFile>& written, const std::vector<NamedFile>& read) {
  for (size_t w = 0; w < written.size(); ++w) {
    const NamedFile& output = written[w];
    if (output.path.empty() || output.path == "-") continue;
    const auto file = regular_file(output.path, STDOUT_FILENO);
    for (const NamedFile& input : read) {
      if (is_same(file, regular_file(input.path, STDIN_FILENO)))
        fail_usage("{} and {} are the same file: {}", output.option, input.option, output.path);
    }
    for (size_t other = 0; other < w; ++other) {
      const std::string& path = written[other].path;
      if (path.empty() || path == "-") continue;
      if (is_same(file, regular_file(path, STDOUT_FILENO)) ||
          (!std::filesystem::exists(path) && is_same_path(path, output.path)))
        fail_usage("{} and {} are the same file: {}", written[other].option, output.option, path);
    }
  }
}

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
    written_ = create_part(path_);
  errno = 0;
  file_.open(written_, std::ios::binary | std::ios::trunc);
  check(file_.is_open(), "{}: cannot be written: {}", written_.string(), std::strerror(errno));
  stream_ = &file_;
}

Output::~Output() {
  if (finished_ || written_ == path_) return;
  std::error_code ignored;
  file_.close();
  if (std::filesystem::file_size(written_, ignored) == 0) {
    std::filesystem::remove(written_, ignored);
  } else {
    log::warn("{}: is not whole; what was written so far is in {}", path_.string(),
              written_.string());
  }
}

void Output::flush() {
  errno = 0;
  stream_->flush();
  // Where the stream failed before, at a write that filled its buffer, the reason is gone.
  if (!stream_->good()) {
    fail("{}: cannot be written: {}", path_.empty() ? "standard output" : written_.string(),
         errno == 0 ? "the disk may be full" : std::strerror(errno));
  }
}

void Output::finish() {
  flush();
  if (path_.empty()) return;
  file_.close();
  check(!file_.fail(), "{}: cannot be written", written_.string());
  if (written_ != path_) std::filesystem::rename(written_, path_);
  finished_ = true;
}

}  // namespace dragoman
