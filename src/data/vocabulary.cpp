#include "data/vocabulary.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstdlib>
#include <exception>
#include <future>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/check.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "data/text.h"

namespace dragoman {

namespace {

constexpr size_t kLinesAtOnce = 64;  // encoded by a thread: half a millisecond

/// A vocabulary is learnt from at most this many sentences, drawn from all of them: more would
/// hardly change it, and sentencepiece holds them in memory.
constexpr const char* kTrainingSentences = "2000000";
/// Bytes; longer lines take no part in learning a vocabulary.
constexpr const char* kLongestTrainingLine = "65536";

/// Lines with text, as sentencepiece asks for them. It knows nothing of exceptions: for it the
/// lines end where one is thrown, which waits here.
class TrainingText : public sentencepiece::SentenceIterator {
 public:
  explicit TrainingText(const std::function<bool(std::string&)>& next) : next_(next) { Next(); }

  bool done() const override { return done_; }
  const std::string& value() const override { return line_; }
  sentencepiece::util::Status status() const override {
    if (!failure_) return {};
    return {sentencepiece::util::StatusCode::kAborted, "the text cannot be read"};
  }
  void Next() override {
    try {
      do {
        done_ = !next_(line_);
      } while (!done_ && line_.empty());
    } catch (...) {
      failure_ = std::current_exception();
      done_ = true;
    }
  }

  void throw_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  const std::function<bool(std::string&)>& next_;
  std::string line_;
  bool done_ = false;
  std::exception_ptr failure_;
};

/// The whole number behind `phrase` in `message`.
std::optional<long> number_after(const std::string& message, const std::string& phrase) {
  const size_t at = message.find(phrase);
  if (at == std::string::npos) return std::nullopt;
  return std::strtol(message.c_str() + at + phrase.size(), nullptr, 10);
}

[[noreturn]] void fail_too_large(int64_t wanted, long possible) {
  fail(
      "the training text is too small for a vocabulary of {} pieces; set vocabulary.size to {} or "
      "less",
      wanted, possible);
}

/// Says in our words why sentencepiece could not learn a vocabulary.
[[noreturn]] void explain_failure(const std::string& message, int64_t wanted) {
  if (const auto possible = number_after(message, "set it to a value <= "))
    fail_too_large(wanted, *possible);
  if (const auto needed = number_after(message, " vs "))
    fail(
        "a vocabulary of {} pieces is too small for the characters of the training text; set "
        "vocabulary.size to {} or more, or vocabulary.character_coverage lower",
        wanted, *needed + 1);
  fail("sentencepiece could not learn a vocabulary of {} pieces: {}", wanted, message);
}

}  // namespace

Vocabulary Vocabulary::train(const VocabularyConfig& config,
                             const std::vector<std::string>& files) {
  size_t begun = 0;
  std::optional<LineReader> reader;
  const auto next = [&](std::string& line) {
    while (!reader || !reader->next(line)) {
      if (begun == files.size()) return false;
      reader.emplace(files[begun++]);
    }
    return true;
  };
  return train(config, next, fmt::format("{}", fmt::join(files, ", ")));
}

Vocabulary Vocabulary::train(const VocabularyConfig& config,
                             const std::function<bool(std::string&)>& next,
                             const std::string& name) {
  TrainingText text(next);
  text.throw_failure();
  check(!text.done(), "the training text is empty: {} has no line with text", name);
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", to_string(config.type)},
      {"vocab_size", std::to_string(config.size)},
      {"character_coverage", fmt::format("{}", config.character_coverage)},
      {"input_sentence_size", kTrainingSentences},
      {"max_sentence_length", kLongestTrainingLine},
      // The counts that threads sum up depend on their number.
      {"num_threads", "1"},
      // Of sentencepiece's own log nothing; what went wrong stands in the status.
      {"minloglevel", "3"}};
  std::string bytes;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &text, &bytes);
  text.throw_failure();
  if (!status.ok()) explain_failure(status.ToString(), config.size);
  Vocabulary vocabulary(std::move(bytes));
  if (vocabulary.size() < config.size) fail_too_large(config.size, vocabulary.size());
  return vocabulary;
}

Vocabulary::Vocabulary(std::string bytes)
    : bytes_(std::make_shared<const std::string>(std::move(bytes))) {
  auto model = std::make_shared<sentencepiece::SentencePieceProcessor>();
  const auto status = model->LoadFromSerializedProto(*bytes_);
  check(status.ok(), "not a sentencepiece model: {}", status.ToString());
  check(model->unk_id() == kUnknown && model->bos_id() == kBegin && model->eos_id() == kEnd,
        "a vocabulary must have <unk>, <s> and </s> as its pieces 0, 1 and 2; this one has them as "
        "{}, {} and {}",
        model->unk_id(), model->bos_id(), model->eos_id());
  model_ = std::move(model);
}

std::vector<int32_t> Vocabulary::encode(std::string_view line) const {
  std::vector<int> ids;
  const auto status = model_->Encode(line, &ids);
  check(status.ok(), "sentencepiece could not encode a sentence: {}", status.ToString());
  return ids;
}

std::vector<std::vector<int32_t>> Vocabulary::encode(std::span<const std::string> lines,
                                                     int threads) const {
  std::vector<std::vector<int32_t>> ids(lines.size());
  parallel_for(
      lines.size(), threads, [&](size_t i) { ids[i] = encode(lines[i]); }, kLinesAtOnce);
  return ids;
}

std::vector<std::vector<int32_t>> Vocabulary::encode_sampled(std::span<const std::string> lines,
                                                             int nbest, double alpha,
                                                             uint64_t seed) const {
  // A thread's first draw makes its generator, from a seed that is global to the process; there is
  // no other way to set one. So a fresh thread draws, and only one at a time.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  // The highest seed would mean "seed from the hardware".
  sentencepiece::SetRandomGeneratorSeed(philox(seed, 0, 0)[0] >> 1);
  return std::async(std::launch::async,
                    [&] {
                      std::vector<std::vector<int32_t>> sampled(lines.size());
                      for (size_t i = 0; i < lines.size(); ++i) {
                        const auto status = model_->SampleEncode(
                            lines[i], nbest, static_cast<float>(alpha), &sampled[i]);
                        check(status.ok(),
                              "subword sampling needs a unigram or bpe vocabulary and at most 512 "
                              "segmentations to choose from: {}",
                              status.ToString());
                      }
                      return sampled;
                    })
      .get();
}

std::string Vocabulary::decode(std::span<const int32_t> ids) const {
  for (const int32_t id : ids)
    check(id >= 0 && id < size(), "piece {} does not exist in a vocabulary of {} pieces", id,
          size());
  std::string text;
  const auto status = model_->Decode(std::vector<int>(ids.begin(), ids.end()), &text);
  check(status.ok(), "sentencepiece could not decode a sentence: {}", status.ToString());
  return text;
}

int32_t Vocabulary::size() const { return model_->GetPieceSize(); }

const std::string& Vocabulary::piece(int32_t id) const {
  check(id >= 0 && id < size(), "piece {} does not exist in a vocabulary of {} pieces", id, size());
  return model_->IdToPiece(id);
}

}  // namespace dragoman
