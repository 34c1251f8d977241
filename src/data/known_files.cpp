#include "data/known_files.h"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "hdf5/file.h"

namespace dragoman {
namespace {

constexpr int64_t kNanoseconds = 1'000'000'000;  // in a second
/// The slowest clock in use, that of FAT, ticks every two seconds.
constexpr int64_t kSlowestTick = 2 * kNanoseconds;

int64_t now() {
  using std::chrono::nanoseconds, std::chrono::system_clock;
  return std::chrono::duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace

FileStamp stamp_of(const std::filesystem::path& path) {
  std::error_code error;
  FileStamp stamp{.path = std::filesystem::canonical(path, error)};
  check(!error, "{}: cannot be read: {}", path.string(), error.message());
  struct stat status {};
  if (::stat(stamp.path.c_str(), &status) != 0)
    fail("{}: cannot be read: {}", path.string(), std::strerror(errno));
  stamp.size = status.st_size;
  stamp.modified = status.st_mtim.tv_sec * kNanoseconds + status.st_mtim.tv_nsec;
  stamp.settled = S_ISREG(status.st_mode) && stamp.modified <= now() - kSlowestTick;
  return stamp;
}

std::filesystem::path KnownFiles::record_of(const FileStamp& file) const {
  return directory_ / fmt::format("known-{:016x}.h5", Fnv1a().add(file.path.string()).value());
}

std::optional<std::vector<int64_t>> KnownFiles::recall(const FileStamp& file) const {
  const std::filesystem::path path = record_of(file);
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const hdf5::File record = hdf5::File::open(path);
    if (record.string_attribute("/", "path") != file.path.string() ||
        record.int_attribute("/", "size") != file.size ||
        record.int_attribute("/", "modified") != file.modified)
      return std::nullopt;
    return record.read<int64_t>("/findings");
  } catch (const Error& error) {
    log::warn("{} is damaged, and {} will be read again: {}", path.string(), file.path.string(),
              error.what());
    return std::nullopt;
  }
}

void KnownFiles::remember(const FileStamp& file, const std::vector<int64_t>& findings) const {
  try {
    std::filesystem::create_directories(directory_);
    write_atomically(record_of(file), [&](const std::filesystem::path& temporary) {
      hdf5::File record = hdf5::File::create(temporary);
      record.set_attribute("/", "path", file.path.string());
      record.set_attribute("/", "size", file.size);
      record.set_attribute("/", "modified", file.modified);
      record.write<int64_t>("/findings", findings);
      record.close();
    });
  } catch (const std::exception& error) {
    log::warn("the next start will read all of {} again: {}", file.path.string(), error.what());
  }
}

void KnownFiles::forget(const FileStamp& file) const {
  std::error_code ignored;  // nothing to forget, or where nothing can be written
  std::filesystem::remove(record_of(file), ignored);
}

}  // namespace dragoman
