// Text for the tests of data, and a directory to put it in.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "config/config.h"
#include "core/rng.h"
#include "files_harness.h"
#include "places.h"
#include "temporary_directory.h"

namespace dragoman {

namespace fs = std::filesystem;

/// A sentence of invented words: `length` words of one to three syllables.
inline std::string invented_sentence(Random& random, int64_t length) {
  static const char* const kSyllables[] = {"ba", "ko", "ri", "mu", "stra", "ße",
                                           "lü", "né", "ta", "go", "pin",  "ost"};
  std::string sentence;
  for (int64_t word = 0; word < length; ++word) {
    if (word > 0) sentence += ' ';
    for (uint64_t syllable = 0, count = 1 + random.below(3); syllable < count; ++syllable)
      sentence += kSyllables[random.below(std::size(kSyllables))];
  }
  return sentence;
}

inline std::vector<std::string> invented_text(uint64_t seed, int64_t sentences) {
  Random random(seed);
  std::vector<std::string> lines;
  for (int64_t i = 0; i < sentences; ++i)
    lines.push_back(invented_sentence(random, 1 + static_cast<int64_t>(random.below(20))) + " .");
  return lines;
}

/// A directory of the test's own and ways to fill it.
class DataTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  std::string write_lines(const std::string& name, const std::vector<std::string>& lines) const {
    return write(name, fmt::format("{}\n", fmt::join(lines, "\n")));
  }
  std::string write_gzip(const std::string& name, const std::string& text) const {
    const gzFile file = gzopen(path(name).c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    return path(name);
  }
  /// A corpus `train` of `pairs` invented pairs, and the settings that find it.
  DataConfig write_corpus(int64_t pairs) const {
    write_lines("train.en", invented_text(1, pairs));
    write_lines("train.de", invented_text(2, pairs));
    DataConfig data;
    data.directory = directory_.string();
    return data;
  }

  const TemporaryDirectory directory_;
};

inline VocabularyConfig small_vocabulary(VocabularyType type = VocabularyType::kUnigram,
                                         int size = 90) {
  VocabularyConfig config;
  config.type = type;
  config.size = size;
  return config;
}

/// Turns one byte over at `offset`; from the end when it is negative.
inline void flip_byte(const fs::path& file, int64_t offset) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  const auto from = offset < 0 ? std::ios::end : std::ios::beg;
  stream.seekg(offset, from);
  const char byte = static_cast<char>(stream.get() ^ 0xFF);
  stream.seekp(offset, from);
  stream.put(byte);
}

}  // namespace dragoman
