#include "hdf5/driver.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "hdf5/detail.h"
#if H5_VERSION_GE(1, 14, 0)
#include <H5FDdevelop.h>  // what a driver is, which hdf5.h told before
#endif

namespace dragoman::hdf5 {
namespace {

// What a file is opened with, as HDF5 hands it through.
struct Settings {
  int* failure;
};

// HDF5 allocates addresses up to `allocated`; the file itself ends at `size`.
struct DiskFile {
  H5FD_t base;  // HDF5's own part comes first
  int descriptor;
  haddr_t allocated;
  haddr_t size;
  int* failure;
};

DiskFile& disk_file(H5FD_t* file) { return *reinterpret_cast<DiskFile*>(file); }
const DiskFile& disk_file(const H5FD_t* file) { return *reinterpret_cast<const DiskFile*>(file); }

void remember_failure(DiskFile& file) {
  if (*file.failure == 0) *file.failure = errno;
}

H5FD_t* open_file(const char* name, unsigned, hid_t access, haddr_t) {
  const auto* const settings = static_cast<const Settings*>(H5Pget_driver_info(access));
  const int descriptor = ::open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    *settings->failure = errno;
    return nullptr;
  }
  return &(new DiskFile{{}, descriptor, 0, 0, settings->failure})->base;
}

herr_t close_file(H5FD_t* file) {
  DiskFile* const disk = &disk_file(file);
  if (::close(disk->descriptor) != 0) remember_failure(*disk);
  delete disk;
  return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA;
  return 0;
}

haddr_t allocated(const H5FD_t* file, H5FD_mem_t) { return disk_file(file).allocated; }
herr_t set_allocated(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  disk_file(file).allocated = address;
  return 0;
}
haddr_t size(const H5FD_t* file, H5FD_mem_t) { return disk_file(file).size; }

// Beyond the end of the file there are zeros, as in a file with a hole.
herr_t read(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t count, void* buffer) {
  char* out = static_cast<char*>(buffer);
  while (count > 0) {
    const ssize_t got =
        ::pread(disk_file(file).descriptor, out, count, static_cast<off_t>(address));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) {
      std::memset(out, 0, count);
      break;
    }
    out += got;
    address += static_cast<haddr_t>(got);
    count -= static_cast<size_t>(got);
  }
  return 0;
}

herr_t write(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t count, const void* buffer) {
  DiskFile& disk = disk_file(file);
  disk.size = std::max(disk.size, address + count);
  const char* in = static_cast<const char*>(buffer);
  while (count > 0 && *disk.failure == 0) {
    const ssize_t put = ::pwrite(disk.descriptor, in, count, static_cast<off_t>(address));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      remember_failure(disk);
    } else {
      in += put;
      address += static_cast<haddr_t>(put);
      count -= static_cast<size_t>(put);
    }
  }
  return 0;
}

herr_t truncate(H5FD_t* file, hid_t, hbool_t) {
  DiskFile& disk = disk_file(file);
  if (disk.size != disk.allocated && *disk.failure == 0 &&
      ::ftruncate(disk.descriptor, static_cast<off_t>(disk.allocated)) != 0)
    remember_failure(disk);
  disk.size = disk.allocated;
  return 0;
}

hid_t driver() {
  static const hid_t id = [] {
    static H5FD_class_t driver_class{};
#if H5_VERSION_GE(1, 14, 0)
    driver_class.version = H5FD_CLASS_VERSION;
    driver_class.value = 512;  // the first of those that HDF5 gives to nobody
#endif
    driver_class.name = "dragoman";
    driver_class.maxaddr = HADDR_MAX;
    driver_class.fc_degree = H5F_CLOSE_STRONG;
    driver_class.fapl_size = sizeof(Settings);
    driver_class.open = open_file;
    driver_class.close = close_file;
    driver_class.query = query;
    driver_class.get_eoa = allocated;
    driver_class.set_eoa = set_allocated;
    driver_class.get_eof = size;
    driver_class.read = read;
    driver_class.write = write;
    driver_class.truncate = truncate;
    const H5FD_mem_t lists[H5FD_MEM_NTYPES] = H5FD_FLMAP_DICHOTOMY;
    std::copy(std::begin(lists), std::end(lists), driver_class.fl_map);
    return H5FDregister(&driver_class);
  }();
  return id;
}

}  // namespace

int64_t create_file(const std::filesystem::path& path, int* failure) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
  const Settings settings{failure};
  hid_t file = -1;
  // The format before version 1.10 has no checksums outside of arrays.
  if (H5Pset_driver(access, driver(), &settings) >= 0 &&
      H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
      keep_attributes_checked(creation) >= 0)
    file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access);
  H5Pclose(creation);
  H5Pclose(access);
  return file;
}

}  // namespace dragoman::hdf5
