// Whole files: reading one, and replacing one so that no crash leaves half of it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace dragoman {

/// The bytes of a file. Error when it is missing, a directory or cannot be read.
std::string read_file(const std::filesystem::path& path);

/// Why the system took not all that was to be written, and what helps; for an Error's message.
/// `error` is an errno.
std::string write_failure(int error);

/// Replaces `path` as one step: `write` makes a temporary file in the same directory, which is
/// fsynced and renamed over `path`, and the directory is fsynced. Whatever fails, and whenever the
/// process is killed, `path` is the old file or the new one and never a mixture.
/// Error when anything fails, a full disk included, with what `write` threw; the temporary file is
/// then gone.
void write_atomically(const std::filesystem::path& path,
                      const std::function<void(const std::filesystem::path& temporary)>& write);

/// The same for bytes at hand.
void write_atomically(const std::filesystem::path& path, std::string_view bytes);

}  // namespace dragoman
