// Text in HDF5 files, and attributes.
#include <algorithm>

#include "hdf5/detail.h"

namespace dragoman::hdf5 {
namespace {

// The type of `text`, whose bytes fill it; but HDF5 has none of no bytes.
Handle type_of(const std::string& text, const std::string& where) {
  Handle type = made(H5Tcopy(H5T_C_S1), H5Tclose, where, "created");
  require(H5Tset_size(type.id(), std::max<size_t>(text.size(), 1)), where, "created");
  require(H5Tset_strpad(type.id(), H5T_STR_NULLPAD), where, "created");
  require(H5Tset_cset(type.id(), H5T_CSET_UTF8), where, "created");
  return type;
}

void reject_nul(const std::string& text, const std::string& where) {
  check(text.find('\0') == std::string::npos, "{}: text with a NUL character cannot be stored",
        where);
}

void require_one(const Handle& space, const std::string& where) {
  const hssize_t count = H5Sget_simple_extent_npoints(space.id());
  check(count == 1, "{}: holds {} values where one is expected", where, count);
}

// The text of `type` that `read(buffer)` puts into its argument.
template <class Read>
std::string read_text(const Handle& type, const std::string& where, Read read) {
  check(H5Tget_class(type.id()) == H5T_STRING && H5Tis_variable_str(type.id()) == 0,
        "{}: holds no text of fixed length", where);
  std::string text(H5Tget_size(type.id()), '\0');
  require(read(text.data()), where, "read");
  return text.substr(0, text.find('\0'));
}

}  // namespace

void File::write_string(const std::string& name, const std::string& text) {
  const Lock lock;
  const std::string where = where_in(path_, name);
  reject_nul(text, where);
  const Handle type = type_of(text, where);
  const Handle space = simple_space({1}, {1}, where);
  const Handle creation = creation_properties({1}, {}, where);
  Handle dataset = create_dataset(handle_.id(), name, type.id(), space, creation, where);
  require(H5Dwrite(dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.c_str()), where,
          "written");
  close_or_fail(dataset, where, "written");
  require_written(failure_.get(), where);
}

std::string File::read_string(const std::string& name) const {
  const Lock lock;
  const std::string where = where_in(path_, name);
  const Handle dataset = open_dataset(handle_.id(), name, where);
  require_one(made(H5Dget_space(dataset.id()), H5Sclose, where, "read"), where);
  const Handle type = made(H5Dget_type(dataset.id()), H5Tclose, where, "read");
  return read_text(type, where, [&](char* buffer) {
    return H5Dread(dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
  });
}

// Attributes ----------------------------------------------------------------------------------

namespace {

std::string attribute_where(const std::filesystem::path& path, const std::string& object,
                            const std::string& name) {
  return fmt::format("{}: {}: attribute {}", path.string(), object, name);
}

void write_attribute(File& file, hid_t id, const std::string& object, const std::string& name,
                     hid_t type, const void* value) {
  const std::string where = attribute_where(file.path(), object, name);
  if (!file.exists(object)) file.make_group(object);
  const Handle owner = made(H5Oopen(id, object.c_str(), H5P_DEFAULT), H5Oclose, where, "written");
  if (H5Aexists(owner.id(), name.c_str()) > 0)
    require(H5Adelete(owner.id(), name.c_str()), where, "replaced");
  const Handle space = made(H5Screate(H5S_SCALAR), H5Sclose, where, "written");
  Handle attribute =
      made(H5Acreate2(owner.id(), name.c_str(), type, space.id(), H5P_DEFAULT, H5P_DEFAULT),
           H5Aclose, where, "written");
  require(H5Awrite(attribute.id(), type, value), where, "written");
  close_or_fail(attribute, where, "written");
}

Handle open_attribute(hid_t file, const std::string& object, const std::string& name,
                      const std::string& where) {
  Handle attribute =
      made(H5Aopen_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
           where, "read");
  require_one(made(H5Aget_space(attribute.id()), H5Sclose, where, "read"), where);
  return attribute;
}

template <Element T>
T read_attribute(hid_t file, const std::string& object, const std::string& name,
                 const std::string& where) {
  const Handle attribute = open_attribute(file, object, name, where);
  const Handle type = made(H5Aget_type(attribute.id()), H5Tclose, where, "read");
  check(H5Tget_class(type.id()) == (std::floating_point<T> ? H5T_FLOAT : H5T_INTEGER),
        "{}: is no {} number", where, std::floating_point<T> ? "real" : "whole");
  T value{};
  require(H5Aread(attribute.id(), memory_type<T>(), &value), where, "read");
  return value;
}

}  // namespace

void File::set_attribute(const std::string& object, const std::string& name, int64_t value) {
  const Lock lock;
  write_attribute(*this, handle_.id(), object, name, H5T_NATIVE_INT64, &value);
}

void File::set_attribute(const std::string& object, const std::string& name, double value) {
  const Lock lock;
  write_attribute(*this, handle_.id(), object, name, H5T_NATIVE_DOUBLE, &value);
}

void File::set_attribute(const std::string& object, const std::string& name,
                         const std::string& value) {
  const Lock lock;
  const std::string where = attribute_where(path_, object, name);
  reject_nul(value, where);
  const Handle type = type_of(value, where);
  write_attribute(*this, handle_.id(), object, name, type.id(), value.c_str());
}

bool File::has_attribute(const std::string& object, const std::string& name) const {
  const Lock lock;
  if (!exists(object)) return false;
  const htri_t found = H5Aexists_by_name(handle_.id(), object.c_str(), name.c_str(), H5P_DEFAULT);
  require(found, attribute_where(path_, object, name), "looked up");
  return found > 0;
}

int64_t File::int_attribute(const std::string& object, const std::string& name) const {
  const Lock lock;
  return read_attribute<int64_t>(handle_.id(), object, name, attribute_where(path_, object, name));
}

double File::real_attribute(const std::string& object, const std::string& name) const {
  const Lock lock;
  return read_attribute<double>(handle_.id(), object, name, attribute_where(path_, object, name));
}

std::string File::string_attribute(const std::string& object, const std::string& name) const {
  const Lock lock;
  const std::string where = attribute_where(path_, object, name);
  const Handle attribute = open_attribute(handle_.id(), object, name, where);
  const Handle type = made(H5Aget_type(attribute.id()), H5Tclose, where, "read");
  return read_text(type, where,
                   [&](char* buffer) { return H5Aread(attribute.id(), type.id(), buffer); });
}

std::vector<std::string> File::attributes(const std::string& object) const {
  const Lock lock;
  const std::string where = where_in(path_, object);
  const Handle owner =
      made(H5Oopen(handle_.id(), object.c_str(), H5P_DEFAULT), H5Oclose, where, "opened");
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  std::vector<std::string> names;
  require(H5Aiterate2(owner.id(), H5_INDEX_NAME, kAnyOrder, nullptr, add, &names), where, "listed");
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace dragoman::hdf5
