#include "hdf5/file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "hdf5/detail.h"
#include "hdf5/driver.h"

namespace dragoman::hdf5 {

std::string reason() {
  std::string text = "unknown error";
  const auto take_first = [](unsigned depth, const H5E_error2_t* error, void* out) -> herr_t {
    if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, &text);
  H5Eclear2(H5E_DEFAULT);  // a thread that ended with it would leak it
  return text;
}

Handle::Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}

Handle& Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    close();
    id_ = std::exchange(other.id_, -1);
    close_ = other.close_;
  }
  return *this;
}

Handle::~Handle() { close(); }

bool Handle::close() {
  if (id_ < 0) return true;
  const Lock lock;
  return close_(std::exchange(id_, -1)) >= 0;
}

Shape shape_of(hid_t dataset, const std::string& where) {
  const Handle space = made(H5Dget_space(dataset), H5Sclose, where, "read");
  const int rank = H5Sget_simple_extent_ndims(space.id());
  std::vector<hsize_t> dims(static_cast<size_t>(std::max(rank, 0)));
  require(H5Sget_simple_extent_dims(space.id(), dims.data(), nullptr), where, "read");
  // What is damaged or forged may have more elements than an integer counts.
  constexpr double kMostElements = 0x1p62;
  check(std::accumulate(dims.begin(), dims.end(), 1.0, std::multiplies<>()) < kMostElements,
        "{}: has the impossible shape [{}]", where, fmt::join(dims, ", "));
  return {dims.begin(), dims.end()};
}

Handle creation_properties(const std::vector<hsize_t>& chunk, const Storage& storage,
                           const std::string& where) {
  Handle list = made(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, where, "created");
  require(keep_attributes_checked(list.id()), where, "created");
  if (chunk.empty()) return list;
  require(H5Pset_chunk(list.id(), static_cast<int>(chunk.size()), chunk.data()), where, "created");
  if (storage.deflate > 0) {
    require(H5Pset_shuffle(list.id()), where, "created");
    require(H5Pset_deflate(list.id(), static_cast<unsigned>(storage.deflate)), where, "created");
  }
  require(H5Pset_fletcher32(list.id()), where, "created");
  return list;
}

namespace {

void make_group_at(hid_t file, const std::string& name, const std::string& where) {
  const Handle creation = made(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, where, "created");
  require(keep_attributes_checked(creation.id()), where, "created");
  Handle group = made(H5Gcreate2(file, name.c_str(), H5P_DEFAULT, creation.id(), H5P_DEFAULT),
                      H5Gclose, where, "created");
  close_or_fail(group, where, "created");
}

}  // namespace

void make_parents(hid_t file, const std::string& name, const std::string& where) {
  for (size_t end = name.find('/', 1); end != std::string::npos; end = name.find('/', end + 1)) {
    const std::string parent = name.substr(0, end);
    if (H5Lexists(file, parent.c_str(), H5P_DEFAULT) <= 0) make_group_at(file, parent, where);
  }
}

Handle create_dataset(hid_t file, const std::string& name, hid_t type, const Handle& space,
                      const Handle& creation, const std::string& where) {
  make_parents(file, name, where);
  return made(
      H5Dcreate2(file, name.c_str(), type, space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT),
      H5Dclose, where, "created");
}

// Files ---------------------------------------------------------------------------------------

File File::open(const std::filesystem::path& path) {
  const Lock lock;
  std::error_code error;
  check(std::filesystem::exists(path, error), "{}: no such file", path.string());
  check(std::filesystem::is_regular_file(path, error), "{}: is not a file", path.string());
  const htri_t is_hdf5 = H5Fis_hdf5(path.c_str());
  if (is_hdf5 < 0) fail("{}: cannot be read: {}", path.string(), reason());
  check(is_hdf5 > 0, "{}: is not an HDF5 file: give a file that dragoman wrote", path.string());
  File file(path);
  file.handle_ = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (file.handle_.id() < 0) {
    fail("{}: is damaged or cut short: {} (take another copy or another checkpoint)", path.string(),
         reason());
  }
  return file;
}

File File::create(const std::filesystem::path& path) {
  const Lock lock;
  File file(path);
  file.handle_ = Handle(create_file(path, file.failure_.get()), H5Fclose);
  if (file.handle_.id() < 0) {
    fail("{}: cannot be created: {}", path.string(),
         *file.failure_ != 0 ? write_failure(*file.failure_) : reason());
  }
  return file;
}

File& File::operator=(File&& other) noexcept {
  path_.swap(other.path_);
  failure_.swap(other.failure_);
  std::swap(handle_, other.handle_);
  return *this;
}

void File::close() {
  const Lock lock;
  if (handle_.id() < 0) return;
  flush();
  close_or_fail(handle_, path_.string(), "closed");
  require_written(failure_.get(), path_.string());
}

void File::flush() {
  const Lock lock;
  require(H5Fflush(handle_.id(), H5F_SCOPE_LOCAL), path_.string(), "written");
  require_written(failure_.get(), path_.string());
}

// Arrays --------------------------------------------------------------------------------------

namespace {

int64_t elements(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

// A chunk of an array that is not empty.
std::vector<hsize_t> chunk_of(const Shape& shape, const Storage& storage) {
  constexpr int64_t kElements = 1 << 20;
  const int64_t row = elements(shape) / shape[0];
  const int64_t rows = storage.chunk > 0 ? storage.chunk : std::max<int64_t>(kElements / row, 1);
  std::vector<hsize_t> chunk(shape.begin(), shape.end());
  chunk[0] = static_cast<hsize_t>(std::min(rows, shape[0]));
  return chunk;
}

}  // namespace

template <Element T>
void File::write(const std::string& name, std::span<const T> data, Shape shape,
                 const Storage& storage) {
  const Lock lock;
  const std::string where = where_in(path_, name);
  if (shape.empty()) shape = {static_cast<int64_t>(data.size())};
  check(elements(shape) == static_cast<int64_t>(data.size()),
        "{}: {} elements do not fill the shape of {}", where, data.size(), elements(shape));
  const std::vector<hsize_t> dims(shape.begin(), shape.end());
  const Handle space = simple_space(dims, dims, where);
  const auto chunk = data.empty() ? std::vector<hsize_t>{} : chunk_of(shape, storage);
  const Handle creation = creation_properties(chunk, storage, where);
  Handle dataset = create_dataset(handle_.id(), name, memory_type<T>(), space, creation, where);
  if (!data.empty()) {
    require(H5Dwrite(dataset.id(), memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data.data()),
            where, "written");
  }
  close_or_fail(dataset, where, "written");
  require_written(failure_.get(), where);
}

template <Element T>
std::vector<T> File::read(const std::string& name) const {
  std::vector<T> out(static_cast<size_t>(elements(shape(name))));
  read_into<T>(name, out);
  return out;
}

template <Element T>
void File::read_into(const std::string& name, std::span<T> out) const {
  const Lock lock;
  const std::string where = where_in(path_, name);
  const Handle dataset = open_dataset(handle_.id(), name, where);
  require_kind<T>(dataset.id(), where);
  const int64_t stored = elements(shape_of(dataset.id(), where));
  check(stored == static_cast<int64_t>(out.size()), "{}: holds {} elements where {} are expected",
        where, stored, out.size());
  require(H5Dread(dataset.id(), memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()), where,
          "read");
}

Shape File::shape(const std::string& name) const {
  const Lock lock;
  const std::string where = where_in(path_, name);
  return shape_of(open_dataset(handle_.id(), name, where).id(), where);
}

std::string File::type_name(const std::string& name) const {
  const Lock lock;
  const std::string where = where_in(path_, name);
  const Handle dataset = open_dataset(handle_.id(), name, where);
  const Handle type = made(H5Dget_type(dataset.id()), H5Tclose, where, "read");
  const size_t bits = 8 * H5Tget_size(type.id());
  switch (H5Tget_class(type.id())) {
    case H5T_FLOAT:
      return fmt::format("float{}", bits);
    case H5T_INTEGER:
      return fmt::format("{}int{}", H5Tget_sign(type.id()) == H5T_SGN_NONE ? "u" : "", bits);
    case H5T_STRING:
      return "string";
    default:
      return "other";
  }
}

#define DRAGOMAN_HDF5_ELEMENT(T)                                                               \
  template void File::write<T>(const std::string&, std::span<const T>, Shape, const Storage&); \
  template std::vector<T> File::read<T>(const std::string&) const;                             \
  template void File::read_into<T>(const std::string&, std::span<T>) const;
DRAGOMAN_HDF5_ELEMENT(float)
DRAGOMAN_HDF5_ELEMENT(double)
DRAGOMAN_HDF5_ELEMENT(int32_t)
DRAGOMAN_HDF5_ELEMENT(int64_t)
DRAGOMAN_HDF5_ELEMENT(uint8_t)
#undef DRAGOMAN_HDF5_ELEMENT

// Groups --------------------------------------------------------------------------------------

void File::make_group(const std::string& name) {
  const Lock lock;
  if (is_group(name)) return;
  const std::string where = where_in(path_, name);
  make_parents(handle_.id(), name, where);
  make_group_at(handle_.id(), name, where);
}

bool File::exists(const std::string& name) const {
  const Lock lock;
  if (name == "/") return true;
  // HDF5 answers for the last step of a path only when the step before it is a group.
  const size_t end = name.rfind('/');
  if (!is_group(end == std::string::npos || end == 0 ? "/" : name.substr(0, end))) return false;
  const htri_t found = H5Lexists(handle_.id(), name.c_str(), H5P_DEFAULT);
  require(found, where_in(path_, name), "looked up");
  return found > 0;
}

bool File::is_group(const std::string& name) const {
  const Lock lock;
  if (!exists(name)) return false;
  const Handle object = made(H5Oopen(handle_.id(), name.c_str(), H5P_DEFAULT), H5Oclose,
                             where_in(path_, name), "opened");
  return H5Iget_type(object.id()) == H5I_GROUP;
}

std::vector<std::string> File::list(const std::string& group) const {
  const Lock lock;
  const std::string where = where_in(path_, group);
  const Handle handle =
      made(H5Gopen2(handle_.id(), group.c_str(), H5P_DEFAULT), H5Gclose, where, "opened");
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  std::vector<std::string> names;
  require(H5Literate(handle.id(), H5_INDEX_NAME, kAnyOrder, nullptr, add, &names), where, "listed");
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace dragoman::hdf5
