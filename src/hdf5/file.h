// HDF5 files as the house uses them: arrays, strings and attributes by path, and errors that name
// the file. Checkpoints and prepared corpora are such files; h5py, h5dump and others read them too.
//
// A thread may read a corpus while another writes a checkpoint: everything here takes one lock of
// the process. HDF5 itself has such a lock only where it was built threadsafe (Debian's is), and
// then for single calls, where what is done here takes several.
//
// A damaged file is never read as something else: all that is stored has a checksum, which is
// verified when it is read. For HDF5 that takes the format of version 1.10, arrays in chunks, and
// text of fixed length (text of any length lies in a heap that has none).
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dragoman::hdf5 {

/// An element of an array: float, double, int32_t, int64_t or uint8_t.
template <class T>
concept Element = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, int32_t> ||
    std::same_as<T, int64_t> || std::same_as<T, uint8_t>;

using Shape = std::vector<int64_t>;

/// How an array lies in the file: in chunks, each with a Fletcher32 checksum.
struct Storage {
  int64_t chunk = 0;  ///< rows (elements, in one dimension) a chunk; 0: some 2^20 elements
  int deflate = 0;    ///< 1 to 9 compresses each chunk
};

/// An HDF5 object id that is closed on destruction.
class Handle {
 public:
  using Close = int (*)(int64_t);
  Handle() = default;
  Handle(int64_t id, Close closer) : id_(id), close_(closer) {}
  Handle(Handle&& other) noexcept;
  Handle& operator=(Handle&& other) noexcept;
  ~Handle();

  int64_t id() const { return id_; }
  /// Closes now; false when HDF5 reports an error, as it does for data that it could not write.
  bool close();

 private:
  int64_t id_ = -1;
  Close close_ = nullptr;
};

/// One file. Objects are named by path ("/parameters/encoder.embedding"); groups on the way are
/// made as needed. Every method throws Error, with the file's path and HDF5's own reason.
class File {
 public:
  /// Opens for reading. Error when the file is missing, no HDF5 file, truncated or damaged.
  static File open(const std::filesystem::path& path);
  /// Creates a new file, replacing one of that name. Use with `write_atomically`.
  static File create(const std::filesystem::path& path);

  File(File&&) = default;
  File& operator=(File&& other) noexcept;

  /// Writes out everything and closes. Call it: a destructor cannot report that the disk is full.
  void close();
  void flush();

  const std::filesystem::path& path() const { return path_; }

  /// Writes an array; `shape` is {data.size()} unless given.
  template <Element T>
  void write(const std::string& name, std::span<const T> data, Shape shape = {},
             const Storage& storage = {});
  template <Element T>
  void write(const std::string& name, const std::vector<T>& data, Shape shape = {},
             const Storage& storage = {}) {
    write<T>(name, std::span<const T>(data), std::move(shape), storage);
  }

  /// A whole array, row by row. Error when it holds numbers of another kind (real, whole) or
  /// integers too wide for T.
  template <Element T>
  std::vector<T> read(const std::string& name) const;
  /// The same into `out`, whose size must be that of the array.
  template <Element T>
  void read_into(const std::string& name, std::span<T> out) const;

  /// UTF-8 text without NUL characters (bytes of any kind are an array of uint8_t).
  void write_string(const std::string& name, const std::string& text);
  std::string read_string(const std::string& name) const;

  /// Attributes of the group or array `object` ("/" is the file); a group is made where missing.
  /// Text of more than 64 KB is for `write_string`: as an attribute it would have no checksum.
  void set_attribute(const std::string& object, const std::string& name, int64_t value);
  void set_attribute(const std::string& object, const std::string& name, double value);
  void set_attribute(const std::string& object, const std::string& name, const std::string& value);
  bool has_attribute(const std::string& object, const std::string& name) const;
  int64_t int_attribute(const std::string& object, const std::string& name) const;
  double real_attribute(const std::string& object, const std::string& name) const;
  std::string string_attribute(const std::string& object, const std::string& name) const;
  /// The names of an object's attributes, sorted.
  std::vector<std::string> attributes(const std::string& object) const;

  void make_group(const std::string& name);
  bool exists(const std::string& name) const;
  bool is_group(const std::string& name) const;
  /// The names (not paths) in a group, sorted.
  std::vector<std::string> list(const std::string& group = "/") const;
  /// The dimensions of an array; {1} for text.
  Shape shape(const std::string& name) const;
  /// "float32", "float64", "int32", "int64", "uint8", "string", or "other".
  std::string type_name(const std::string& name) const;

 private:
  template <Element T>
  friend class Reader;
  template <Element T>
  friend class Writer;

  explicit File(std::filesystem::path path)
      : path_(std::move(path)), failure_(std::make_unique<int>(0)) {}

  std::filesystem::path path_;
  std::unique_ptr<int> failure_;  // the first system error in writing; outlives the handle
  Handle handle_;
};

/// Reads ranges of a one-dimensional array, with a cache of its chunks. The file must outlive it.
template <Element T>
class Reader {
 public:
  Reader(const File& file, const std::string& name, int64_t cache_bytes = 16 << 20);

  int64_t size() const { return size_; }
  /// The elements [begin, end).
  std::vector<T> read(int64_t begin, int64_t end) const;
  void read_into(int64_t begin, std::span<T> out) const;

 private:
  std::string where_;
  Handle handle_;
  int64_t size_ = 0;
};

/// Writes a one-dimensional array that grows, for data that is never in memory as a whole. Holds
/// back less than a chunk. The file must outlive it.
template <Element T>
class Writer {
 public:
  /// `storage.chunk` must be positive.
  Writer(File& file, const std::string& name, const Storage& storage);

  int64_t size() const { return written_ + static_cast<int64_t>(pending_.size()); }
  void append(std::span<const T> data);
  /// Writes out what is held back and closes; to be called before File::close.
  void close();

 private:
  void write_pending();

  std::string where_;
  const int* failure_;
  Handle handle_;
  std::vector<T> pending_;
  int64_t chunk_ = 0;
  int64_t written_ = 0;
};

}  // namespace dragoman::hdf5
