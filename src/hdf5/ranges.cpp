// Parts of one-dimensional arrays: reading a range, writing at the end.
#include <algorithm>

#include "hdf5/detail.h"

namespace dragoman::hdf5 {
namespace {

// The dataset's elements [begin, begin + count) as a selection.
Handle range_of(hid_t dataset, int64_t begin, int64_t count, const std::string& where) {
  Handle space = made(H5Dget_space(dataset), H5Sclose, where, "read");
  const hsize_t start = static_cast<hsize_t>(begin);
  const hsize_t length = static_cast<hsize_t>(count);
  require(H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, &start, nullptr, &length, nullptr), where,
          "selected from");
  return space;
}

}  // namespace

template <Element T>
Reader<T>::Reader(const File& file, const std::string& name, int64_t cache_bytes)
    : where_(where_in(file.path(), name)) {
  const Lock lock;
  const Handle access = made(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose, where_, "opened");
  constexpr size_t kSlots = 12421;  // a prime, well above the chunks that fit
  require(H5Pset_chunk_cache(access.id(), kSlots, static_cast<size_t>(cache_bytes),
                             H5D_CHUNK_CACHE_W0_DEFAULT),
          where_, "opened");
  handle_ = open_dataset(file.handle_.id(), name, where_, access.id());
  require_kind<T>(handle_.id(), where_);
  const Shape shape = shape_of(handle_.id(), where_);
  check(shape.size() == 1, "{}: has {} dimensions where one is expected", where_, shape.size());
  size_ = shape[0];
}

template <Element T>
std::vector<T> Reader<T>::read(int64_t begin, int64_t end) const {
  std::vector<T> out(static_cast<size_t>(std::max<int64_t>(end - begin, 0)));
  read_into(begin, out);
  return out;
}

template <Element T>
void Reader<T>::read_into(int64_t begin, std::span<T> out) const {
  const int64_t count = static_cast<int64_t>(out.size());
  check(begin >= 0 && begin + count <= size_, "{}: elements {} to {} asked for, but there are {}",
        where_, begin, begin + count, size_);
  if (count == 0) return;
  const Lock lock;
  const Handle range = range_of(handle_.id(), begin, count, where_);
  const std::vector<hsize_t> dims = {out.size()};
  const Handle memory = simple_space(dims, dims, where_);
  require(H5Dread(handle_.id(), memory_type<T>(), memory.id(), range.id(), H5P_DEFAULT, out.data()),
          where_, "read");
}

template <Element T>
Writer<T>::Writer(File& file, const std::string& name, const Storage& storage)
    : where_(where_in(file.path(), name)), failure_(file.failure_.get()), chunk_(storage.chunk) {
  const Lock lock;
  check(storage.chunk > 0, "{}: an array that grows needs chunks", where_);
  const Handle space = simple_space({0}, {H5S_UNLIMITED}, where_);
  const Handle creation = creation_properties({static_cast<hsize_t>(chunk_)}, storage, where_);
  handle_ = create_dataset(file.handle_.id(), name, memory_type<T>(), space, creation, where_);
}

template <Element T>
void Writer<T>::append(std::span<const T> data) {
  while (!data.empty()) {
    const size_t room = static_cast<size_t>(chunk_) - pending_.size();
    const std::span<const T> part = data.first(std::min(room, data.size()));
    pending_.insert(pending_.end(), part.begin(), part.end());
    data = data.subspan(part.size());
    if (static_cast<int64_t>(pending_.size()) == chunk_) write_pending();
  }
}

template <Element T>
void Writer<T>::write_pending() {
  const Lock lock;
  const int64_t count = static_cast<int64_t>(pending_.size());
  const std::vector<hsize_t> size = {static_cast<hsize_t>(written_ + count)};
  require(H5Dset_extent(handle_.id(), size.data()), where_, "written");
  const Handle range = range_of(handle_.id(), written_, count, where_);
  const std::vector<hsize_t> dims = {pending_.size()};
  const Handle memory = simple_space(dims, dims, where_);
  require(H5Dwrite(handle_.id(), memory_type<T>(), memory.id(), range.id(), H5P_DEFAULT,
                   pending_.data()),
          where_, "written");
  require_written(failure_, where_);
  written_ += count;
  pending_.clear();
}

template <Element T>
void Writer<T>::close() {
  const Lock lock;
  if (handle_.id() < 0) return;
  if (!pending_.empty()) write_pending();
  close_or_fail(handle_, where_, "written");
  require_written(failure_, where_);
}

template class Reader<float>;
template class Reader<double>;
template class Reader<int32_t>;
template class Reader<int64_t>;
template class Reader<uint8_t>;
template class Writer<float>;
template class Writer<double>;
template class Writer<int32_t>;
template class Writer<int64_t>;
template class Writer<uint8_t>;

}  // namespace dragoman::hdf5
