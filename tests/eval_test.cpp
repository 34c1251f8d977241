// Metrics against numbers that others published or computed: the sacrebleu package (its outcomes
// lie in tests/fixtures/eval; scripts/fixtures/make_eval_fixture.py made them) and sacreBLEU's own
// tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "core/check.h"
#include "core/utf8.h"
#include "eval/bleu.h"
#include "eval/chrf.h"
#include "eval/metric.h"
#include "eval/significance.h"
#include "eval/ter.h"
#include "eval/ter_edits.h"
#include "eval/tokenizers.h"
#include "eval/unicode.h"
#include "places.h"

namespace dragoman {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

using Lines = std::vector<std::string>;

std::ifstream open_fixture(const std::string& name) {
  std::ifstream file(project_directory() + "/tests/fixtures/eval/" + name, std::ios::binary);
  if (!file) ADD_FAILURE() << "the fixture " << name << " is missing";
  return file;
}

Lines read_fixture(const std::string& name) {
  std::ifstream file = open_fixture(name);
  Lines lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// The fixture's text and what sacrebleu says of it, read once.
struct Fixture {
  std::vector<Lines> systems{read_fixture("hypotheses.0.txt"), read_fixture("hypotheses.1.txt")};
  std::vector<Lines> references{read_fixture("references.0.txt"), read_fixture("references.1.txt")};
  json expected = json::parse(open_fixture("expected.json"));

  const Lines& hypotheses() const { return systems[0]; }
};

const Fixture& fixture() {
  static const Fixture loaded;
  return loaded;
}

/// Sets `value` to what the options of a row of the fixture have under that name, if it is there.
template <class T>
void take(const json& options, const char* name, T& value) {
  if (options.contains(name)) value = options[name].get<T>();
}

/// The metric of a row of the fixture, for one sentence or for a corpus.
Metric metric_of(const json& row, bool sentence = false) {
  const json& options = row["options"];
  MetricOptions settings;
  take(options, "tokenize", settings.bleu.tokenizer);
  take(options, "lowercase", settings.bleu.lowercase);
  take(options, "max_ngram_order", settings.bleu.max_ngram_order);
  if (options.contains("smooth_method"))
    settings.bleu.smoothing = find_smoothing(options["smooth_method"].get<std::string>());
  if (options.contains("smooth_value"))
    settings.bleu.smooth_value = options["smooth_value"].get<double>();
  settings.bleu.effective_order = sentence;
  take(options, "char_order", settings.chrf.char_order);
  take(options, "word_order", settings.chrf.word_order);
  take(options, "beta", settings.chrf.beta);
  take(options, "whitespace", settings.chrf.whitespace);
  take(options, "lowercase", settings.chrf.lowercase);
  take(options, "eps_smoothing", settings.chrf.eps_smoothing);
  take(options, "normalized", settings.ter.normalized);
  take(options, "no_punct", settings.ter.no_punct);
  take(options, "asian_support", settings.ter.asian_support);
  take(options, "case_sensitive", settings.ter.case_sensitive);
  return find_metric(row["metric"].get<std::string>(), settings);
}

/// The setting of a row of the fixture, to name it where a test fails.
std::string describe(json row) {
  for (const char* outcome : {"scores", "systems"}) row.erase(outcome);
  return row.dump();
}

/// The signature that sacrebleu gives, with our name in the place of its version, and the order of
/// BLEU, of which it is silent.
std::string our_signature(const json& row) {
  const std::string signature = row["signature"];
  const std::string field = "|version:";
  std::string order;
  if (row["options"].contains("max_ngram_order"))
    order = "|order:" + row["options"]["max_ngram_order"].dump();
  return signature.substr(0, signature.find(field)) + order + field + "dragoman-" DRAGOMAN_VERSION;
}

/// Lines `first` to before `last` of each text.
std::vector<Lines> cut(std::span<const Lines> texts, size_t first, size_t last) {
  std::vector<Lines> parts;
  for (const Lines& lines : texts) {
    parts.emplace_back(lines.begin() + static_cast<std::ptrdiff_t>(first),
                       lines.begin() + static_cast<std::ptrdiff_t>(last));
  }
  return parts;
}

/// The score of one system, as a whole.
Score corpus_score(const Metric& metric, std::span<const Lines> system,
                   std::span<const Lines> references) {
  return compare_systems(metric, system, references, {}).front().score;
}

void expect_close(double value, double expected) {
  EXPECT_LE(std::abs(value - expected), 1e-12 * std::abs(expected)) << value << " for " << expected;
}

BleuOptions smoothed(Smoothing smoothing, std::optional<double> value = std::nullopt) {
  BleuOptions options;
  options.smoothing = smoothing;
  options.smooth_value = value;
  return options;
}

TEST(Unicode, SpacesAreThoseOfPython) {
  EXPECT_EQ(normalize_spaces("\t a\u00A0b\u2003\u3000c\u0085d\x1F"
                             "e\u2028 "),
            "a b c d e");
  EXPECT_EQ(normalize_spaces("a\u200Bb \uFEFF"), "a\u200Bb \uFEFF") << "no width is no space";
  EXPECT_EQ(normalize_spaces(" \n"), "");
  EXPECT_EQ(strip_right(" a b \u00A0\r\n"), " a b");
  EXPECT_EQ(strip_right("\u3000"), "");
}

TEST(Unicode, LowercaseIsThatOfPython) {
  const Lines expected = read_fixture("lowercase.txt");
  ASSERT_EQ(expected.size(), fixture().hypotheses().size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(lowercase(fixture().hypotheses()[i]), expected[i]) << "line " << i + 1;
  }
}

TEST(Unicode, SigmaIsFinalAtTheEndOfAWordOnly) {
  EXPECT_EQ(lowercase("ΣΑΣ"), "σας");
  EXPECT_EQ(lowercase("Σ"), "σ") << "no letter before it";
  EXPECT_EQ(lowercase("ΑΣ'Α ΑΣ'"), "ασ'α ας'") << "an apostrophe does not end a word";
  EXPECT_EQ(lowercase("ⅣΣ 1Σ"), "ⅳς 1σ") << "a Roman numeral has case, a digit has none";
  EXPECT_EQ(lowercase("🄰Σ"), "🄰ς") << "a squared letter has case, though no lower one";
}

TEST(Unicode, InvalidBytesAreAnError) {
  for (const std::string& text : Lines{"ab\xFF", "ab\xC3", "ab\xED\xA0\x80", "ab\xC0\x80"}) {
    EXPECT_THAT([&] { decode_utf8(text); }, ThrowsMessage<Error>(HasSubstr("byte 2")));
    EXPECT_THROW(strip_right(text), Error);
  }
}

TEST(Tokenizers, AgreeWithSacrebleu) {
  for (const std::string& name : tokenizer_names()) {
    const Tokenizer tokenizer = find_tokenizer(name);
    const Lines expected = read_fixture("tokens." + name + ".txt");
    ASSERT_EQ(expected.size(), fixture().hypotheses().size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(tokenizer(strip_right(fixture().hypotheses()[i])), expected[i])
          << name << ", line " << i + 1;
    }
  }
}

TEST(Tokenizers, TercomAgreesWithSacrebleu) {
  const Lines expected = read_fixture("tokens.tercom.txt");
  ASSERT_EQ(expected.size(), fixture().hypotheses().size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(tokenize_tercom(strip_right(fixture().hypotheses()[i]),
                              {.normalized = true, .asian_support = true}),
              expected[i])
        << "line " << i + 1;
  }
}

TEST(Tokenizers, ThirteenAJoinsLinesAsNistDoes) {
  EXPECT_EQ(tokenize_13a("trans-\nlation of\ntext"), "translation of text");
}

TEST(Tokenizers, UnknownNameListsTheKnownOnes) {
  EXPECT_THAT([] { find_tokenizer("13b"); },
              ThrowsMessage<UsageError>(HasSubstr("13a, intl, char, zh, none")));
}

TEST(Metrics, CorpusScoresAgreeWithSacrebleu) {
  const json& rows = fixture().expected["corpus"];
  ASSERT_EQ(rows.size(), 408U);
  for (const json& row : rows) {
    SCOPED_TRACE(describe(row));
    const size_t first = row["first"], last = row["last"];
    const auto references =
        cut(std::span(fixture().references).first(row["references"]), first, last);
    const auto system = cut(std::span(fixture().systems).first(1), first, last);
    const Metric metric = metric_of(row);
    const Score score = corpus_score(metric, system, references);
    EXPECT_EQ(score.line(), row["text"]);
    EXPECT_EQ(to_string(metric.signature(references.size())), our_signature(row));
    expect_close(score.value, row["score"]);
  }
}

TEST(Metrics, SentenceScoresAgreeWithSacrebleu) {
  const json& rows = fixture().expected["sentences"];
  ASSERT_EQ(rows.size(), 102U);
  for (const json& row : rows) {
    SCOPED_TRACE(describe(row));
    const size_t first = row["first"], last = fixture().hypotheses().size();
    ASSERT_EQ(first + row["scores"].size(), last);
    const auto references =
        cut(std::span(fixture().references).first(row["references"]), first, last);
    const Metric metric = metric_of(row, /*sentence=*/true);
    const SampleScore score =
        metric.read(cut(std::span(fixture().systems).first(1), first, last), references);
    for (uint32_t i = 0; i < last - first; ++i) {
      SCOPED_TRACE(fixture().hypotheses()[first + i]);
      expect_close(score(std::array{i}).value, row["scores"][i]);
    }
    EXPECT_EQ(to_string(metric.signature(references.size())), our_signature(row));
  }
}

TEST(Metrics, UnknownNameListsTheKnownOnes) {
  EXPECT_THAT([] { find_metric("rouge"); },
              ThrowsMessage<UsageError>(HasSubstr("bleu, chrf, ter")));
}

TEST(Metrics, ReadSystemsOneAfterTheOther) {
  const std::vector<Lines> systems{{"a b", "c d"}, {"a x", "c d"}};
  const std::vector<Lines> references{{"a b", "c d"}};
  const SampleScore score = find_metric("ter").read(systems, references, 2);
  EXPECT_EQ(score(std::array{0U, 1U}).value, 0);
  EXPECT_EQ(score(std::array{2U, 3U}).value, 25);
  EXPECT_EQ(score(std::array{2U, 2U, 1U, 1U}).value, 25);
}

// The numbers of sacreBLEU's own tests. A score depends on which tokens are equal and not on which
// words they are, so the sentences are ours, of the same shape.

TEST(BleuPublished, CorpusOfThreeSentencesWithTwoReferences) {
  const Lines hypotheses{"The fox met the hen.", "It wasn't convincing.",
                         "The hen has often seen her."};
  const std::vector<Lines> references{
      {"The fox met the hen.", "It was not predictable.", "The hen met her twice."},
      {"The fox has met the hen.", "No one was convinced.", "The hen has seen the fox."}};
  EXPECT_NEAR(corpus_bleu(hypotheses, references).value, 48.530827, 1e-6);
  EXPECT_NEAR(corpus_bleu(hypotheses, references, smoothed(Smoothing::kNone)).value, 48.530827,
              1e-6);
  BleuOptions options;
  options.tokenizer = "none";
  EXPECT_NEAR(corpus_bleu(hypotheses, references, options).value, 49.1919566, 1e-7);
  EXPECT_EQ(corpus_bleu(Lines{"", "", ""}, references).value, 0.0);
}

TEST(BleuPublished, RawScoresWithFloorAndEffectiveOrder) {
  BleuOptions options = smoothed(Smoothing::kFloor, 0.01);
  options.tokenizer = "none";
  const auto score = [&options](const std::string& hypothesis, const std::string& reference) {
    return sentence_bleu(hypothesis, Lines{reference}, options).value / 100;
  };
  EXPECT_NEAR(score("p q r s", "p q r s"), 1.0, 1e-8);
  EXPECT_NEAR(score("p q r x", "p q r s"), 0.223606797749979, 1e-8);
  EXPECT_NEAR(score("q", "p q"), 0.3678794411714425, 1e-8);
  EXPECT_NEAR(score("p q", "p q"), 1.0, 1e-8);
  EXPECT_NEAR(score("p x q", "p q"), 0.03218297948685433, 1e-8);
}

TEST(BleuPublished, RepeatedWordsAreClippedAndSmoothed) {
  const std::string hypothesis = "x y x z p q";
  const Lines references{"y x z r s q z z"};
  const BleuStatistics statistics = Bleu().segment(hypothesis, references);
  EXPECT_THAT(statistics.correct, ElementsAre(4, 2, 1, 0));
  EXPECT_THAT(statistics.total, ElementsAre(6, 5, 4, 3));
  EXPECT_NEAR(sentence_bleu(hypothesis, references, smoothed(Smoothing::kFloor)).value / 100,
              0.1555722182, 1e-8);
  EXPECT_EQ(sentence_bleu(hypothesis, references, smoothed(Smoothing::kFloor, 0.0)).value, 0.0);
}

TEST(BleuPublished, ScoresOfGivenStatistics) {
  EXPECT_NEAR(Bleu().score({11, 11, {9, 7, 5, 3}, {10, 8, 6, 4}}).value / 100, 0.8375922397, 1e-8);
  const auto floor = [](double value, const BleuStatistics& statistics) {
    return Bleu(smoothed(Smoothing::kFloor, value)).score(statistics).value;
  };
  EXPECT_EQ(floor(0.0, {0, 1, {0, 0, 0, 0}, {4, 4, 2, 1}}), 0.0);
  EXPECT_EQ(floor(0.0, {14, 10, {0, 0, 0, 0}, {10, 11, 12, 0}}), 0.0);
  EXPECT_EQ(floor(0.0, {0, 0, {0, 0, 0, 0}, {0, 0, 0, 0}}), 0.0);
  EXPECT_EQ(floor(0.0, {6, 6, {6, 5, 4, 0}, {6, 5, 4, 3}}), 0.0);
  EXPECT_EQ(floor(0.1, {0, 0, {0, 0, 0, 0}, {0, 0, 0, 0}}), 0.0);
  EXPECT_EQ(floor(0.01, {1, 5, {0, 0, 0, 0}, {0, 0, 0, 0}}), 0.0);
}

TEST(BleuPublished, SentenceUnderEverySmoothing) {
  // The counts of a Romanian sentence under 13a, none and char, and char in lower case.
  const BleuStatistics words{14, 10, {5, 2, 0, 0}, {14, 13, 12, 11}};
  const BleuStatistics raw{13, 9, {4, 1, 0, 0}, {13, 12, 11, 10}};
  const BleuStatistics characters{61, 40, {37, 30, 21, 15}, {61, 60, 59, 58}};
  const BleuStatistics lower{61, 40, {37, 30, 22, 16}, {61, 60, 59, 58}};
  const auto score = [](BleuOptions options, const BleuStatistics& statistics) {
    options.effective_order = true;
    return Bleu(options).score(statistics).value;
  };
  constexpr double kPrinted = 1e-3;
  EXPECT_NEAR(score(smoothed(Smoothing::kExp), words), 8.493, kPrinted);
  EXPECT_EQ(score(smoothed(Smoothing::kNone), words), 0.0);
  EXPECT_NEAR(score(smoothed(Smoothing::kFloor), words), 4.51688, kPrinted);
  EXPECT_NEAR(score(smoothed(Smoothing::kFloor, 0.1), words), 4.51688, kPrinted);
  EXPECT_NEAR(score(smoothed(Smoothing::kFloor, 0.5), words), 10.10, kPrinted);
  EXPECT_NEAR(score(smoothed(Smoothing::kAddK), words), 14.882, kPrinted);
  EXPECT_NEAR(score(smoothed(Smoothing::kAddK, 1), words), 14.882, kPrinted);
  EXPECT_NEAR(score(smoothed(Smoothing::kAddK, 2), words), 21.389, kPrinted);
  EXPECT_NEAR(score({}, raw), 7.347, kPrinted);
  EXPECT_NEAR(score({}, characters), 40.8759, kPrinted);
  EXPECT_NEAR(score({}, lower), 42.0267, kPrinted);
}

TEST(BleuPublished, NoMatchingWordIsZeroWhateverTheSmoothing) {
  for (const std::string& name : smoothing_names()) {
    const BleuOptions options = smoothed(find_smoothing(name));
    EXPECT_EQ(sentence_bleu("here stands a house", Lines{"thank you"}, options).value, 0.0) << name;
  }
}

TEST(Bleu, ClosestReferenceLengthPrefersTheShorterOfTwoEquallyClose) {
  const Bleu bleu;
  EXPECT_EQ(bleu.segment("a b c", Lines{"a b c d", "a b"}).reference_length, 2);
  EXPECT_EQ(bleu.segment("a b c", Lines{"a b", "a b c d"}).reference_length, 2);
  EXPECT_EQ(bleu.segment("a b c", Lines{"", "a b c d e"}).reference_length, 5);
}

TEST(Bleu, StatisticsOfSegmentsAddUpToTheCorpus) {
  const Bleu bleu;
  BleuStatistics sum;
  for (size_t i = 0; i < fixture().hypotheses().size(); ++i) {
    sum += bleu.segment(fixture().hypotheses()[i],
                        Lines{fixture().references[0][i], fixture().references[1][i]});
  }
  const BleuScore corpus = corpus_bleu(fixture().hypotheses(), fixture().references);
  EXPECT_EQ(bleu.score(sum).value, corpus.value);
  EXPECT_EQ(bleu.score(sum).details, corpus.details);
}

TEST(Bleu, LineHoldsTheSignatureAndTheWidthAskedFor) {
  const Bleu bleu;
  const BleuScore score = bleu.score({11, 12, {9, 7, 5, 3}, {11, 8, 6, 4}});
  EXPECT_EQ(
      score.line(),
      "BLEU = 74.68 81.8/87.5/83.3/75.0 (BP = 0.913 ratio = 0.917 hyp_len = 11 ref_len = 12)");
  EXPECT_EQ(score.line(1, bleu.signature(2)),
            "BLEU|nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:dragoman-" DRAGOMAN_VERSION
            " = 74.7 81.8/87.5/83.3/75.0 (BP = 0.913 ratio = 0.917 hyp_len = 11 ref_len = 12)");
  EXPECT_EQ(score.number(4), "74.6798");
}

TEST(Metrics, SegmentsThatDoNotMatchAreAnError) {
  const Bleu bleu;
  const std::vector<Lines> references{{"a", "b"}, {"a", "b", "c"}};
  EXPECT_THAT(
      [&] {
        segment_statistics(bleu, Lines{"a", "b"}, references);
      },
      ThrowsMessage<Error>(HasSubstr("reference set 2 has 3 segments and the hypotheses have 2")));
  EXPECT_THROW(segment_statistics(bleu, Lines{}, std::vector<Lines>{{}}), Error);
  EXPECT_THROW(segment_statistics(bleu, Lines{"a"}, std::vector<Lines>{}), Error);
}

TEST(Bleu, OptionsThatMeanNothingAreAnError) {
  EXPECT_THAT([] { Bleu(smoothed(Smoothing::kExp, 0.5)); },
              ThrowsMessage<UsageError>(HasSubstr("'exp' takes no value")));
  EXPECT_THROW(Bleu(smoothed(Smoothing::kNone, 0.0)), UsageError);
  EXPECT_THROW(Bleu(smoothed(Smoothing::kFloor, -0.1)), UsageError);
  EXPECT_THROW(Bleu(smoothed(Smoothing::kAddK, std::nan(""))), UsageError);
  EXPECT_THAT([] { find_smoothing("laplace"); },
              ThrowsMessage<UsageError>(HasSubstr("exp, floor, add-k, none")));
}

TEST(Bleu, ShorterNgramsStandInTheSignature) {
  const Bleu bleu(BleuOptions{.max_ngram_order = 2});
  const BleuScore score = bleu.score(bleu.segment("a b c", Lines{"a b d"}));
  EXPECT_THAT(score.precisions, ElementsAre(200.0 / 3, 50));
  EXPECT_THAT(to_string(bleu.signature(1)), HasSubstr("|order:2|"));
  EXPECT_THROW(Bleu(BleuOptions{.max_ngram_order = 0}), UsageError);
}

TEST(Chrf, StatisticsAreThoseOfTheBestReference) {
  const Chrf chrf(ChrfOptions{.char_order = 2, .word_order = 1});
  const ChrfStatistics statistics = chrf.segment("ab c.", Lines{"", "ab d.", "x"});
  EXPECT_THAT(statistics.orders,
              ElementsAre(ChrfStatistics::Order{4, 4, 3}, ChrfStatistics::Order{3, 3, 1},
                          ChrfStatistics::Order{3, 3, 2}));
}

TEST(Chrf, NgramsThatTheReferenceLacksDoNotCount) {
  const ChrfStatistics statistics = Chrf(ChrfOptions{.char_order = 3}).segment("abc", Lines{"ab"});
  EXPECT_EQ(statistics.orders[2], (ChrfStatistics::Order{0, 0, 0}));
}

TEST(Chrf, OptionsThatMeanNothingAreAnError) {
  EXPECT_THROW(Chrf(ChrfOptions{.char_order = 0}), UsageError);
  EXPECT_THROW(Chrf(ChrfOptions{.char_order = -1, .word_order = 2}), UsageError);
  EXPECT_THROW(Chrf(ChrfOptions{.beta = -1}), UsageError);
}

int64_t edits(const std::vector<int32_t>& hypothesis, const std::vector<int32_t>& reference) {
  return translation_edits(hypothesis, reference);
}

TEST(Ter, AMovedRowOfWordsIsOneEdit) {
  EXPECT_EQ(edits({1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}), 0);
  EXPECT_EQ(edits({1, 2, 9, 4}, {1, 2, 3, 4, 5}), 2);
  EXPECT_EQ(edits({4, 5, 6, 1, 2, 3}, {1, 2, 3, 4, 5, 6}), 1);
  EXPECT_EQ(edits({1, 4, 5, 2, 3, 6}, {1, 2, 3, 4, 5, 6}), 1);
}

TEST(Ter, EmptyTextsCostTheOther) {
  EXPECT_EQ(edits({}, {}), 0);
  EXPECT_EQ(edits({1, 2}, {}), 2);
  EXPECT_EQ(edits({}, {1, 2, 3}), 3);
}

TEST(Ter, MovesOfMoreThanTenWordsAreNotTried) {
  const auto rotated = [](int32_t moved) {
    std::vector<int32_t> words(24);
    std::iota(words.begin(), words.end(), 0);
    std::rotate(words.begin(), words.begin() + moved, words.end());
    return words;
  };
  EXPECT_EQ(edits(rotated(10), rotated(0)), 1);
  EXPECT_EQ(edits(rotated(11), rotated(0)), 2);
}

TEST(Ter, TextsOfVeryDifferentLengthHaveADistance) {
  const std::vector<int32_t> words(300, 1);
  EXPECT_EQ(edits({1}, words), 299);
  EXPECT_EQ(edits(words, {1}), 299);
}

TEST(Ter, LinesThatTakeMoreMemoryThanThereMayBeAreAnError) {
  const std::vector<int32_t> words(70'000, 1);
  EXPECT_THROW(edits(words, words), Error);
  EXPECT_EQ(edits({1}, words), 69'999);
}

/// Whether two estimates from as many random samples may differ by chance alone: by 4 standard
/// deviations of the difference.
void expect_by_chance(double value, double expected, double variance, double samples) {
  EXPECT_NEAR(value, expected, 4 * std::sqrt(2 * variance / samples));
}

TEST(Significance, AgreesWithSacrebleu) {
  const json& rows = fixture().expected["significance"];
  ASSERT_EQ(rows.size(), 6U);
  for (const json& row : rows) {
    SCOPED_TRACE(describe(row));
    const int samples = row["samples"];
    const bool bootstrap = row["test"] == "bs";
    const Sampling sampling{.test = bootstrap ? PairedTest::kBootstrap : PairedTest::kRandomization,
                            .resamples = bootstrap ? samples : 0,
                            .trials = samples,
                            .threads = 2};
    const Metric metric = metric_of(row);
    EXPECT_EQ(to_string(with_sampling(metric.signature(2), sampling)), our_signature(row));
    const auto results = compare_systems(metric, fixture().systems, fixture().references, sampling);
    ASSERT_EQ(results.size(), 2U);
    EXPECT_FALSE(results[0].p_value.has_value());
    const double p = row["systems"][1]["p_value"];
    ASSERT_TRUE(results[1].p_value.has_value());
    expect_by_chance(*results[1].p_value, p, p * (1 - p), samples);
    for (size_t i = 0; i < 2; ++i) {
      const json& expected = row["systems"][i];
      expect_close(results[i].score.value, expected["score"]);
      ASSERT_EQ(results[i].score.interval.has_value(), bootstrap);
      if (!bootstrap) continue;
      const double half_width = expected["ci"];
      const double deviation = half_width / 1.96;
      expect_by_chance(results[i].score.interval->mean, expected["mean"], deviation * deviation,
                       samples);
      // The variance of the mean of two far quantiles of a normal distribution.
      expect_by_chance(results[i].score.interval->half_width, half_width,
                       3.6 * deviation * deviation, samples);
    }
  }
}

TEST(Significance, ThreadsDoNotChangeTheResult) {
  for (const PairedTest test : {PairedTest::kBootstrap, PairedTest::kRandomization}) {
    Sampling sampling{.test = test, .resamples = 50, .trials = 50};
    const auto run = [&sampling](int threads) {
      sampling.threads = threads;
      const SystemResult result = compare_systems(find_metric("bleu"), fixture().systems,
                                                  fixture().references, sampling)[1];
      return std::tuple(*result.p_value, result.score.interval->mean,
                        result.score.interval->half_width);
    };
    EXPECT_EQ(run(1), run(2));
    EXPECT_EQ(run(1), run(5));
    const auto before = run(1);
    sampling.seed = 1;
    EXPECT_NE(run(1), before);
  }
}

TEST(Significance, EqualSystemsDoNotDiffer) {
  const std::vector<Lines> systems{fixture().hypotheses(), fixture().hypotheses()};
  for (const PairedTest test : {PairedTest::kBootstrap, PairedTest::kRandomization}) {
    const Sampling sampling{.test = test, .resamples = 20, .trials = 20};
    EXPECT_EQ(
        compare_systems(find_metric("chrf"), systems, fixture().references, sampling)[1].p_value,
        1);
  }
}

TEST(Significance, AMuchWorseSystemDiffersWithTheLeastPValue) {
  std::vector<Lines> systems{fixture().hypotheses(), fixture().hypotheses()};
  for (std::string& line : systems[1]) line = "nothing";
  const Sampling sampling{.test = PairedTest::kRandomization, .trials = 99};
  EXPECT_EQ(compare_systems(find_metric("ter"), systems, fixture().references, sampling)[1].p_value,
            0.01);
}

TEST(Significance, NoSamplesAreAnError) {
  const auto run = [](const Sampling& sampling) {
    compare_systems(find_metric("ter"), fixture().systems, fixture().references, sampling);
  };
  EXPECT_THROW(run({.test = PairedTest::kBootstrap, .resamples = 0}), UsageError);
  EXPECT_THROW(run({.test = PairedTest::kRandomization, .trials = 0}), UsageError);
  EXPECT_THROW(run({.resamples = -1}), UsageError);
}

TEST(Significance, ErrorsInThreadsReachTheCaller) {
  const std::vector<Lines> systems{{"a", "b\xFF", "c"}};
  EXPECT_THROW(find_metric("bleu").read(systems, systems, 3), Error);
}

}  // namespace
}  // namespace dragoman
