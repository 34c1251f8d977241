// A corpus, a model and a run so small that a test can train them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"
#include "core/check.h"
#include "core/rng.h"
#include "data/prepare.h"
#include "files_harness.h"
#include "hdf5/file.h"
#include "run/checkpoint.h"
#include "run/run.h"
#include "temporary_directory.h"

namespace dragoman {

inline std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// A corpus `name` of `pairs` sentences of one to eight words; the target has them in reverse.
inline void write_corpus(const TemporaryDirectory& directory, const std::string& name, int pairs,
                         uint64_t seed) {
  const std::vector<std::string> source_words = {"a", "b", "c", "d", "e", "f", "g", "h"};
  const std::vector<std::string> target_words = {"s", "t", "u", "v", "w", "x", "y", "z"};
  std::ofstream source(directory / (name + ".en")), target(directory / (name + ".de"));
  Random random(seed);
  for (int pair = 0; pair < pairs; ++pair) {
    std::string line, reversed;
    for (uint64_t words = 1 + random.below(8); words > 0; --words) {
      const size_t word = random.below(source_words.size());
      line += (line.empty() ? "" : " ") + source_words[word];
      reversed = target_words[word] + (reversed.empty() ? "" : " ") + reversed;
    }
    source << line << '\n';
    target << reversed << '\n';
  }
}

/// Writes the corpora train (80 pairs), validation (12) and test (9), and returns the YAML of a run
/// on them: 12 steps, about five to an epoch, validated after every fourth and saved after every
/// third. It trains on the CPU, or on the device that DRAGOMAN_TEST_DEVICE names: an emulated GPU
/// takes minutes for what others do in seconds, so few tests train there unasked.
inline std::string write_tiny_run(const TemporaryDirectory& directory) {
  write_corpus(directory, "train", 80, 1);
  write_corpus(directory, "validation", 12, 2);
  write_corpus(directory, "test", 9, 3);
  const char* const device = std::getenv("DRAGOMAN_TEST_DEVICE");
  return "name: tiny\n"
         "output: " +
         (directory / "run").string() +
         "\n"
         "data: {directory: " +
         directory.string() +
         ", train: [train], validation: validation, test: [test]}\n"
         "vocabulary: {type: word, size: 19}\n"
         "model:\n"
         "  encoder: {type: gru, layers: 1, dim: 6, embedding_dim: 12}\n"
         "  decoder: {type: transformer, layers: 1, dim: 12, heads: 2, ffn_dim: 16}\n"
         "training: {device: \"" +
         std::string(device ? device : "cpu") +
         "\", threads: 1, batch_tokens: 90, learning_rate: 0.01, warmup_steps: 4,\n"
         "  max_steps: 12, validate_every: 4, save_every: 3, log_every: 3, samples: 0}\n"
         "decoding: {beam_size: 2, max_length: 12}\n";
}

/// A run on a tiny corpus, in a directory of its own.
class TinyRun : public ::testing::Test {
 protected:
  Config config(std::vector<std::string> sets = {}) const {
    sets.insert(sets.begin(), "data.cache=" + (directory_ / "cache").string());
    return parse_config(yaml_, "tiny.yaml", sets);
  }
  std::filesystem::path run(const std::string& file) const { return directory_ / "run" / file; }
  TrainingData data(const Config& config) const {
    return prepare_training_data(config.data, config.vocabulary, config.data.cache, 2);
  }
  // Runs with the default settings, `sets` over them, and returns everything that was trained.
  std::map<std::string, std::vector<float>> trained(std::vector<std::string> sets) const {
    const std::filesystem::path output = directory_ / "trained";
    std::filesystem::remove_all(output);
    sets.push_back("output=" + output.string());
    run_training(config(sets));
    return arrays(output / "last.h5");
  }
  // All arrays of numbers in a checkpoint.
  static std::map<std::string, std::vector<float>> arrays(const std::filesystem::path& path) {
    const hdf5::File file = hdf5::File::open(path);
    std::map<std::string, std::vector<float>> found;
    for (const char* group : {kParametersGroup, kAverageGroup, kMeanGroup, kVarianceGroup}) {
      if (!file.exists(group)) continue;
      for (const std::string& name : file.list(group)) {
        const std::string full = std::string(group) + "/" + name;
        found[full] = file.read<float>(full);
      }
    }
    return found;
  }

  TemporaryDirectory directory_;
  std::string yaml_ = write_tiny_run(directory_);
};

}  // namespace dragoman
