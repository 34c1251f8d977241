#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <thread>

#include "core/check.h"
#include "core/files.h"
#include "core/parallel.h"
#include "files_harness.h"
#include "hdf5/file.h"

namespace dragoman {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Hdf5 : public InDirectory {
 protected:
  const fs::path path_ = directory_ / "f.h5";
};

template <class T>
std::vector<T> counting(size_t size, T first = 0) {
  std::vector<T> values(size);
  std::iota(values.begin(), values.end(), first);
  return values;
}

template <class T>
class Hdf5Elements : public InDirectory {};
using Elements = testing::Types<float, double, int32_t, int64_t, uint8_t>;
TYPED_TEST_SUITE(Hdf5Elements, Elements);

TYPED_TEST(Hdf5Elements, SurviveARoundTrip) {
  const auto path = this->directory_ / "f.h5";
  const std::vector<TypeParam> values = counting<TypeParam>(120);
  {
    hdf5::File file = hdf5::File::create(path);
    file.write("/a/b/plain", values);
    file.write("/matrix", values, {10, 12});
    file.write("/packed", values, {10, 12}, {.chunk = 4, .deflate = 6});
    file.write("/short", values, {}, {.chunk = 4096, .deflate = 1});
    file.write("/empty", std::vector<TypeParam>{}, {}, {.chunk = 4096, .deflate = 1});
    file.write("/scalarish", std::vector<TypeParam>{7}, {1, 1});
    file.close();
  }
  const hdf5::File file = hdf5::File::open(path);
  EXPECT_EQ(file.template read<TypeParam>("/a/b/plain"), values);
  for (const char* const name : {"/matrix", "/packed"}) {
    EXPECT_EQ(file.template read<TypeParam>(name), values);
    EXPECT_THAT(file.shape(name), ElementsAre(10, 12));
  }
  EXPECT_EQ(file.template read<TypeParam>("/short"), values);
  EXPECT_THAT(file.template read<TypeParam>("/empty"), IsEmpty());
  EXPECT_THAT(file.shape("/empty"), ElementsAre(0));
  EXPECT_THAT(file.shape("/scalarish"), ElementsAre(1, 1));
  std::vector<TypeParam> out(120);
  file.template read_into<TypeParam>("/matrix", out);
  EXPECT_EQ(out, values);
}

TYPED_TEST(Hdf5Elements, GrowInAnyPiecesAndAreReadInRanges) {
  const auto path = this->directory_ / "f.h5";
  const std::vector<TypeParam> values = counting<TypeParam>(100);
  {
    hdf5::File file = hdf5::File::create(path);
    hdf5::Writer<TypeParam> writer(file, "/g/grown", {.chunk = 16, .deflate = 4});
    const std::span<const TypeParam> all(values);
    writer.append(all.first(0));
    writer.append(all.first(5));
    writer.append(all.subspan(5, 50));
    writer.append(all.subspan(55));
    EXPECT_EQ(writer.size(), 100);
    writer.close();
    hdf5::Writer<TypeParam>(file, "/g/none", {.chunk = 16}).close();
    file.close();
  }
  const hdf5::File file = hdf5::File::open(path);
  EXPECT_EQ(file.template read<TypeParam>("/g/grown"), values);
  const hdf5::Reader<TypeParam> reader(file, "/g/grown");
  EXPECT_EQ(reader.size(), 100);
  for (const auto& [begin, end] :
       {std::pair{0, 100}, std::pair{3, 3}, std::pair{15, 17}, std::pair{99, 100}}) {
    EXPECT_EQ(reader.read(begin, end),
              std::vector<TypeParam>(values.begin() + begin, values.begin() + end));
  }
  EXPECT_EQ(hdf5::Reader<TypeParam>(file, "/g/none").size(), 0);
  EXPECT_THAT(complaint([&] { reader.read(90, 101); }),
              HasSubstr("/g/grown: elements 90 to 101 asked for, but there are 100"));
}

TEST_F(Hdf5, KeepsTextAttributesAndGroups) {
  const std::string text = "a: \u00fcbung\n\n  # 2 lines\n" + std::string(100000, 'x');
  {
    hdf5::File file = hdf5::File::create(path_);
    file.write_string("/config", text);
    file.write_string("/nothing", "");
    file.set_attribute("/", "step", int64_t{1} << 40);
    file.set_attribute("/", "score", 41.25);
    file.set_attribute("/", "format", std::string("dragoman \u00e9"));
    file.set_attribute("/scores", "long", text);
    file.set_attribute("/scores", "empty", std::string());
    file.set_attribute("/", "step", int64_t{7});
    file.set_attribute("/scores/best", "bleu", 12.5);
    file.make_group("/scores");
    file.write("/parameters/encoder.0.weight", std::vector<float>{1, 2}, {2, 1});
    file.close();
  }
  const hdf5::File file = hdf5::File::open(path_);
  EXPECT_EQ(file.read_string("/config"), text);
  EXPECT_EQ(file.read_string("/nothing"), "");
  EXPECT_EQ(file.int_attribute("/", "step"), 7);
  EXPECT_EQ(file.real_attribute("/", "score"), 41.25);
  EXPECT_EQ(file.string_attribute("/", "format"), "dragoman \u00e9");
  EXPECT_EQ(file.string_attribute("/scores", "long"), text);
  EXPECT_EQ(file.string_attribute("/scores", "empty"), "");
  EXPECT_EQ(file.real_attribute("/scores/best", "bleu"), 12.5);
  EXPECT_TRUE(file.has_attribute("/", "step"));
  EXPECT_FALSE(file.has_attribute("/", "steps"));
  EXPECT_FALSE(file.has_attribute("/nowhere/at/all", "step"));
  EXPECT_THAT(file.attributes("/"), ElementsAre("format", "score", "step"));
  EXPECT_THAT(file.list(), ElementsAre("config", "nothing", "parameters", "scores"));
  EXPECT_THAT(file.list("/parameters"), ElementsAre("encoder.0.weight"));
  EXPECT_TRUE(file.exists("/"));
  EXPECT_TRUE(file.exists("/parameters/encoder.0.weight"));
  EXPECT_FALSE(file.exists("/parameters/encoder"));
  EXPECT_FALSE(file.exists("/no/such/path"));
  EXPECT_FALSE(file.exists("/config/below/text"));
  EXPECT_TRUE(file.is_group("/scores/best"));
  EXPECT_FALSE(file.is_group("/config"));
  EXPECT_EQ(file.type_name("/parameters/encoder.0.weight"), "float32");
  EXPECT_EQ(file.type_name("/config"), "string");
}

TEST_F(Hdf5, CompressionCompresses) {
  const std::vector<int32_t> zeros(100000);
  hdf5::File file = hdf5::File::create(path_);
  file.write("/zeros", zeros, {}, {.chunk = 10000, .deflate = 4});
  file.write("/more", zeros, {1000, 100}, {.deflate = 4});
  file.close();
  EXPECT_LT(fs::file_size(path_), 10000u);
  EXPECT_EQ(hdf5::File::open(path_).read<int32_t>("/more"), zeros);
}

TEST_F(Hdf5, FilesThatCannotBeOpenedAreExplained) {
  const auto opening = [](const fs::path& path) {
    return complaint([&] { hdf5::File::open(path); });
  };
  EXPECT_THAT(opening(path_), HasSubstr("f.h5: no such file"));
  EXPECT_THAT(opening(directory_), HasSubstr("is not a file"));
  std::ofstream(path_) << "hello";
  EXPECT_THAT(opening(path_), HasSubstr("f.h5: is not an HDF5 file"));
  hdf5::File file = hdf5::File::create(path_);
  file.write("/a", counting<float>(100000));
  file.close();
  fs::resize_file(path_, fs::file_size(path_) / 2);
  EXPECT_THAT(opening(path_), AllOf(HasSubstr("f.h5: is damaged or cut short: truncated file"),
                                    HasSubstr("another checkpoint")));
  fs::resize_file(path_, 0);
  EXPECT_THAT(opening(path_), HasSubstr("f.h5: is not an HDF5 file"));
  EXPECT_THAT(complaint([&] { hdf5::File::create(directory_ / "no" / "f.h5"); }),
              HasSubstr("no/f.h5: cannot be created: No such file or directory"));
}

TEST_F(Hdf5, DamagedDataIsNoticedByItsChecksum) {
  hdf5::File file = hdf5::File::create(path_);
  file.write("/a", counting<float>(3 << 20), {3 << 10, 1 << 10});
  file.close();
  {
    std::fstream stream(path_, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(fs::file_size(path_)) / 2);
    stream.put('\x5a');
  }
  // HDF5 1.14 says no more than that a filter failed.
  EXPECT_THAT(complaint([&] { hdf5::File::open(path_).read<float>("/a"); }),
              AllOf(HasSubstr("f.h5: /a: cannot be read"),
                    AnyOf(HasSubstr("Fletcher32 checksum"), HasSubstr("filter returned failure"))));
}

// A file with each kind of structure that HDF5 has for what we store: groups and attributes, few
// and many; text; arrays of one chunk, of several and growing ones.
void write_variety(const fs::path& path) {
  hdf5::File file = hdf5::File::create(path);
  file.write_string("/config", "seed: 1\nname: \u00fcbung\n");
  for (int i = 0; i < 10; ++i) {
    file.write(fmt::format("/parameters/{}", i), counting<float>(6, static_cast<float>(i)), {2, 3});
    file.set_attribute("/many", fmt::format("whole {}", i), int64_t{i});
    file.set_attribute("/many", fmt::format("text {}", i), std::string(20, 'x'));
  }
  file.set_attribute("/many", "text", std::string(5000, 'y'));
  file.set_attribute("/few", "real", 2.5);
  file.write("/few/chunks", counting<int32_t>(50), {10, 5}, {.chunk = 3});
  file.write("/few/empty", std::vector<uint8_t>{});
  hdf5::Writer<uint8_t> writer(file, "/few/grown", {.chunk = 16, .deflate = 1});
  writer.append(counting<uint8_t>(100));
  writer.close();
  file.close();
}

// What a file says of the object `name` and of all below it.
std::string everything(const hdf5::File& file, const std::string& name) {
  std::string text = name + "\n";
  for (const std::string& attribute : file.attributes(name)) {
    text += attribute + (file.has_attribute(name, attribute) ? "=" : "?");
    if (attribute.starts_with("whole")) {
      text += fmt::format("{}\n", file.int_attribute(name, attribute));
    } else if (attribute.starts_with("text")) {
      text += file.string_attribute(name, attribute) + "\n";
    } else {
      text += fmt::format("{}\n", file.real_attribute(name, attribute));
    }
  }
  if (file.is_group(name)) {
    for (const std::string& below : file.list(name))
      text += everything(file, name == "/" ? name + below : name + "/" + below);
    return text;
  }
  const std::string type = file.type_name(name);
  text += fmt::format("{} {}\n", type, fmt::join(file.shape(name), " "));
  if (type == "string") return text + file.read_string(name) + "\n";
  if (type == "float32") return text + fmt::format("{}\n", fmt::join(file.read<float>(name), " "));
  return text + fmt::format("{}\n", fmt::join(file.read<int32_t>(name), " "));
}

TEST_F(Hdf5, NoDamagedByteIsReadAsSomethingElse) {
  write_variety(path_);
  const std::string intact = read_file(path_);
  const std::string expected = everything(hdf5::File::open(path_), "/");
  const pid_t child = ::fork();  // which may crash, or run for ever
  if (child == 0) {
    for (size_t i = 0; i < intact.size(); i += 5) {
      ::alarm(20);
      const fs::path damaged = directory_ / fmt::format("byte {}.h5", i);
      std::string bytes = intact;
      bytes[i] = static_cast<char>(bytes[i] ^ (i % 2 == 0 ? 0xff : 1 << i % 8));
      std::ofstream(damaged, std::ios::binary) << bytes;
      std::string found = expected;
      const std::string error =
          complaint([&] { found = everything(hdf5::File::open(damaged), "/"); });
      if (found != expected || !(error.empty() || error.starts_with(damaged.string()))) ::_exit(1);
      fs::remove(damaged);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(names(), ElementsAre("f.h5"));  // or also the one that was read wrongly
}

TEST_F(Hdf5, AttributesOfOtherProgramsThatDoNotFitAreErrors) {
  const hid_t file = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t text = H5Tcopy(H5T_C_S1);
  const hid_t any_length = H5Tcopy(H5T_C_S1);
  H5Tset_size(any_length, H5T_VARIABLE);
  const hsize_t size = 1000;
  const hid_t many = H5Screate_simple(1, &size, nullptr);
  const hid_t one = H5Screate(H5S_SCALAR);
  const auto add = [&](const char* name, hid_t type, hid_t space) {
    H5Aclose(H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT));
  };
  add("numbers", H5T_NATIVE_INT64, many);
  add("texts", text, many);
  add("any length", any_length, one);
  for (const hid_t type : {text, any_length}) H5Tclose(type);
  for (const hid_t space : {many, one}) H5Sclose(space);
  H5Fclose(file);
  const hdf5::File opened = hdf5::File::open(path_);
  EXPECT_THAT(complaint([&] { opened.int_attribute("/", "numbers"); }),
              HasSubstr("attribute numbers: holds 1000 values where one is expected"));
  EXPECT_THAT(complaint([&] { opened.string_attribute("/", "texts"); }),
              HasSubstr("attribute texts: holds 1000 values where one is expected"));
  EXPECT_THAT(complaint([&] { opened.string_attribute("/", "any length"); }),
              HasSubstr("attribute any length: holds no text of fixed length"));
}

TEST_F(Hdf5, AShapeOfMoreElementsThanAreCountedIsAnError) {
  const hid_t file = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const std::vector<hsize_t> dims = {hsize_t{1} << 31, hsize_t{1} << 31, 4}, chunk = {1, 1, 4};
  const hid_t space = H5Screate_simple(3, dims.data(), nullptr);
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 3, chunk.data());
  H5Dclose(H5Dcreate2(file, "/vast", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, creation, H5P_DEFAULT));
  H5Pclose(creation);
  H5Sclose(space);
  H5Fclose(file);
  const hdf5::File opened = hdf5::File::open(path_);
  EXPECT_THAT(complaint([&] { opened.read<float>("/vast"); }),
              HasSubstr("/vast: has the impossible shape [2147483648, 2147483648, 4]"));
}

TEST_F(Hdf5, IsSilentInEveryThread) {
  hdf5::File file = hdf5::File::create(path_);
  testing::internal::CaptureStderr();
  std::string message;
  std::thread([&] { message = complaint([&] { file.read<float>("/none"); }); }).join();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_THAT(message, HasSubstr("object 'none' doesn't exist"));
}

TEST_F(Hdf5, WrongNamesKindsAndSizesAreErrors) {
  hdf5::File file = hdf5::File::create(path_);
  file.write("/real", std::vector<double>{1.5});
  file.write("/wide", std::vector<int64_t>{1, 2});
  file.write("/narrow", std::vector<uint8_t>{1, 2});
  file.write("/matrix", std::vector<float>{1, 2}, {1, 2});
  file.write_string("/text", "x");
  file.set_attribute("/", "score", 1.5);
  EXPECT_THAT(complaint([&] { file.read<int64_t>("/real"); }), HasSubstr("/real: holds no whole"));
  EXPECT_THAT(complaint([&] { file.read<float>("/wide"); }), HasSubstr("/wide: holds no real"));
  EXPECT_THAT(complaint([&] { file.read<float>("/text"); }), HasSubstr("/text: holds no real"));
  EXPECT_THAT(complaint([&] { file.read<int32_t>("/wide"); }), HasSubstr("more than 32 bits"));
  EXPECT_THAT(file.read<int32_t>("/narrow"), ElementsAre(1, 2));
  EXPECT_THAT(file.read<float>("/real"), ElementsAre(1.5f));
  EXPECT_THAT(complaint([&] { file.read_string("/real"); }), HasSubstr("/real: holds no text"));
  EXPECT_THAT(complaint([&] { file.read<float>("/none"); }),
              HasSubstr("f.h5: /none: cannot be opened: object 'none' doesn't exist"));
  std::vector<int64_t> three(3);
  EXPECT_THAT(complaint([&] { file.read_into<int64_t>("/wide", three); }),
              HasSubstr("/wide: holds 2 elements where 3 are expected"));
  EXPECT_THAT(complaint([&] { hdf5::Reader<float>(file, "/matrix"); }),
              HasSubstr("/matrix: has 2 dimensions where one is expected"));
  EXPECT_THAT(complaint([&] {
                file.write("/bad", std::vector<float>{1, 2}, {3});
              }),
              HasSubstr("2 elements do not fill the shape of 3"));
  EXPECT_THAT(complaint([&] { file.write("/real", std::vector<double>{1}); }),
              HasSubstr("/real: cannot be created"));
  EXPECT_THAT(complaint([&] { file.write_string("/nul", std::string("a\0b", 3)); }),
              HasSubstr("NUL character"));
  EXPECT_THAT(complaint([&] { file.int_attribute("/", "score"); }), HasSubstr("no whole number"));
  EXPECT_THAT(complaint([&] { file.int_attribute("/", "none"); }), HasSubstr("attribute none"));
  EXPECT_THAT(complaint([&] { file.string_attribute("/", "score"); }), HasSubstr("holds no text"));
  EXPECT_THAT(complaint([&] { file.list("/real"); }), HasSubstr("/real: cannot be opened"));
  file.close();
  hdf5::File reopened = hdf5::File::open(path_);
  EXPECT_THAT(complaint([&] { reopened.write_string("/y", "y"); }), HasSubstr("cannot be created"));
}

// A stand-in for a checkpoint, with each kind of thing that can be left half written.
void write_much(const fs::path& path) {
  hdf5::File file = hdf5::File::create(path);
  hdf5::Writer<int32_t> writer(file, "/grown", {.chunk = 5000, .deflate = 1});
  for (int i = 0; i < 5; ++i) {
    file.write(fmt::format("/parameters/{}", i), counting<float>(10000), {100, 100});
    writer.append(counting<int32_t>(7000, i));
  }
  file.write_string("/config", std::string(5000, 'x'));
  file.set_attribute("/", "step", int64_t{3});
  writer.close();
  file.close();
}

TEST_F(Hdf5, AFullDiskIsAnErrorWhereverItStrikes) {
  write_atomically(path_, write_much);
  const std::string intact = read_file(path_);
  for (rlim_t limit = 0; limit < intact.size(); limit += intact.size() / 60) {
    std::string message;
    {
      const FullDisk full(limit);
      message = complaint([&] { write_atomically(path_, write_much); });
    }
    EXPECT_THAT(message, AllOf(HasSubstr("File too large"), HasSubstr("unchanged"))) << limit;
    EXPECT_THAT(names(), ElementsAre("f.h5"));
    EXPECT_EQ(read_file(path_), intact);
  }
  // With room again all is well.
  write_atomically(path_, write_much);
  EXPECT_EQ(hdf5::File::open(path_).read<float>("/parameters/4"), counting<float>(10000));
}

TEST_F(Hdf5, AProgramThatMetAFullDiskEndsInOrder) {
  const pid_t child = ::fork();
  if (child == 0) {
    const FullDisk full(100000);
    std::exit(complaint([&] { write_atomically(path_, write_much); }).empty() ? 3 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST_F(Hdf5, MayBeUsedFromSeveralThreads) {
  const std::vector<int32_t> values = counting<int32_t>(20000);
  {
    hdf5::File file = hdf5::File::create(path_);
    file.write("/a", values, {}, {.chunk = 1000, .deflate = 1});
    file.close();
  }
  const hdf5::File file = hdf5::File::open(path_);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      const hdf5::Reader<int32_t> reader(file, "/a");
      for (int i = 0; i < 50; ++i) {
        const int begin = (thread * 5003 + i * 397) % 19000;
        if (reader.read(begin, begin + 1000)[999] != begin + 999) ++wrong;
      }
    });
  }
  for (int i = 0; i < 10; ++i) write_atomically(directory_ / "other.h5", write_much);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Hdf5, ClosesOnceAndMoves) {
  hdf5::File file = hdf5::File::create(path_);
  hdf5::File moved = std::move(file);
  moved.write("/a", std::vector<float>{1});
  moved.flush();
  moved.close();
  moved.close();
  EXPECT_THAT(hdf5::File::open(path_).read<float>("/a"), ElementsAre(1));
  EXPECT_THAT(names(), Not(IsEmpty()));
}

}  // namespace
}  // namespace dragoman
