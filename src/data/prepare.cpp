#include "data/prepare.h"

#include <future>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "data/known_files.h"
#include "data/survey.h"
#include "hdf5/file.h"

namespace dragoman {

namespace {

constexpr int64_t kReportEvery = 1'000'000;  // pairs
constexpr size_t kPairsAtOnce = 1 << 14;
constexpr hdf5::Storage kTokens = {.chunk = 1 << 14, .deflate = 1};
constexpr hdf5::Storage kOffsets = {.chunk = 1 << 13, .deflate = 1};
constexpr hdf5::Storage kText = {.chunk = 1 << 16, .deflate = 1};

/// Opens the cached file `path` or makes it: `open` must throw when something is wrong with the
/// file. A result is what `open` returns.
template <class Open, class Make>
auto open_or_make(const std::filesystem::path& path, Open open, Make make) {
  if (std::filesystem::exists(path)) {
    try {
      return open(path);
    } catch (const Error& error) {
      log::warn("{} is damaged and will be made again: {}", path.string(), error.what());
    }
  }
  std::filesystem::create_directories(path.parent_path());
  make(path);
  return open(path);
}

std::string fingerprint(std::string_view bytes) {
  return fmt::format("{:016x}", Fnv1a().add(bytes).value());
}

/// A hash of `inputs` stands in the file's name; the whole of it stands in the file.
std::filesystem::path cached_path(const std::filesystem::path& cache, const char* kind,
                                  const std::string& inputs) {
  return cache / fmt::format("{}-{}.h5", kind, fingerprint(inputs));
}

/// Whether something in the cache may have been made of the same text.
bool has_prepared_files(const std::filesystem::path& cache) {
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(cache, missing)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("vocabulary-") || name.starts_with("dataset-")) return true;
  }
  return false;
}

/// Reads of the training text what the survey does not know. What is wrong with it comes to light
/// here, before any time is spent on it.
void read_unknown(Survey& survey) {
  log::info("reading the training text, to find what was prepared of it before");
  SurveyedLines lines(survey, false, false);
  std::string line;
  lines.next(line);
}

void check_inputs(const hdf5::File& file, const std::string& inputs) {
  check(file.string_attribute("/", "inputs") == inputs, "it was made from other input");
}

/// Learns the vocabularies. Where the text was not surveyed before, that happens while it is read
/// for the first of them, both sides: what is wrong with either comes to light before time is
/// spent.
Vocabularies learn_vocabularies(const VocabularyConfig& config, Survey& survey) {
  log::info("learning {} {} {} pieces", config.shared ? "one vocabulary of" : "vocabularies of",
            config.size, config.type);
  const auto learn = [&](bool source, bool target, const char* name) {
    SurveyedLines lines(survey, source, target);
    return Vocabulary::train(
        config, [&](std::string& line) { return lines.next(line); }, name);
  };
  if (config.shared) {
    const Vocabulary vocabulary = learn(true, true, "data.train");
    return {vocabulary, vocabulary};
  }
  const Vocabulary source = learn(true, false, "the source side of data.train");
  return {source, learn(false, true, "the target side of data.train")};
}

Vocabularies prepare_vocabularies(const VocabularyConfig& config, Survey& survey,
                                  const std::filesystem::path& cache) {
  std::optional<Vocabularies> learnt;
  if (!survey.complete()) learnt = learn_vocabularies(config, survey);
  const std::string inputs = fmt::format(
      "{}vocabulary type {}, size {}, shared {}, character coverage {}\n", survey.description(),
      config.type, config.size, config.shared, config.character_coverage);
  const auto open = [&](const std::filesystem::path& path) {
    const hdf5::File file = hdf5::File::open(path);
    check_inputs(file, inputs);
    const auto read = [&](const char* name) {
      const std::vector<uint8_t> bytes = file.read<uint8_t>(name);
      return Vocabulary(std::string(bytes.begin(), bytes.end()));
    };
    return Vocabularies{read("/source"), read("/target")};
  };
  const auto make = [&](const std::filesystem::path& path) {
    if (!learnt) learnt = learn_vocabularies(config, survey);
    write_atomically(path, [&](const std::filesystem::path& temporary) {
      hdf5::File file = hdf5::File::create(temporary);
      file.set_attribute("/", "inputs", inputs);
      const auto write = [&](const char* name, const std::string& bytes) {
        file.write<uint8_t>(name, std::vector<uint8_t>(bytes.begin(), bytes.end()), {}, kText);
      };
      write("/source", learnt->source.bytes());
      write("/target", learnt->target.bytes());
      file.close();
    });
  };
  return open_or_make(cached_path(cache, "vocabulary", inputs), open, make);
}

/// Writes one side of a dataset, sentence by sentence.
class SideWriter {
 public:
  SideWriter(hdf5::File& file, const std::string& group, bool keep_text)
      : tokens_(file, group + "/tokens", kTokens), offsets_(file, group + "/offsets", kOffsets) {
    append(offsets_, int64_t{0});
    if (!keep_text) return;
    text_.emplace(file, group + "/text", kText);
    text_offsets_.emplace(file, group + "/text_offsets", kOffsets);
    append(*text_offsets_, int64_t{0});
  }

  void append(const std::vector<int32_t>& ids, const std::string& line) {
    tokens_.append(ids);
    append(offsets_, tokens_.size());
    if (!text_) return;
    text_->append({reinterpret_cast<const uint8_t*>(line.data()), line.size()});
    append(*text_offsets_, text_->size());
  }

  void close() {
    tokens_.close();
    offsets_.close();
    if (!text_) return;
    text_->close();
    text_offsets_->close();
  }

 private:
  static void append(hdf5::Writer<int64_t>& writer, int64_t value) {
    writer.append(std::span(&value, 1));
  }

  hdf5::Writer<int32_t> tokens_;
  hdf5::Writer<int64_t> offsets_;
  std::optional<hdf5::Writer<uint8_t>> text_;
  std::optional<hdf5::Writer<int64_t>> text_offsets_;
};

/// Pairs in text and pieces.
struct CutPairs {
  ParallelText text;
  std::vector<std::vector<int32_t>> source, target;
};

/// A corpus that is being cut.
struct CutCorpus {
  ParallelReader reader;
  TextPrint source, target;  // of what was read of it
};

/// The next pairs of a corpus, none at its end.
CutPairs cut_pairs(CutCorpus& corpus, const Vocabularies& vocabularies, int threads) {
  CutPairs pairs;
  std::string source, target;
  while (pairs.text.source.size() < kPairsAtOnce && corpus.reader.next(source, target)) {
    corpus.source.add(source);
    corpus.target.add(target);
    pairs.text.source.push_back(std::move(source));
    pairs.text.target.push_back(std::move(target));
  }
  pairs.source = vocabularies.source.encode(pairs.text.source, threads);
  pairs.target = vocabularies.target.encode(pairs.text.target, threads);
  return pairs;
}

/// Cuts all pairs into pieces and writes those that stay. Some are read and cut while those before
/// them are compressed and written.
CorpusCounts write_pairs(hdf5::File& file, Survey& survey, const Vocabularies& vocabularies,
                         int64_t max_length, bool keep_text, int threads) {
  SideWriter source_writer(file, "/source", keep_text);
  SideWriter target_writer(file, "/target", keep_text);
  CorpusCounts counts;
  int64_t read = 0;
  for (size_t number = 0; number < survey.corpora().size(); ++number) {
    CutCorpus corpus{.reader = ParallelReader(survey.corpora()[number])};
    const auto cut_next = [&] {
      return std::async(std::launch::async,
                        [&] { return cut_pairs(corpus, vocabularies, threads); });
    };
    std::future<CutPairs> next = cut_next();
    for (CutPairs pairs = next.get(); !pairs.source.empty(); pairs = next.get()) {
      next = cut_next();
      for (size_t i = 0; i < pairs.source.size(); ++i) {
        const std::vector<int32_t>&source = pairs.source[i], &target = pairs.target[i];
        if (++read % kReportEvery == 0) log::info("{} sentence pairs prepared", read);
        if (source.empty() || target.empty()) {
          ++counts.empty;
        } else if (std::ssize(source) > max_length || std::ssize(target) > max_length) {
          ++counts.too_long;
        } else {
          source_writer.append(source, pairs.text.source[i]);
          target_writer.append(target, pairs.text.target[i]);
          ++counts.pairs;
        }
      }
    }
    survey.add(number, Side::kSource, corpus.source);
    survey.add(number, Side::kTarget, corpus.target);
  }
  source_writer.close();
  target_writer.close();
  return counts;
}

void report(const CorpusCounts& counts, int64_t max_length) {
  if (counts.empty > 0) log::warn("{} sentence pairs left out: one side is empty", counts.empty);
  if (counts.too_long > 0) {
    log::warn("{} sentence pairs left out: one side has more than {} pieces (data.max_length)",
              counts.too_long, max_length);
  }
  check(counts.pairs > 0,
        "no sentence pair of the training text is left: {} have an empty side and {} have more "
        "than {} pieces on a side; check data.train and data.max_length",
        counts.empty, counts.too_long, max_length);
}

std::shared_ptr<const Dataset> prepare_dataset(Survey& survey, const Vocabularies& vocabularies,
                                               int64_t max_length, bool keep_text,
                                               const std::filesystem::path& cache, int threads) {
  const std::string inputs =
      fmt::format("{}vocabularies {} {}\nmax_length {}\nraw text {}\n", survey.description(),
                  fingerprint(vocabularies.source.bytes()),
                  fingerprint(vocabularies.target.bytes()), max_length, keep_text);
  // What it holds is read, and its checksums compared, when it is trained on. Before that all of it
  // is read only where something wrote to it since it was made or read.
  const KnownFiles sound(cache);
  const auto open = [&](const std::filesystem::path& path) {
    const FileStamp stamp = stamp_of(path);
    auto dataset = std::make_shared<const Dataset>(path.string());
    check(dataset->description().inputs == inputs, "it was made from other input");
    if (!sound.recall(stamp)) {
      dataset->verify();
      sound.remember(stamp, {});
    }
    return dataset;
  };
  const auto make = [&](const std::filesystem::path& path) {
    log::info("cutting the training text into pieces");
    write_atomically(path, [&](const std::filesystem::path& temporary) {
      hdf5::File file = hdf5::File::create(temporary);
      const CorpusCounts counts =
          write_pairs(file, survey, vocabularies, max_length, keep_text, threads);
      file.set_attribute("/", "format", std::string(Dataset::kFormat));
      file.set_attribute("/", "version", Dataset::kVersion);
      file.set_attribute("/", "inputs", inputs);
      file.set_attribute("/", "max_length", max_length);
      file.set_attribute("/", "pairs", counts.pairs);
      file.set_attribute("/", "empty", counts.empty);
      file.set_attribute("/", "too_long", counts.too_long);
      file.close();
    });
    sound.remember(stamp_of(path), {});
  };
  auto dataset = open_or_make(cached_path(cache, "dataset", inputs), open, make);
  report(dataset->description().counts, max_length);
  return dataset;
}

}  // namespace

std::vector<CorpusFiles> find_training_corpora(const DataConfig& data) {
  std::vector<CorpusFiles> corpora;
  for (const std::string& name : data.train)
    corpora.push_back(find_corpus(data.directory, name, data.source, data.target));
  return corpora;
}

TrainingData prepare_training_data(const DataConfig& data, const VocabularyConfig& vocabulary,
                                   const std::filesystem::path& cache, int threads,
                                   const std::optional<Vocabularies>& given) {
  Survey survey(find_training_corpora(data), KnownFiles(cache));
  if (!survey.complete() && (given || has_prepared_files(cache))) read_unknown(survey);
  const Vocabularies vocabularies =
      given ? *given : prepare_vocabularies(vocabulary, survey, cache);
  return {vocabularies, prepare_dataset(survey, vocabularies, data.max_length,
                                        vocabulary.sampling > 0, cache, threads)};
}

}  // namespace dragoman
