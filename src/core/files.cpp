#include "core/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <random>

#include "core/check.h"

namespace dragoman {
namespace {

namespace fs = std::filesystem;

// A POSIX file descriptor; `close` reports what the destructor cannot.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0)
      : id_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int id() const { return id_; }
  bool ok() const { return id_ >= 0; }
  bool close() {
    const bool closed = id_ < 0 || ::close(id_) == 0;
    id_ = -1;
    return closed;
  }

 private:
  int id_;
};

std::string reason() { return std::strerror(errno); }

fs::path directory_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// A file in the directory of `path`, to be written and then renamed to it. No other process has its
// name, and it is locked for as long as it is written: a name or a number of a process would say
// nothing to another machine or container that shares the directory.
class Temporary {
 public:
  explicit Temporary(const fs::path& path) {
    do {
      file_.emplace(path_ = unused_name(path), O_RDWR | O_CREAT | O_EXCL, 0666);
      if (!file_->ok() && errno != EEXIST) fail("{}", write_failure(errno));
    } while (!file_->ok() || !is_mine());
  }
  ~Temporary() {
    std::error_code ignored;
    if (!renamed_) fs::remove(path_, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  const fs::path& path() const { return path_; }

  // It is on the disk, and then has its final name.
  void become(const fs::path& path) {
    // Whoever wrote it may have put another file in its place.
    const Descriptor written(path_, O_RDONLY);
    if (!written.ok() || ::fsync(written.id()) != 0) fail("{}", write_failure(errno));
    if (::rename(path_.c_str(), path.c_str()) != 0) fail("{}", write_failure(errno));
    renamed_ = true;
  }

  // Removes those of `path` that a killed process left: nobody locks them.
  static void remove_leftovers(const fs::path& path) {
    const std::string prefix = path.filename().string() + ".";
    const std::string suffix = ".tmp";
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory_of(path), ignored)) {
      const std::string name = entry.path().filename().string();
      if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) ||
          !name.ends_with(suffix))
        continue;
      const std::string middle =
          name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
      if (middle.size() > 8 || middle.find_first_not_of("0123456789abcdef") != std::string::npos)
        continue;
      const Descriptor file(entry.path(), O_RDWR | O_NOFOLLOW);
      if (file.ok() && ::flock(file.id(), LOCK_EX | LOCK_NB) == 0)
        fs::remove(entry.path(), ignored);
    }
  }

 private:
  static fs::path unused_name(const fs::path& path) {
    return directory_of(path) /
           fmt::format("{}.{:08x}.tmp", path.filename().string(), std::random_device{}());
  }

  // Locks it, unless another process did so before, and removed it. Where a file system has no
  // locks nobody gets any, and nothing is removed.
  bool is_mine() const {
    struct stat status = {};
    return ::flock(file_->id(), LOCK_EX | LOCK_NB) == 0
               ? ::fstat(file_->id(), &status) == 0 && status.st_nlink > 0
               : errno != EWOULDBLOCK;
  }

  fs::path path_;
  std::optional<Descriptor> file_;
  bool renamed_ = false;
};

// Returns when the names in a directory are on the disk. Some file systems cannot say so, and some
// have nothing to do for it.
void sync_directory(const fs::path& path) {
  const Descriptor directory(path, O_RDONLY | O_DIRECTORY);
  if (directory.ok() && ::fsync(directory.id()) != 0 && errno != EINVAL && errno != ENOTSUP)
    fail("{}: cannot be synced to disk: {}", path.string(), std::strerror(errno));
}

void write_bytes(const fs::path& path, std::string_view bytes) {
  Descriptor file(path, O_WRONLY | O_TRUNC);
  if (!file.ok()) fail("{}", write_failure(errno));
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.id(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("{}", write_failure(errno));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  if (!file.close()) fail("{}", write_failure(errno));
}

}  // namespace

std::string read_file(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  check(file.ok(), "{}: cannot be read: {}", path.string(), reason());
  std::string bytes;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.id(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    check(count >= 0, "{}: cannot be read: {}", path.string(), reason());
    if (count == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(count));
  }
}

std::string file_name_for(std::string_view name) {
  std::string file;
  for (const char c : name) {
    if (c == '/') {
      file += "%2F";
    } else if (c == '%') {
      file += "%25";
    } else if (c == '.' && file.empty()) {
      file += "%2E";
    } else {
      file += c;
    }
  }
  return file;
}

std::string write_failure(int error) {
  return fmt::format("{}: make room or choose another directory", std::strerror(error));
}

void write_atomically(const fs::path& path, const std::function<void(const fs::path&)>& write) {
  std::error_code ignored;
  check(!fs::exists(path, ignored) || fs::is_regular_file(path, ignored),
        "{}: cannot be written: it is there and no regular file", path.string());
  Temporary::remove_leftovers(path);
  try {
    Temporary temporary(path);
    write(temporary.path());
    temporary.become(path);
  } catch (const std::exception& e) {
    fail("{}: cannot be written: {} ({})", path.string(), e.what(),
         fs::exists(path, ignored) ? "the file there before is unchanged"
                                   : "nothing was left behind");
  }
  sync_directory(directory_of(path));
}

void write_atomically(const fs::path& path, std::string_view bytes) {
  write_atomically(path, [&](const fs::path& temporary) { write_bytes(temporary, bytes); });
}

}  // namespace dragoman
