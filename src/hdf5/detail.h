// What the files behind hdf5/file.h share. Private to them: the HDF5 header goes no further.
#pragma once

#include <hdf5.h>

#include <concepts>
#include <mutex>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/files.h"
#include "hdf5/file.h"

namespace dragoman::hdf5 {

static_assert(std::same_as<hid_t, int64_t> && std::same_as<herr_t, int>);

// Taken by every public function. Recursive, because they call one another and handles close
// inside.
class Lock {
 public:
  Lock() : guard_(mutex()) {
    // HDF5 would print its error stack to standard error; `reason` reads it instead. A threadsafe
    // HDF5 has a stack for each thread.
    [[maybe_unused]] static thread_local const herr_t silenced =
        H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }

 private:
  static std::recursive_mutex& mutex() {
    static std::recursive_mutex instance;
    return instance;
  }
  std::lock_guard<std::recursive_mutex> guard_;
};

// The innermost message of HDF5's error stack: what really happened.
std::string reason();

template <Element T>
hid_t memory_type() {
  if constexpr (std::same_as<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::same_as<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::same_as<T, int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::same_as<T, int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::same_as<T, uint8_t>) return H5T_NATIVE_UINT8;
}

inline std::string where_in(const std::filesystem::path& path, const std::string& name) {
  return fmt::format("{}: {}", path.string(), name);
}

// A handle for `id`, or Error "<where>: cannot be <what>: <reason>" when HDF5 gave none.
inline Handle made(hid_t id, Handle::Close close, const std::string& where, const char* what) {
  if (id < 0) fail("{}: cannot be {}: {}", where, what, reason());
  return Handle(id, close);
}
inline void require(herr_t status, const std::string& where, const char* what) {
  if (status < 0) fail("{}: cannot be {}: {}", where, what, reason());
}

inline Handle open_dataset(hid_t file, const std::string& name, const std::string& where,
                           hid_t access = H5P_DEFAULT) {
  return made(H5Dopen2(file, name.c_str(), access), H5Dclose, where, "opened");
}

inline Handle simple_space(const std::vector<hsize_t>& dims, const std::vector<hsize_t>& limits,
                           const std::string& where) {
  return made(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), limits.data()), H5Sclose,
              where, "created");
}

// Error when the disk took not all that was written (hdf5/driver.h).
inline void require_written(const int* failure, const std::string& where) {
  check(*failure == 0, "{}: cannot be written: {}", where, write_failure(*failure));
}

inline void close_or_fail(Handle& handle, const std::string& where, const char* what) {
  if (!handle.close()) fail("{}: cannot be {}: {}", where, what, reason());
}

// How names are listed. For an order of its own HDF5 makes a table first, and when the file turns
// out to be damaged it frees entries that it never set.
constexpr H5_iter_order_t kAnyOrder = H5_ITER_NATIVE;

Shape shape_of(hid_t dataset, const std::string& where);

// For the creation properties of a file, group or dataset: keeps its attributes in its header,
// which has a checksum. By default HDF5 moves many attributes to a heap, where long ones have none.
inline herr_t keep_attributes_checked(hid_t creation) {
  constexpr unsigned kMost = 65535;
  return H5Pset_attr_phase_change(creation, kMost, kMost);
}

// How a dataset is stored whose chunks are of the shape `chunk`; {} for an empty one that has none.
Handle creation_properties(const std::vector<hsize_t>& chunk, const Storage& storage,
                           const std::string& where);

// Makes the groups on the way to the object `name`, where they are missing.
void make_parents(hid_t file, const std::string& name, const std::string& where);

// Also makes the groups on the way.
Handle create_dataset(hid_t file, const std::string& name, hid_t type, const Handle& space,
                      const Handle& creation, const std::string& where);

// A number may be stored narrower than it is asked for, and a real one wider; but a fraction is no
// integer, and an integer is not cut off.
template <Element T>
void require_kind(hid_t dataset, const std::string& where) {
  const Handle type = made(H5Dget_type(dataset), H5Tclose, where, "read");
  constexpr bool kReal = std::floating_point<T>;
  check(H5Tget_class(type.id()) == (kReal ? H5T_FLOAT : H5T_INTEGER), "{}: holds no {} numbers",
        where, kReal ? "real" : "whole");
  check(kReal || H5Tget_size(type.id()) <= sizeof(T), "{}: holds numbers of more than {} bits",
        where, 8 * sizeof(T));
}

}  // namespace dragoman::hdf5
