// Metrics against numbers that others published or computed: the sacrebleu package (its outcomes
// lie in tests/fixtures/eval; scripts/fixtures/make_bleu_fixture.py made them) and sacreBLEU's own
// tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/check.h"
#include "eval/bleu.h"
#include "eval/tokenizers.h"
#include "eval/unicode.h"

namespace dragoman {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

using Lines = std::vector<std::string>;

std::ifstream open_fixture(const std::string& name) {
  std::ifstream file(DRAGOMAN_SOURCE_DIR "/tests/fixtures/eval/" + name, std::ios::binary);
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
  Lines hypotheses = read_fixture("hypotheses.txt");
  std::vector<Lines> references{read_fixture("references.0.txt"), read_fixture("references.1.txt")};
  json expected = json::parse(open_fixture("expected.json"));
};

const Fixture& fixture() {
  static const Fixture loaded;
  return loaded;
}

BleuOptions options_of(const json& row) {
  BleuOptions options;
  options.tokenizer = row["tokenizer"];
  options.lowercase = row["lowercase"];
  options.smoothing = find_smoothing(row["smoothing"].get<std::string>());
  if (!row["smooth_value"].is_null()) options.smooth_value = row["smooth_value"].get<double>();
  return options;
}

/// The setting of a row of the fixture, to name it where a test fails.
std::string describe(json row) {
  for (const char* outcome : {"scores", "precisions"}) row.erase(outcome);
  return row.dump();
}

/// The signature that sacrebleu gives, with our name in the place of its version.
std::string with_our_version(const std::string& signature) {
  const std::string field = "|version:";
  return signature.substr(0, signature.find(field)) + field + "dragoman-" DRAGOMAN_VERSION;
}

void expect_close(double value, double expected) {
  EXPECT_LE(std::abs(value - expected), 1e-9 * std::abs(expected)) << value << " for " << expected;
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
  ASSERT_EQ(expected.size(), fixture().hypotheses.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(lowercase(fixture().hypotheses[i]), expected[i]) << "line " << i + 1;
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
    ASSERT_EQ(expected.size(), fixture().hypotheses.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(tokenizer(strip_right(fixture().hypotheses[i])), expected[i])
          << name << ", line " << i + 1;
    }
  }
}

TEST(Tokenizers, ThirteenAJoinsLinesAsNistDoes) {
  EXPECT_EQ(tokenize_13a("trans-\nlation of\ntext"), "translation of text");
}

TEST(Tokenizers, UnknownNameListsTheKnownOnes) {
  EXPECT_THAT([] { find_tokenizer("13b"); },
              ThrowsMessage<UsageError>(HasSubstr("13a, char, none")));
}

TEST(Bleu, CorpusScoresAgreeWithSacrebleu) {
  const json& rows = fixture().expected["corpus"];
  ASSERT_EQ(rows.size(), 288U);
  for (const json& row : rows) {
    SCOPED_TRACE(describe(row));
    const auto cut = [first = row["first"].get<std::ptrdiff_t>(),
                      last = row["last"].get<std::ptrdiff_t>()](const Lines& lines) {
      return Lines(lines.begin() + first, lines.begin() + last);
    };
    std::vector<Lines> references;
    for (size_t set = 0; set < row["references"]; ++set) {
      references.push_back(cut(fixture().references[set]));
    }
    const Bleu bleu(options_of(row));
    const BleuScore score = corpus_bleu(cut(fixture().hypotheses), references, options_of(row));
    EXPECT_EQ(score.line(), row["text"]);
    EXPECT_EQ(to_string(bleu.signature(references.size())), with_our_version(row["signature"]));
    EXPECT_EQ(score.hypothesis_length, row["hyp_len"]);
    EXPECT_EQ(score.reference_length, row["ref_len"]);
    expect_close(score.value, row["score"]);
    expect_close(score.brevity_penalty, row["bp"]);
    for (size_t n = 0; n < score.precisions.size(); ++n) {
      expect_close(score.precisions[n], row["precisions"][n]);
    }
  }
}

TEST(Bleu, SentenceScoresAgreeWithSacrebleu) {
  const json& rows = fixture().expected["sentences"];
  ASSERT_EQ(rows.size(), 72U);
  for (const json& row : rows) {
    SCOPED_TRACE(describe(row));
    BleuOptions options = options_of(row);
    const size_t first = row["first"];
    ASSERT_EQ(first + row["scores"].size(), fixture().hypotheses.size());
    for (size_t i = first; i < fixture().hypotheses.size(); ++i) {
      Lines references;
      for (size_t set = 0; set < row["references"]; ++set) {
        references.push_back(fixture().references[set][i]);
      }
      expect_close(sentence_bleu(fixture().hypotheses[i], references, options).value,
                   row["scores"][i - first]);
    }
    options.effective_order = true;
    EXPECT_EQ(to_string(Bleu(options).signature(row["references"])),
              with_our_version(row["signature"]));
  }
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
  for (size_t i = 0; i < fixture().hypotheses.size(); ++i) {
    sum += bleu.segment(fixture().hypotheses[i],
                        Lines{fixture().references[0][i], fixture().references[1][i]});
  }
  const BleuScore corpus = corpus_bleu(fixture().hypotheses, fixture().references);
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

TEST(Bleu, SegmentsThatDoNotMatchAreAnError) {
  const Bleu bleu;
  const std::vector<Lines> references{{"a", "b"}, {"a", "b", "c"}};
  EXPECT_THAT(
      [&] {
        bleu.segments(Lines{"a", "b"}, references);
      },
      ThrowsMessage<Error>(HasSubstr("reference set 2 has 3 segments and the hypotheses have 2")));
  EXPECT_THROW(bleu.segments(Lines{}, std::vector<Lines>{{}}), Error);
  EXPECT_THROW(bleu.segments(Lines{"a"}, std::vector<Lines>{}), Error);
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

}  // namespace
}  // namespace dragoman
