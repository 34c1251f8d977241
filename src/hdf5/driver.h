// How new HDF5 files reach the disk. HDF5 does not survive a write that fails: it can then neither
// close the file nor free it, and crashes at exit. So files are written through a driver of our
// own, which remembers the failure and lets HDF5 go on as if all were well; File reports it.
#pragma once

#include <cstdint>
#include <filesystem>

namespace dragoman::hdf5 {

/// Creates a file for writing, and returns its HDF5 id (negative on failure). The first system
/// error met in writing is put into `failure`, which must live until the file is closed.
int64_t create_file(const std::filesystem::path& path, int* failure);

}  // namespace dragoman::hdf5
