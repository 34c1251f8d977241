#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "core/check.h"
#include "core/rng.h"
#include "data/batch.h"
#include "decode/alignment.h"
#include "decode/scoring.h"
#include "decode/translator.h"
#include "decode_fixture.h"
#include "device_names.h"
#include "tensor/gemm.h"

namespace dragoman {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;
using Ids = std::vector<int32_t>;

class TranslatorTest : public ::testing::TestWithParam<std::tuple<Architecture, Device>> {
 protected:
  static Model make_model() { return dragoman::make_model(std::get<0>(GetParam()), device()); }
  static Device device() { return std::get<1>(GetParam()); }
};

const auto kArchitectures = ::testing::Values(
    Architecture{"transformer", kTransformer, kTransformer, kNone},
    Architecture{"learned_positions", kTransformer, kTransformer, kNone, 90},
    Architecture{"lstm_additive", kLstm, kLstm, kAdditive},
    Architecture{"gru_general", kGru, kGru, kGeneral}, Architecture{"gru_none", kGru, kGru, kNone},
    Architecture{"lstm_to_transformer", kLstm, kTransformer, kNone},
    Architecture{"transformer_to_gru", kTransformer, kGru, kAdditive});
INSTANTIATE_TEST_SUITE_P(Architectures, TranslatorTest,
                         ::testing::Combine(kArchitectures, ::testing::ValuesIn(all_devices())),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" +
                                  name_of(std::get<1>(test.param));
                         });

TEST_P(TranslatorTest, TranslatesTheSameWhateverTheBatchSize) {
  const Model model = make_model();
  DecodingConfig decoding = quick_decoding(device());
  decoding.batch_sentences = 1;
  const auto alone = Translator(model, vocabularies(), decoding).translate(corpus());
  for (const int batch_sentences : {2, 3, 64}) {
    decoding.batch_sentences = batch_sentences;
    const auto together = Translator(model, vocabularies(), decoding).translate(corpus());
    ASSERT_EQ(together.size(), corpus().size());
    for (size_t line = 0; line < together.size(); ++line) {
      ASSERT_EQ(together[line].candidates.size(), alone[line].candidates.size());
      for (size_t i = 0; i < alone[line].candidates.size(); ++i) {
        EXPECT_EQ(together[line].candidates[i].pieces, alone[line].candidates[i].pieces);
        EXPECT_NEAR(together[line].candidates[i].score, alone[line].candidates[i].score, 1e-4);
      }
    }
  }
}

TEST(Translator, TakesAsManySentencesAtOnceAsItIsToldOrAsSuitTheDevice) {
  const std::vector<std::string> lines(130, "a dog");
  for (const Device device : all_devices()) {
    const Model model = make_model({"", kGru, kGru, kNone}, device);
    const auto batches = [&](int batch_sentences) {
      DecodingConfig decoding;
      decoding.beam_size = 1;
      decoding.max_length = 2;
      decoding.batch_sentences = batch_sentences;
      int count = 0;
      const auto ask = [&](int64_t done) {
        EXPECT_EQ(done, count * (batch_sentences > 0 ? batch_sentences : 64));
        return ++count > 4;
      };
      const auto found = Translator(model, vocabularies(), decoding).translate(lines, ask);
      EXPECT_EQ(found.has_value(), count <= 4) << "it gives up when it is told to";
      return count;
    };
    EXPECT_EQ(batches(50), 3);
    EXPECT_EQ(batches(20), 5);
    EXPECT_EQ(batches(0), device.on_gpu() ? 1 : 3);
  }
}

TEST_P(TranslatorTest, TranslatesOnEveryDeviceAsOnTheCpu) {
  if (!device().on_gpu()) GTEST_SKIP() << "this is the CPU";
  const Model model = make_model();
  const Model on_cpu = dragoman::make_model(std::get<0>(GetParam()));
  DecodingConfig decoding = quick_decoding(device());
  decoding.no_repeat_ngram = 3;
  decoding.coverage_penalty = model.has_attention() ? 0.1 : 0;
  const bool alignments = model.has_attention();
  const auto found = Translator(model, vocabularies(), decoding, alignments).translate(corpus());
  const auto expected =
      Translator(on_cpu, vocabularies(), decoding, alignments).translate(corpus());
  for (size_t line = 0; line < found.size(); ++line) {
    ASSERT_EQ(found[line].candidates.size(), expected[line].candidates.size());
    for (size_t i = 0; i < found[line].candidates.size(); ++i) {
      const Candidate &a = found[line].candidates[i], &b = expected[line].candidates[i];
      EXPECT_EQ(a.pieces, b.pieces);
      EXPECT_NEAR(a.score, b.score, 1e-3);
      ASSERT_EQ(a.attention.size(), b.attention.size());
      for (size_t t = 0; t < a.attention.size(); ++t)
        EXPECT_THAT(a.attention[t],
                    ::testing::Pointwise(::testing::FloatNear(1e-3f), b.attention[t]));
    }
  }
}

// How far a search with `precision` is from a tape of floats in the log-probability of what it
// finds: the mean over all pieces.
double distance_from_teacher_forcing(const Model& model, PrecisionSetting precision) {
  const DecodingConfig decoding = quick_decoding(model.device());
  double distance = 0;
  size_t pieces = 0;
  // An emulated GPU is slow.
  const size_t lines = model.device().on_gpu() ? 3 : corpus().size();
  std::vector<Ids> sources;
  for (const std::string& line : std::span(corpus()).first(lines))
    sources.push_back(vocabularies().source.encode(line));
  for (const SourceBatch& batch : make_source_batches(sources, 64, 10000)) {
    Tape searching(/*recording=*/false);
    searching.set_products(precision_of(precision, "precision", model.device()));
    const auto results = search(std::array{&model}, searching, batch.source, decoding, false);
    for (int32_t s = 0; s < batch.size(); ++s) {
      for (const Hypothesis& hypothesis : results[static_cast<size_t>(s)]) {
        Batch pair;
        const auto source = batch.source[s];
        pair.append(source.first(source.size() - 1), hypothesis.ids, 0);
        Tape tape(false);
        const auto log_p = model.loss(tape, model.load(pair), 0).log_probabilities.to_host();
        const double expected = std::accumulate(log_p.begin(), log_p.end(), 0.0);
        distance += std::abs(hypothesis.log_probability - expected);
        pieces += log_p.size();
      }
    }
  }
  return distance / static_cast<double>(pieces);
}

TEST_P(TranslatorTest, FindsTheProbabilityThatTeacherForcingGives) {
  const Model model = make_model();
  const double fp32 = distance_from_teacher_forcing(model, kFp32);
  EXPECT_LT(fp32, 5e-5);
  if (device().on_gpu()) {
    const double tf32 = distance_from_teacher_forcing(model, kTf32);
    EXPECT_GT(tf32, 10 * fp32);
    EXPECT_LT(tf32, 5e-3);
  }
  if (has_bf16_products(device())) {
    const double bf16 = distance_from_teacher_forcing(model, kBf16);
    EXPECT_GT(bf16, 50 * fp32);
    EXPECT_LT(bf16, 5e-2);
  }
}

TEST_P(TranslatorTest, AttentionOfEachPieceSumsToOne) {
  const Model model = make_model();
  if (!model.has_attention()) {
    EXPECT_THROW(Translator(model, vocabularies(), quick_decoding(device()), true), Error);
    DecodingConfig decoding = quick_decoding(device());
    decoding.coverage_penalty = 0.1;
    EXPECT_THROW(Translator(model, vocabularies(), decoding), Error);
    return;
  }
  const Translator translator(model, vocabularies(), quick_decoding(device()), true);
  for (const Translation& translation : translator.translate(corpus())) {
    EXPECT_EQ(translation.source.back(), "</s>");
    for (const Candidate& candidate : translation.candidates) {
      EXPECT_EQ(candidate.pieces.back(), "</s>");
      ASSERT_EQ(candidate.attention.size(), candidate.pieces.size());
      for (const auto& row : candidate.attention) {
        EXPECT_EQ(row.size(), translation.source.size());
        EXPECT_NEAR(std::accumulate(row.begin(), row.end(), 0.0), 1, 1e-4);
      }
    }
  }
}

TEST_P(TranslatorTest, ScoresPairsInTheirOrderAndInAnyCompany) {
  const Model model = make_model();
  std::vector<std::string> targets(corpus().rbegin(), corpus().rend());
  targets[2] = "";
  const auto together = score_pairs(model, vocabularies(), corpus(), targets);
  ASSERT_EQ(together.size(), targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto alone = score_pairs(model, vocabularies(), std::span(corpus()).subspan(i, 1),
                                   std::span(targets).subspan(i, 1));
    EXPECT_NEAR(together[i].log_probability, alone[0].log_probability, 1e-3);
    EXPECT_LT(together[i].log_probability, 0);
    EXPECT_EQ(together[i].tokens, std::ssize(vocabularies().target.encode(targets[i])) + 1);
  }
}

// Ensembles ---------------------------------------------------------------------------------------

class EnsembleTest : public ::testing::TestWithParam<Device> {};
INSTANTIATE_TEST_SUITE_P(Devices, EnsembleTest, ::testing::ValuesIn(all_devices()),
                         [](const auto& test) { return name_of(test.param); });

// log-probabilities of what may follow each of the tokens that were read, by teacher forcing.
std::vector<std::vector<double>> teacher_forcing(const Model& model, const Ids& source,
                                                 const Ids& target) {
  Batch pair;
  pair.append(source, target, 0);
  Tape tape(/*recording=*/false);
  const Tensor logits =
      model.decode(tape, model.encode(tape, model.load(pair.source)), model.load(pair.target_input))
          .value();
  const std::vector<real> flat = logits.to_host();
  std::vector<std::vector<double>> all;
  for (auto row = flat.begin(); row != flat.end(); row += logits.columns()) {
    std::vector<double> log_p(row, row + logits.columns());
    double total = 0;
    for (const double logit : log_p) total += std::exp(logit);
    for (double& logit : log_p) logit -= std::log(total);
    all.push_back(std::move(log_p));
  }
  return all;
}

// What an ensemble of these models gives a translation, and whether each of its pieces, and `</s>`,
// is the most probable that follows; `<s>` cannot.
struct ByTeacherForcing {
  double log_probability = 0;
  bool greedy = true;
};
ByTeacherForcing ensemble_by_teacher_forcing(const std::vector<const Model*>& models,
                                             const Ids& source, const Ids& target) {
  std::vector<std::vector<std::vector<double>>> members;
  for (const Model* model : models) members.push_back(teacher_forcing(*model, source, target));
  ByTeacherForcing result;
  for (size_t t = 0; t <= target.size(); ++t) {
    std::vector<double> p(members[0][t].size());
    for (const auto& member : members) {
      for (size_t c = 0; c < p.size(); ++c)
        p[c] += std::exp(member[t][c]) / static_cast<double>(models.size());
    }
    const auto next = static_cast<size_t>(t < target.size() ? target[t] : Vocabulary::kEnd);
    result.log_probability += std::log(p[next]);
    p[Vocabulary::kBegin] = 0;
    result.greedy = result.greedy && p[next] == *std::ranges::max_element(p);
  }
  return result;
}

TEST_P(EnsembleTest, OfAnyArchitecturesTakesTheMeanOfProbabilities) {
  const Model transformer = make_model({"", kTransformer, kTransformer, kNone}, GetParam(), 1);
  const Model gru = make_model({"", kGru, kGru, kAdditive}, GetParam(), 2);
  const Model lstm = make_model({"", kLstm, kLstm, kNone}, GetParam(), 3);
  const std::vector<const Model*> models = {&transformer, &lstm, &gru};
  for (const int beam_size : {1, 3}) {
    DecodingConfig decoding = quick_decoding(GetParam());
    decoding.beam_size = decoding.n_best = beam_size;
    decoding.max_length_ratio = 100;
    const Translator translator(models, vocabularies(), decoding, /*alignments=*/true);
    const auto found = translator.translate(corpus());
    int differ = 0;
    for (size_t line = 0; line < found.size(); ++line) {
      const Ids source = vocabularies().source.encode(corpus()[line]);
      for (const Candidate& candidate : found[line].candidates) {
        Ids target;
        for (const std::string& piece : candidate.pieces) {
          for (int32_t id = 0; id < vocabularies().target.size(); ++id)
            if (vocabularies().target.piece(id) == piece) target.push_back(id);
        }
        target.pop_back();  // </s>
        const ByTeacherForcing expected = ensemble_by_teacher_forcing(models, source, target);
        EXPECT_NEAR(candidate.log_probability, expected.log_probability, 1e-3);
        // What is as long as it may be had to end.
        if (beam_size == 1 && std::ssize(target) < decoding.max_length) {
          EXPECT_TRUE(expected.greedy) << "line " << line;
        }
        for (const auto& row : candidate.attention)
          EXPECT_NEAR(std::accumulate(row.begin(), row.end(), 0.0), 1, 1e-4);
      }
      const auto alone = Translator(gru, vocabularies(), decoding).translate({&corpus()[line], 1});
      differ += alone[0].candidates[0].pieces != found[line].candidates[0].pieces;
    }
    EXPECT_GT(differ, 0) << "one of the models decides alone";
  }
}

TEST_P(EnsembleTest, OfAModelWithItselfTranslatesAsTheModel) {
  for (const Architecture& architecture : {Architecture{"", kTransformer, kTransformer, kNone},
                                           Architecture{"", kGru, kGru, kAdditive}}) {
    const Model model = make_model(architecture, GetParam());
    const std::vector<const Model*> twice = {&model, &model};
    const DecodingConfig decoding = quick_decoding(GetParam());
    const auto expected = Translator(model, vocabularies(), decoding, true).translate(corpus());
    const auto found = Translator(twice, vocabularies(), decoding, true).translate(corpus());
    for (size_t line = 0; line < found.size(); ++line) {
      ASSERT_EQ(found[line].candidates.size(), expected[line].candidates.size());
      for (size_t i = 0; i < found[line].candidates.size(); ++i) {
        const Candidate &a = found[line].candidates[i], &b = expected[line].candidates[i];
        EXPECT_EQ(a.pieces, b.pieces);
        EXPECT_NEAR(a.score, b.score, 1e-4);
        EXPECT_EQ(a.attention, b.attention);
      }
    }
  }
}

TEST_P(EnsembleTest, ReadsAndWritesWhatAllOfThemCan) {
  const Model any = make_model({"", kGru, kGru, kNone}, GetParam());
  const Model shorter = make_model({"", kTransformer, kTransformer, kNone, 20}, GetParam());
  DecodingConfig decoding = quick_decoding(GetParam());
  decoding.min_length_ratio = 2;  // as long as may be
  decoding.max_length = 100;
  ::testing::internal::CaptureStderr();
  const auto found =
      Translator(std::array{&any, &shorter}, vocabularies(), decoding).translate({&corpus()[3], 1});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("1 of 1 lines"));
  EXPECT_EQ(found[0].source.size(), 20u);
  EXPECT_EQ(found[0].candidates[0].pieces.size(), 20u);  // with </s>; <s> was read
}

TEST(Ensemble, RefusesAModelOfAnotherVocabulary) {
  const Architecture gru{"", kGru, kGru, kNone};
  const Model model = make_model(gru);
  ModelConfig config = config_of(gru);
  config.tie_source_target = false;
  const int64_t size = vocabularies().source.size();
  const Model other(config, size, size + 1, 7, {});
  EXPECT_THAT(
      [&] {
        Translator(std::array{&model, &other}, vocabularies(), quick_decoding());
      },
      ThrowsMessage<Error>(HasSubstr("writes a vocabulary of 65 pieces")));
}

TEST(Translator, SearchesInAPrecisionThatTheDeviceHas) {
  const Model model = make_model({"", kGru, kGru, kAdditive});
  const auto translations = [&](PrecisionSetting precision) {
    DecodingConfig decoding = quick_decoding();
    decoding.precision = precision;
    std::vector<double> scores;
    for (const Translation& found : Translator(model, vocabularies(), decoding).translate(corpus()))
      scores.push_back(found.candidates.front().score);
    return scores;
  };
  const auto refusal = [](const char* reason) {
    return ThrowsMessage<Error>(AllOf(StartsWith("decoding.precision: "), HasSubstr(reason)));
  };
  EXPECT_THAT([&] { translations(kTf32); }, refusal("for GPUs"));
  if (has_bf16_products(model.device())) {
    EXPECT_NE(translations(kBf16), translations(kFp32));
    EXPECT_EQ(translations(kAuto), translations(kBf16));
  } else {
    EXPECT_THAT([&] { translations(kBf16); }, refusal("no bf16 products"));
    EXPECT_EQ(translations(kAuto), translations(kFp32));
  }
}

TEST(Translator, KeepsTheOrderOfLinesAndBlankOnes) {
  const Model model = make_model({"", kGru, kGru, kAdditive});
  const std::vector<std::string> lines = {"", corpus()[3], "  \t ", corpus()[2], corpus()[3], ""};
  const auto found = Translator(model, vocabularies(), quick_decoding()).translate(lines);
  ASSERT_EQ(found.size(), lines.size());
  for (const size_t blank : {0, 2, 5}) {
    EXPECT_EQ(found[blank].text(), "");
    EXPECT_EQ(found[blank].candidates.size(), 1u);
    EXPECT_THAT(found[blank].source, IsEmpty());
  }
  EXPECT_EQ(found[1].text(), found[4].text());
  EXPECT_NE(found[1].text(), found[3].text());
  EXPECT_NE(found[1].text(), "");
  EXPECT_THAT(Translator(model, vocabularies(), quick_decoding()).translate({}), IsEmpty());
}

TEST(Translator, CutsOffWhatTheModelCannotRead) {
  const Model model = make_model({"", kTransformer, kTransformer, kNone, 40});
  std::string line = corpus()[3];
  while (line.size() < 1000) line += " " + corpus()[4];
  ::testing::internal::CaptureStderr();
  const auto found = Translator(model, vocabularies(), quick_decoding())
                         .translate(std::vector<std::string>{line, "a dog"});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("1 of 2 lines"));
  EXPECT_EQ(found[0].source.size(), 40u);
  EXPECT_EQ(found[0].source.back(), "</s>");
}

TEST(Translator, CutsOffSentencesWithoutEnd) {
  const Model model = make_model({"", kGru, kGru, kNone});
  std::string line;
  for (int i = 0; i < 5000; ++i) line += "a dog ";
  ::testing::internal::CaptureStderr();
  DecodingConfig decoding = quick_decoding();
  decoding.max_length = 5;
  const auto found =
      Translator(model, vocabularies(), decoding).translate(std::vector<std::string>{line});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("1 of 1 lines"));
  EXPECT_EQ(found[0].source.size(), 1025u);
}

// Memory ------------------------------------------------------------------------------------------

class MemoryTest : public ::testing::TestWithParam<Device> {
 protected:
  void SetUp() override { allocator_.release_cached(); }
  void TearDown() override { allocator_.set_limit(std::numeric_limits<size_t>::max()); }

  // What `work` takes, beside the memory that is in use.
  size_t taken_by(const std::function<void()>& work) {
    allocator_.release_cached();
    const size_t before = allocator_.statistics().reserved;
    allocator_.reset_peak();
    work();
    return allocator_.statistics().peak_reserved - before;
  }

  // The message of `work`, for which there are so many bytes.
  std::string with_memory(size_t bytes, const std::function<void()>& work) {
    allocator_.release_cached();
    allocator_.set_limit(allocator_.statistics().reserved + bytes);
    ::testing::internal::CaptureStderr();
    try {
      work();
    } catch (const Error& error) {
      allocator_.set_limit(std::numeric_limits<size_t>::max());
      return ::testing::internal::GetCapturedStderr() + error.what();
    }
    allocator_.set_limit(std::numeric_limits<size_t>::max());
    return ::testing::internal::GetCapturedStderr();
  }

  const Model model_ = make_model({"", kTransformer, kTransformer, kNone}, GetParam());
  Allocator& allocator_ = Allocator::of(GetParam());
  const std::vector<std::string> one_ = {"a dog"};
  const std::vector<std::string> lines_ = {"a dog", "a man", "a girl", "a boy", "a man",
                                           "a dog", "a dog", "a man",  "a girl"};
};

INSTANTIATE_TEST_SUITE_P(Devices, MemoryTest, ::testing::ValuesIn(all_devices()),
                         [](const auto& test) { return name_of(test.param); });

TEST(Halving, LearnsWhatFits) {
  SourceBatch batch;
  for (const size_t length : {5, 4, 3, 2}) {
    batch.source.append(std::vector<int32_t>(length, 7));
    batch.indices.push_back(std::ssize(batch.indices));
  }
  std::vector<int32_t> tried;
  const auto work = [&](const SourceBatch& part) {
    tried.push_back(part.size());
    if (part.size() > 2) throw OutOfMemory("full");
    return part.indices;
  };
  Halving halving;
  EXPECT_EQ(halving(batch, work, ""), batch.indices);
  EXPECT_THAT(tried, ElementsAre(4, 2, 2));
  tried.clear();
  EXPECT_EQ(halving(batch, work, ""), batch.indices);
  EXPECT_THAT(tried, ElementsAre(2, 2)) << "a batch as large is not tried again";
}

TEST_P(MemoryTest, ABatchThatDoesNotFitIsTranslatedInHalves) {
  const auto translate = [&](const std::vector<std::string>& lines) {
    std::vector<std::string> texts;
    // Weights are prepared for each anew.
    for (const Translation& translation :
         Translator(model_, vocabularies(), quick_decoding(GetParam())).translate(lines))
      texts.push_back(translation.text());
    return texts;
  };
  const std::vector<std::string> expected = translate(lines_);
  const size_t for_two = taken_by([&] { translate({lines_[0], lines_[1]}); });
  ASSERT_LT(for_two, taken_by([&] { translate(lines_); }));

  std::vector<std::string> found;
  EXPECT_THAT(with_memory(for_two, [&] { found = translate(lines_); }),
              AllOf(HasSubstr("out of memory on " + to_string(GetParam())),
                    HasSubstr("the batch has 9 sentences, "),
                    HasSubstr("it is halved, and so are others as large")));
  EXPECT_EQ(found, expected);
  EXPECT_THAT(with_memory(0, [&] { translate(one_); }),
              AllOf(HasSubstr("the batch has 1 sentence, "),
                    HasSubstr("lower decoding.beam_size (--beam-size)")));
}

TEST_P(MemoryTest, ABatchThatDoesNotFitIsScoredInHalves) {
  const auto score = [&](const std::vector<std::string>& lines) {
    std::vector<double> scores;
    for (const PairScore& pair : score_pairs(model_, vocabularies(), lines, lines))
      scores.push_back(pair.log_probability);
    return scores;
  };
  const std::vector<double> expected = score(lines_);
  const size_t for_two = taken_by([&] { score({lines_[0], lines_[1]}); });
  ASSERT_LT(for_two, taken_by([&] { score(lines_); }));

  std::vector<double> found;
  EXPECT_THAT(with_memory(for_two, [&] { found = score(lines_); }),
              AllOf(HasSubstr("the batch has 9 sentences, "), HasSubstr("it is halved")));
  EXPECT_THAT(found, ::testing::Pointwise(::testing::DoubleNear(1e-5), expected));
  EXPECT_THAT(with_memory(0, [&] { score(one_); }),
              AllOf(HasSubstr("the batch has 1 sentence, "),
                    HasSubstr("score on a device with more memory, such as the cpu")));
}

TEST(ScorePairs, NamesALineThatIsTooLong) {
  const Model model = make_model({"", kTransformer, kTransformer, kNone, 40});
  std::vector<std::string> sources = {"a dog", "a man"}, targets = sources;
  for (int i = 0; i < 100; ++i) targets[1] += " a dog";
  try {
    score_pairs(model, vocabularies(), sources, targets, 11);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("line 12: the target"));
  }
}

// Alignments --------------------------------------------------------------------------------------

TEST(Alignment, WordsBeginAtSpaces) {
  EXPECT_THAT(words_of({"▁Haus", "tür", "▁", "auf", ".", "</s>"}), ElementsAre(0, 0, 1, 1, 1, -1));
  EXPECT_THAT(words_of({"▁", "▁a", "▁", "b", "</s>"}), ElementsAre(0, 0, 1, 1, -1));
}

TEST(Alignment, JoinsEachTargetWordToWhatItAttendsToMost) {
  const std::vector<std::string> source = {"▁the", "▁house", "</s>"};
  const std::vector<std::string> target = {"▁Ha", "us", "▁das", "▁und", "</s>"};
  const auto pairs = hard_alignment(source, target,
                                    {{0.1f, 0.7f, 0.2f},
                                     {0.2f, 0.5f, 0.3f},
                                     {0.3f, 0.1f, 0.6f},  // </s> is no word: the next best
                                     {0.1f, 0.5f, 0.4f},
                                     {0.1f, 0.1f, 0.8f}});
  EXPECT_THAT(pairs, ElementsAre(Pair(0, 1), Pair(1, 0), Pair(1, 2)));
  EXPECT_THAT(hard_alignment({}, {}, {}), IsEmpty());
}

}  // namespace
}  // namespace dragoman
