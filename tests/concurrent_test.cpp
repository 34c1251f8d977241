// Translating from several threads at once. Under the thread sanitizer (scripts/test.sh tsan) it
// shows what they change without leave.
#include <gtest/gtest.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <latch>
#include <memory>
#include <thread>

#include "decode/halving.h"
#include "decode/scoring.h"
#include "decode/translator.h"
#include "decode_fixture.h"
#include "device_names.h"
#include "tensor/gemm.h"

namespace dragoman {
namespace {

constexpr size_t kThreads = 4;

// work(0), ..., work(kThreads - 1), each on a thread of its own, all of which begin together: what
// is made when it is first asked for is asked for by several.
void at_once(const std::function<void(size_t thread)>& work) {
  std::latch begin(kThreads);
  std::vector<std::exception_ptr> failures(kThreads);
  {
    std::vector<std::jthread> threads;
    for (size_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        begin.arrive_and_wait();
        try {
          work(thread);
        } catch (...) {
          failures[thread] = std::current_exception();
        }
      });
    }
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

void expect_equal(const std::vector<Translation>& found, const std::vector<Translation>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t line = 0; line < found.size(); ++line) {
    ASSERT_EQ(found[line].candidates.size(), expected[line].candidates.size());
    for (size_t i = 0; i < found[line].candidates.size(); ++i) {
      const Candidate &a = found[line].candidates[i], &b = expected[line].candidates[i];
      EXPECT_EQ(a.text, b.text);
      EXPECT_EQ(a.score, b.score);
      EXPECT_EQ(a.log_probability, b.log_probability);
      EXPECT_EQ(a.attention, b.attention);
    }
  }
}

// Devices that several threads may use: the GPU that the host pretends to be is for one, since it
// takes the CPU's memory away while it works.
std::vector<Device> devices() {
#if defined(DRAGOMAN_EMULATED_GPU)
  return {Device{}};
#else
  return all_devices();
#endif
}

class ConcurrentTest : public ::testing::TestWithParam<std::tuple<Architecture, Device>> {
 protected:
  static Model make_model() { return dragoman::make_model(std::get<0>(GetParam()), device()); }
  static Device device() { return std::get<1>(GetParam()); }

  // Of small batches, so that there are several.
  static DecodingConfig decoding() {
    DecodingConfig decoding = quick_decoding();
    decoding.max_length = 10;
    decoding.batch_sentences = 3;
    return decoding;
  }
  // The corpus, begun at another line by each thread.
  static std::vector<std::string> lines_of(size_t thread) {
    std::vector<std::string> lines = corpus();
    std::rotate(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(thread), lines.end());
    return lines;
  }
  static std::vector<std::vector<Translation>> expected(const DecodingConfig& decoding) {
    const Model model = make_model();
    std::vector<std::vector<Translation>> all;
    for (size_t thread = 0; thread < kThreads; ++thread) {
      const Translator translator(model, vocabularies(), decoding, model.has_attention());
      all.push_back(translator.translate(lines_of(thread)));
    }
    return all;
  }
};

const auto kArchitectures =
    ::testing::Values(Architecture{"transformer", kTransformer, kTransformer, kNone},
                      Architecture{"gru_additive", kGru, kGru, kAdditive});
INSTANTIATE_TEST_SUITE_P(Architectures, ConcurrentTest,
                         ::testing::Combine(kArchitectures, ::testing::ValuesIn(devices())),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" +
                                  name_of(std::get<1>(test.param));
                         });

TEST_P(ConcurrentTest, ThreadsMayShareATranslator) {
  std::vector<PrecisionSetting> precisions = {kFp32};
  if (has_bf16_products(device())) precisions.push_back(kBf16);
  for (const PrecisionSetting precision : precisions) {
    DecodingConfig decoding = ConcurrentTest::decoding();
    decoding.precision = precision;
    const auto alone = expected(decoding);
    const Model model = make_model();
    const Translator translator(model, vocabularies(), decoding, model.has_attention());
    std::vector<std::vector<Translation>> found(kThreads);
    at_once([&](size_t thread) { found[thread] = translator.translate(lines_of(thread)); });
    for (size_t thread = 0; thread < kThreads; ++thread) expect_equal(found[thread], alone[thread]);
  }
}

TEST_P(ConcurrentTest, TranslatorsMayShareAModel) {
  const auto alone = expected(decoding());
  const Model model = make_model();
  const Translator one(model, vocabularies(), decoding(), model.has_attention());
  const Translator other(model, vocabularies(), decoding(), model.has_attention());
  std::vector<std::vector<Translation>> found(kThreads);
  at_once([&](size_t thread) {
    found[thread] = (thread % 2 == 0 ? one : other).translate(lines_of(thread));
  });
  for (size_t thread = 0; thread < kThreads; ++thread) expect_equal(found[thread], alone[thread]);
}

TEST_P(ConcurrentTest, ScoresMayBeComputedWhileOthersTranslate) {
  const auto score = [](const Model& model) {
    std::vector<double> scores;
    for (const PairScore& pair : score_pairs(model, vocabularies(), corpus(), corpus()))
      scores.push_back(pair.log_probability);
    return scores;
  };
  const auto alone = expected(decoding());
  const std::vector<double> scores_alone = score(make_model());
  const Model model = make_model();
  const Translator translator(model, vocabularies(), decoding(), model.has_attention());
  std::vector<std::vector<Translation>> found(kThreads);
  std::vector<std::vector<double>> scores(kThreads);
  at_once([&](size_t thread) {
    if (thread % 2 == 0) {
      found[thread] = translator.translate(lines_of(thread));
    } else {
      scores[thread] = score(model);
    }
  });
  for (size_t thread = 0; thread < kThreads; ++thread) {
    if (thread % 2 == 0) {
      expect_equal(found[thread], alone[thread]);
    } else {
      EXPECT_EQ(scores[thread], scores_alone);
    }
  }
}

TEST(Concurrent, ThreadsMayShareWhatWasLearntOfTheMemory) {
  SourceBatch batch;
  for (const size_t length : {8, 7, 6, 5, 4, 3, 2, 1}) {
    batch.source.append(std::vector<int32_t>(length, 7));
    batch.indices.push_back(std::ssize(batch.indices));
  }
  const auto work = [](const SourceBatch& part) {
    if (part.size() > 2) throw OutOfMemory("full");
    return part.indices;
  };
  Halving halving;
  ::testing::internal::CaptureStderr();  // warnings
  std::vector<std::vector<int64_t>> found(kThreads);
  at_once([&](size_t thread) { found[thread] = halving(batch, work, ""); });
  ::testing::internal::GetCapturedStderr();
  for (const auto& indices : found) EXPECT_EQ(indices, batch.indices);
}

}  // namespace
}  // namespace dragoman
