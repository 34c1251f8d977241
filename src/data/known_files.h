// What was found out about files by reading them, for as long as nothing says that they changed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace dragoman {

/// What tells, without reading a file, that it may have changed.
struct FileStamp {
  std::filesystem::path path;  ///< absolute, symbolic links resolved
  int64_t size = 0;            ///< bytes
  int64_t modified = 0;        ///< time of modification: nanoseconds since 1970
  /// Whether another change would show: the file is a regular one, and was modified long enough ago
  /// that what changes it from now on gives it another time. Clocks of files tick slowly: a file
  /// may change twice within a tick.
  bool settled = false;
};

/// The stamp of a file as it is now; take it before reading what is to be remembered. Throws Error
/// when the file is not there.
FileStamp stamp_of(const std::filesystem::path& path);

/// Remembers numbers about files in a directory, as `known-KEY.h5`, where the key is a hash of a
/// file's path. They hold while path, size and time of modification are what they were. So does,
/// unnoticed, a file that was replaced by one of the same size whose time of modification was set
/// to that of the file before: what copies files with their times must not be used to exchange
/// text for other text of the same length.
class KnownFiles {
 public:
  explicit KnownFiles(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// What is remembered of a file; nothing if it may have changed. A damaged record is reported and
  /// counts as none.
  std::optional<std::vector<int64_t>> recall(const FileStamp& file) const;
  /// Remembers `findings`, in place of those before. Where they cannot be written that is reported:
  /// nothing depends on them but the time that the next start takes.
  void remember(const FileStamp& file, const std::vector<int64_t>& findings) const;
  void forget(const FileStamp& file) const;

 private:
  std::filesystem::path record_of(const FileStamp& file) const;

  std::filesystem::path directory_;
};

}  // namespace dragoman
