// Whole files: reading one, and replacing one so that no crash leaves half of it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace dragoman {

/// The bytes of a file. Error when it is missing, a directory or cannot be read.
std::string read_file(const std::filesystem::path& path);

/// A file name for any `name` that a user chose, a path for one: what parts directories becomes
/// %2F, a dot that would hide it %2E and % itself %25, so that two names never share a file.
std::string file_name_for(std::string_view name);

/// Why the system took not all that was to be written, and what helps; for an Error's message.
/// `error` is an errno.
std::string write_failure(int error);

/// Replaces `path` as one step: `write` fills a temporary file in the same directory, which is
/// there and empty, is fsynced and renamed over `path`, and the directory is fsynced. Whatever
/// fails, and whenever the process is killed, `path` is the old file or the new one and never a
/// mixture; any number of processes, of any number of machines, may write the same one. Error when
/// anything fails, a full disk included, with what `write` threw; the temporary file is then gone.
void write_atomically(const std::filesystem::path& path,
                      const std::function<void(const std::filesystem::path& temporary)>& write);

/// The same for bytes at hand.
void write_atomically(const std::filesystem::path& path, std::string_view bytes);

}  // namespace dragoman
