#include "core/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

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

// The temporary name carries the process, so that two runs never write into one file.
std::string temporary_name(const fs::path& path, pid_t process) {
  return fmt::format("{}.{}.tmp", path.filename().string(), process);
}

// A process that was killed leaves its temporary file; whoever writes the same file next removes
// it.
void remove_leftovers(const fs::path& path) {
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
    if (middle.size() > 9 || middle.find_first_not_of("0123456789") != std::string::npos) continue;
    const bool gone = ::kill(std::stoi(middle), 0) != 0 && errno == ESRCH;
    if (gone) fs::remove(entry.path(), ignored);
  }
}

// Returns when the file or directory is on the disk.
void sync(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  check(file.ok() && ::fsync(file.id()) == 0, "{}: cannot be synced to disk: {}", path.string(),
        write_failure(errno));
}

void write_bytes(const fs::path& path, std::string_view bytes) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  check(file.ok(), "{}", write_failure(errno));
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.id(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    check(written >= 0, "{}", write_failure(errno));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  check(file.close(), "{}", write_failure(errno));
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

std::string write_failure(int error) {
  return fmt::format("{}: make room or choose another directory", std::strerror(error));
}

void write_atomically(const fs::path& path, const std::function<void(const fs::path&)>& write) {
  std::error_code ignored;
  check(!fs::exists(path, ignored) || fs::is_regular_file(path, ignored),
        "{}: cannot be written: it is there and no regular file", path.string());
  remove_leftovers(path);
  const fs::path temporary = directory_of(path) / temporary_name(path, ::getpid());
  try {
    write(temporary);
    sync(temporary);
    check(::rename(temporary.c_str(), path.c_str()) == 0, "{}", write_failure(errno));
    sync(directory_of(path));
  } catch (const std::exception& e) {
    const bool existed = fs::exists(path, ignored);
    fs::remove(temporary, ignored);
    fail("{}: cannot be written: {} ({})", path.string(), e.what(),
         existed ? "the file there before is unchanged" : "nothing was left behind");
  }
}

void write_atomically(const fs::path& path, std::string_view bytes) {
  write_atomically(path, [&](const fs::path& temporary) { write_bytes(temporary, bytes); });
}

}  // namespace dragoman
