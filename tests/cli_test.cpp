// The program as a user calls it. Training it is the subject of train_test.cpp; here a model with
// random weights stands in for a trained one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <zlib.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "models/model_file.h"
#include "places.h"
#include "temporary_directory.h"

namespace dragoman {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

const std::vector<std::string>& corpus() {
  static const std::vector<std::string> lines = {
      "a man in a blue shirt is standing on a ladder",
      "two young people are walking along the street",
      "a dog runs",
      "the girl with the red hair reads a book about old ships and the men who sailed them",
      "children play in the water near the beach while their parents watch them",
  };
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// What a call of the program gave.
struct Outcome {
  int code;
  std::string out;
  std::string error;
};

// A directory of its own for every test, and the program run in it.
class CliTest : public ::testing::Test {
 protected:
  fs::path path(const std::string& name) const { return directory_ / name; }
  // What is left of outputs that did not become whole.
  std::vector<fs::path> parts() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(path("")))
      if (entry.path().extension() == ".part") found.push_back(entry.path());
    return found;
  }

  Outcome run(const std::string& arguments, const std::string& input = "") const {
    write(path("stdin"), input);
    const std::string command = "cd '" + directory_.string() + "' && '" + program() + "' " +
                                arguments + " < stdin > stdout 2> stderr";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents(path("stdout")),
            contents(path("stderr"))};
  }

 private:
  const TemporaryDirectory directory_;
};

// With a small random model in model.h5.
class CliModelTest : public CliTest {
 protected:
  CliModelTest() { save_model("model.h5", AttentionKind::kAdditive); }

  void save_model(const std::string& name, AttentionKind attention) {
    write(path("corpus.txt"), joined(corpus()));
    Config config;
    config.vocabulary.size = 60;
    const Vocabulary vocabulary =
        Vocabulary::train(config.vocabulary, {path("corpus.txt").string()});
    config.model.initializer = InitializerKind::kNormal;
    config.model.init_scale = 0.4;
    for (StackConfig* stack : {static_cast<StackConfig*>(&config.model.encoder),
                               static_cast<StackConfig*>(&config.model.decoder)}) {
      stack->type = StackType::kGru;
      stack->layers = 1;
      stack->dim = 24;
      stack->embedding_dim = 16;
    }
    config.model.decoder.attention = attention;
    config.model.decoder.attention_dim = 16;
    config.model.decoder.readout_dim = 16;
    config.decoding.max_length = 20;
    const Model model(config.model, vocabulary.size(), vocabulary.size(), 3, Device{});
    dragoman::save_model(path(name), config, {vocabulary, vocabulary}, model.parameters(),
                         {{kParametersGroup, model.parameters().values()}});
  }
};

// Usage -------------------------------------------------------------------------------------------

TEST_F(CliTest, HelpNamesEveryVerbAndEachVerbExplainsItself) {
  const Outcome help = run("--help");
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.error, IsEmpty());
  for (const std::string verb :
       {"train", "translate", "evaluate", "metrics", "score", "average", "inspect", "config"}) {
    EXPECT_THAT(help.out, HasSubstr("\n  " + verb + " "));
    const Outcome verb_help = run(verb + " --help");
    EXPECT_EQ(verb_help.code, 0) << verb;
    EXPECT_THAT(verb_help.out, HasSubstr("Usage: dragoman " + verb));
    EXPECT_THAT(verb_help.out, HasSubstr("dragoman " + verb + " ")) << "an example";
  }
}

TEST_F(CliTest, SaysItsVersion) {
  const Outcome version = run("--version");
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out, "dragoman " DRAGOMAN_VERSION "\n");
}

TEST_F(CliTest, WithoutAVerbItExplainsItselfAndFails) {
  const Outcome nothing = run("");
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.out, IsEmpty());
  EXPECT_THAT(nothing.error, HasSubstr("translate"));
}

TEST_F(CliTest, WrongUsageIsCode2) {
  const Outcome verb = run("translat model");
  EXPECT_EQ(verb.code, 2);
  EXPECT_THAT(verb.error, HasSubstr("unknown verb: translat"));
  const Outcome option = run("translate model --beem-size 3");
  EXPECT_EQ(option.code, 2);
  EXPECT_THAT(option.error, HasSubstr("unknown argument: --beem-size 3"));
  EXPECT_THAT(option.error, HasSubstr("dragoman translate --help"));
  const auto meant = [&](const std::string& arguments) {
    const std::string error = run(arguments).error;
    const size_t begin = error.find("did you mean ");
    return begin == std::string::npos ? "" : error.substr(begin, error.find('?') - begin + 1);
  };
  EXPECT_EQ(meant("trane model.yaml"), "did you mean train?");
  EXPECT_EQ(meant("bench trian model.yaml"), "did you mean train?");
  EXPECT_EQ(meant("train --outptu runs/x model.yaml"), "did you mean --output?");
  EXPECT_EQ(meant("train --outptu"), "did you mean --output?");
  EXPECT_EQ(meant("frobnicate"), "");
  EXPECT_EQ(meant("train model.yaml --quux"), "");
  EXPECT_EQ(run("translate").code, 2);
  const Outcome number = run("train model.yaml --threads -1");
  EXPECT_EQ(number.code, 2);
  EXPECT_THAT(
      number.error,
      HasSubstr("--threads: must be a whole number of at least 0 and at most 1024, not -1"));
  EXPECT_THAT(run("bench train model.yaml --steps 0").error, HasSubstr("at least 1, not 0"));
  EXPECT_EQ(run("translate model --threads many").code, 2);
  EXPECT_EQ(run("translate model --alignment-format hard").code, 2);
  EXPECT_EQ(run("translate model --alignments a --alignment-format soft-ish").code, 2);
  EXPECT_EQ(run("score model --source a").code, 2);
}

TEST_F(CliTest, AFailureIsCode1AndOneLine) {
  const Outcome missing = run("translate no-such-model");
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.error, StartsWith("error: no-such-model"));
  EXPECT_EQ(lines_of(missing.error).size(), 1u);
  write(path("broken.h5"), "not HDF5");
  const Outcome broken = run("translate broken.h5");
  EXPECT_EQ(broken.code, 1);
  EXPECT_THAT(broken.error, HasSubstr("broken.h5"));
}

// Translating -------------------------------------------------------------------------------------

TEST_F(CliModelTest, TranslatesALineIntoALine) {
  const Outcome all =
      run("translate model.h5", joined({corpus()[0], "", corpus()[1], " "}) + "a dog");
  EXPECT_EQ(all.code, 0) << all.error;
  EXPECT_THAT(all.error, IsEmpty());
  const auto lines = lines_of(all.out);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], Not(IsEmpty()));
  EXPECT_EQ(lines[1], "");
  EXPECT_EQ(lines[3], "");
  EXPECT_EQ(lines_of(run("translate model.h5", corpus()[1]).out), std::vector{lines[2]});
  EXPECT_EQ(run("translate model.h5", "").out, "");
}

TEST_F(CliModelTest, TranslatesTheSameWhateverIsTranslatedTogether) {
  const std::string expected = run("translate model.h5", joined(corpus())).out;
  for (const char* const options :
       {"--window 1", "--window 2", "--batch-sentences 1", "--batch-sentences 2 --threads 1"}) {
    EXPECT_EQ(run(std::string("translate model.h5 ") + options, joined(corpus())).out, expected);
  }
}

TEST_F(CliModelTest, ComputesOnTheDeviceThatItIsTold) {
  write(path("target"), joined(corpus()));
  const std::vector<std::string> verbs = {
      "translate model.h5 --input corpus.txt",
      "evaluate model.h5 --source corpus.txt --reference target",
      "score model.h5 --source corpus.txt --target target",
      "translate model.h5 --input corpus.txt --alignment-format hard --alignments a.txt"};
  for (const std::string& verb : verbs) {
    const Outcome cpu = run(verb + " --device cpu");
    EXPECT_EQ(cpu.code, 0) << cpu.error;
    for (const Device device : all_devices()) {
      const Outcome other = run(verb + " --device " + to_string(device));
      EXPECT_EQ(other.code, 0) << other.error;
      EXPECT_EQ(other.out, cpu.out) << verb << " on " << to_string(device);
    }
    const Outcome unknown = run(verb + " --device gpu");
    EXPECT_EQ(unknown.code, 2);
    EXPECT_THAT(unknown.error, HasSubstr("error: --device: there is no device 'gpu': write auto"));
    const Outcome missing = run(verb + " --device cuda:77");
    EXPECT_EQ(missing.code, 1);
    EXPECT_THAT(missing.error, StartsWith("error: --device: the device 'cuda:77' cannot be had: "));
    EXPECT_EQ(lines_of(missing.error).size(), 1u);
  }
  if (!why_no_gpu().empty()) {
    EXPECT_EQ(run(verbs[0] + " --device cuda").error,
              "error: --device: the device 'cuda' cannot be had: " + why_no_gpu() + "\n");
    GTEST_SKIP() << why_no_gpu();
  }
}

TEST_F(CliModelTest, NeverWritesOverWhatItReads) {
  const std::string source = joined(corpus()), model = contents(path("model.h5"));
  write(path("reference.txt"), "keep\n");
  fs::create_hard_link(path("reference.txt"), path("other-name.txt"));
  write(path("same.txt"), source);
  const std::pair<std::string, std::string> calls[] = {
      {"evaluate model.h5 -s corpus.txt -r same.txt -o same.txt", "--output and --reference"},
      {"evaluate model.h5 -s corpus.txt -r reference.txt same.txt -o other-name.txt",
       "--output and --reference"},
      {"evaluate model.h5 -s same.txt -r corpus.txt -o ./same.txt", "--output and --source"},
      {"score model.h5 -s same.txt -t corpus.txt -o same.txt", "--output and --source"},
      {"score model.h5 -s corpus.txt -t same.txt -o same.txt", "--output and --target"},
      {"translate model.h5 -i corpus.txt -o model.h5", "--output and MODEL"},
      {"translate model.h5 -i corpus.txt --alignments model.h5", "--alignments and MODEL"},
      {"translate model.h5 -o same.txt < same.txt 2> stderr #", "--output and --input"},
      {"translate model.h5 -o new.txt --alignments ./new.txt", "--output and --alignments"},
      {"average model.h5 model.h5 -o model.h5", "--output and CHECKPOINT"},
  };
  for (const auto& [call, files] : calls) {
    const Outcome outcome = run(call);
    EXPECT_EQ(outcome.code, 2) << call;
    EXPECT_THAT(outcome.error, HasSubstr(files + " are the same file: ")) << call;
    EXPECT_EQ(contents(path("same.txt")), source) << call;
    EXPECT_EQ(contents(path("reference.txt")), "keep\n") << call;
    EXPECT_EQ(contents(path("model.h5")), model) << call;
  }
}

TEST_F(CliModelTest, WritesWholeFilesOnly) {
  const std::string expected = run("translate model.h5", joined(corpus())).out;
  const Outcome whole = run("translate model.h5 --input corpus.txt --output out.txt");
  EXPECT_EQ(whole.code, 0) << whole.error;
  EXPECT_THAT(whole.out, IsEmpty());
  EXPECT_EQ(contents(path("out.txt")), expected);
  EXPECT_THAT(parts(), IsEmpty());

  const std::string bad = "a dog\na \xff man\n";
  write(path("bad.txt"), bad);
  const Outcome none = run("translate model.h5 --input bad.txt --output out.txt --window 1");
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.error, HasSubstr("bad.txt:2: invalid UTF-8"));
  EXPECT_THAT(parts(), IsEmpty()) << "a file is looked through before";

  const Outcome half = run("translate model.h5 --output out.txt --window 1", bad);
  EXPECT_EQ(half.code, 1);
  EXPECT_THAT(half.error, HasSubstr("standard input:2: invalid UTF-8"));
  EXPECT_EQ(contents(path("out.txt")), expected) << "what was there before";
  ASSERT_EQ(parts().size(), 1u);
  EXPECT_EQ(lines_of(contents(parts()[0])).size(), 1u) << "what was done";
  EXPECT_THAT(half.error,
              HasSubstr("out.txt: is not whole; what was written so far is in out.txt."));

  write(path("linked.txt"), "");
  fs::create_symlink("linked.txt", path("link.txt"));
  EXPECT_EQ(run("translate model.h5 --input corpus.txt --output link.txt").code, 0);
  EXPECT_TRUE(fs::is_symlink(path("link.txt")));
  EXPECT_EQ(contents(path("linked.txt")), expected);
  EXPECT_EQ(run("translate model.h5 --input corpus.txt --output -").out, expected);
  EXPECT_EQ(run("translate model.h5 --input corpus.txt --output /dev/stdout").out, expected);
  const Outcome same = run("translate model.h5 --input out.txt --output out.txt");
  EXPECT_EQ(same.code, 2);
  EXPECT_THAT(same.error, HasSubstr("--output and --input are the same file: out.txt"));
  EXPECT_EQ(run("translate model.h5 --output out.txt --alignments out.txt", "a dog").code, 2);

  const Outcome nowhere = run("translate model.h5 --input corpus.txt --output no/such/out.txt");
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_THAT(nowhere.error, HasSubstr("no/such/out.txt"));
}

// What stands behind `#` is the redirections of `run`.
TEST_F(CliModelTest, TakesNoErrorForAnEndAndNoOutputForAnother) {
  write(path("out.txt"), "before");
  for (const char* const input : {"< .", "<&-"}) {
    EXPECT_EQ(run(std::string("translate model.h5 --output out.txt ") + input + " #").code, 1);
    EXPECT_EQ(contents(path("out.txt")), "before");
  }
  EXPECT_EQ(run("translate model.h5 --alignments al.txt < corpus.txt >&- #").code, 1);
  EXPECT_FALSE(fs::exists(path("al.txt")));
}

TEST_F(CliModelTest, SaysWhenTheDiskIsFull) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  const Outcome full = run("translate model.h5 --input corpus.txt --output /dev/full");
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.error, HasSubstr("No space left"));
  for (const char* const verb : {"config", "config --json", "--help", "inspect model.h5",
                                 "metrics corpus.txt -i corpus.txt"}) {
    const Outcome cut = run(std::string(verb) + " > /dev/full 2> stderr #");
    EXPECT_EQ(cut.code, 1) << verb;
    EXPECT_THAT(cut.error, HasSubstr("standard output: cannot be written: ")) << verb;
  }
}

TEST_F(CliModelTest, ReadsGzip) {
  gzFile file = gzopen(path("corpus.gz").c_str(), "wb");
  gzputs(file, joined(corpus()).c_str());
  gzclose(file);
  EXPECT_EQ(run("translate model.h5 --input corpus.gz").out,
            run("translate model.h5 --input corpus.txt").out);
}

TEST_F(CliModelTest, ListsTheNBest) {
  const Outcome list =
      run("translate model.h5 --beam-size 4 --n-best 3", joined({corpus()[2], ""}));
  ASSERT_EQ(list.code, 0) << list.error;
  const auto lines = lines_of(list.out);
  ASSERT_EQ(lines.size(), 4u);
  double before = 0;
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_THAT(lines[i], MatchesRegex("0 \\|\\|\\| .* \\|\\|\\| -[0-9]+\\.[0-9]{4}"));
    const double score = std::stod(lines[i].substr(lines[i].rfind(' ')));
    EXPECT_LE(score, before);
    before = score;
  }
  EXPECT_EQ(lines[3], "1 |||  ||| 0.0000");
  const Outcome best = run("translate model.h5 --beam-size 4", corpus()[2]);
  EXPECT_THAT(lines[0], StartsWith("0 ||| " + lines_of(best.out).at(0) + " ||| "));
}

TEST_F(CliModelTest, SearchSettingsTakeEffectAndAreChecked) {
  EXPECT_EQ(run("translate model.h5 --max-length 1 --batch-sentences 2 --beam-size 3 "
                "--length-penalty 0.5 --coverage-penalty 0.1 --no-repeat-ngram 2 "
                "--min-length-ratio 0.5 --max-length-ratio 2",
                "a dog")
                .code,
            0);
  EXPECT_NE(run("translate model.h5 --max-length 1", corpus()[0]).out,
            run("translate model.h5", corpus()[0]).out);
  const Outcome wrong = run("translate model.h5 --beam-size 0", "a dog");
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.error, HasSubstr("beam_size: expected a whole number, at least 1"));
  const Outcome too_many = run("translate model.h5 --beam-size 2 --n-best 3", "a dog");
  EXPECT_EQ(too_many.code, 2);
  EXPECT_THAT(too_many.error, HasSubstr("n_best (3) is above decoding.beam_size (2)"));
}

TEST_F(CliModelTest, WritesSoftAlignments) {
  const Outcome soft = run("translate model.h5 --alignments soft.jsonl", joined({corpus()[2], ""}));
  ASSERT_EQ(soft.code, 0) << soft.error;
  const auto lines = lines_of(contents(path("soft.jsonl")));
  ASSERT_EQ(lines.size(), 2u);
  const auto alignment = nlohmann::json::parse(lines[0]);
  const auto source = alignment["source"].get<std::vector<std::string>>();
  const auto target = alignment["target"].get<std::vector<std::string>>();
  const auto weights = alignment["weights"].get<std::vector<std::vector<double>>>();
  EXPECT_EQ(source.back(), "</s>");
  EXPECT_EQ(target.back(), "</s>");
  ASSERT_EQ(weights.size(), target.size());
  for (const auto& row : weights) {
    ASSERT_EQ(row.size(), source.size());
    double sum = 0;
    for (const double weight : row) sum += weight;
    EXPECT_NEAR(sum, 1, 1e-4);
  }
  EXPECT_EQ(lines[1], R"({"source":[],"target":[],"weights":[]})");
}

TEST_F(CliModelTest, WritesHardAlignmentsOfWords) {
  const Outcome hard =
      run("translate model.h5 --alignments hard.txt --alignment-format hard", joined(corpus()));
  ASSERT_EQ(hard.code, 0) << hard.error;
  const auto lines = lines_of(contents(path("hard.txt")));
  const auto translations = lines_of(hard.out);
  ASSERT_EQ(lines.size(), corpus().size());
  const auto words = [](const std::string& line) {
    std::istringstream stream(line);
    int count = 0;
    for (std::string word; stream >> word;) ++count;
    return count;
  };
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_GT(words(lines[i]), 0);
    std::istringstream pairs(lines[i]);
    int source = 0, target = 0;
    for (char dash; pairs >> source >> dash >> target;) {
      EXPECT_LT(source, words(corpus()[i]));
      EXPECT_LT(target, words(translations[i]));
    }
  }
}

TEST_F(CliModelTest, AModelWithoutAttentionHasNoAlignments) {
  save_model("none.h5", AttentionKind::kNone);
  EXPECT_EQ(run("translate none.h5", "a dog").code, 0);
  const Outcome alignments = run("translate none.h5 --alignments a.jsonl", "a dog");
  EXPECT_EQ(alignments.code, 1);
  EXPECT_THAT(alignments.error, HasSubstr("no attention"));
  EXPECT_FALSE(fs::exists(path("a.jsonl")));
}

TEST_F(CliModelTest, TakesARunDirectory) {
  fs::create_directories(path("run"));
  fs::copy(path("model.h5"), path("run/last.h5"));
  EXPECT_EQ(run("translate run", corpus()[0]).out, run("translate model.h5", corpus()[0]).out);
}

// Scoring -----------------------------------------------------------------------------------------

TEST_F(CliModelTest, ScoresWhatItTranslatedAsTheSearchDid) {
  const Outcome list =
      run("translate model.h5 --beam-size 4 --n-best 2 --length-penalty 0", joined(corpus()));
  std::vector<std::string> sources, targets;
  std::vector<double> expected;
  for (const std::string& line : lines_of(list.out)) {
    const size_t begin = line.find(" ||| "), end = line.rfind(" ||| ");
    sources.push_back(corpus()[std::stoul(line)]);
    targets.push_back(line.substr(begin + 5, end - begin - 5));
    expected.push_back(std::stod(line.substr(end + 5)));
  }
  write(path("source"), joined(sources));
  write(path("target"), joined(targets));
  const Outcome scores = run("score model.h5 --source source --target target");
  ASSERT_EQ(scores.code, 0) << scores.error;
  const auto lines = lines_of(scores.out);
  ASSERT_EQ(lines.size(), expected.size());
  // The search may have found other pieces of the same text, which are less probable or more.
  int equal = 0;
  for (size_t i = 0; i < lines.size(); ++i)
    equal += std::abs(std::stod(lines[i]) - expected[i]) < 2e-3;
  EXPECT_GT(equal, 0);

  const Outcome normalized = run("score model.h5 --source source --target target --normalize");
  EXPECT_GT(std::stod(lines_of(normalized.out).at(0)), std::stod(lines.at(0)));
}

TEST_F(CliModelTest, RefusesToScoreTextsOfDifferentLength) {
  write(path("source"), "a dog\na man\n");
  write(path("target"), "a dog\n");
  const Outcome scores = run("score model.h5 --source source --target target --output scores");
  EXPECT_EQ(scores.code, 1);
  EXPECT_THAT(scores.error, HasSubstr("different numbers of lines"));
  EXPECT_FALSE(fs::exists(path("scores")));
}

// Inspecting --------------------------------------------------------------------------------------

TEST_F(CliModelTest, InspectTellsModelsApartByTheirParameters) {
  const auto checksum = [&](const std::string& file) {
    return nlohmann::json::parse(run("inspect " + file + " --json").out).at("checksum");
  };
  save_model("again.h5", AttentionKind::kAdditive);
  save_model("other.h5", AttentionKind::kNone);
  const std::string first = checksum("model.h5");
  EXPECT_EQ(first.size(), 8u);
  EXPECT_EQ(checksum("again.h5"), first);
  EXPECT_NE(checksum("other.h5"), first);
  EXPECT_THAT(run("inspect model.h5").out, HasSubstr("checksum " + first));
}

TEST_F(CliTest, ConfigAsJsonHoldsTheSettingsThatHaveAnEffect) {
  const Outcome outcome =
      run("config --json --set model.encoder.type=gru --set training.batch_tokens=321");
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  const auto config = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(config["model"]["encoder"]["type"], "gru");
  EXPECT_FALSE(config["model"]["encoder"].contains("heads"));
  EXPECT_EQ(config["training"]["batch_tokens"], 321);
  EXPECT_EQ(config["vocabulary"]["shared"], true);
  write(path("config.yaml"), outcome.out);  // JSON is YAML
  EXPECT_EQ(run("config config.yaml --json").out, outcome.out);
}

// Metrics -----------------------------------------------------------------------------------------

// A reference and two systems, the second of which is worse. The scores, and the layout of text and
// JSON, are those of the sacrebleu command.
class CliMetricsTest : public CliTest {
 protected:
  CliMetricsTest() {
    write(path("reference"), joined(corpus()));
    std::vector<std::string> good = corpus(), bad = corpus();
    good[0] = "a man in a blue shirt stands on a ladder";
    for (std::string& line : bad) line.replace(0, line.find(' '), "this");
    write(path("good"), joined(good));
    write(path("bad"), joined(bad));
  }

  std::vector<nlohmann::json> json_lines(const std::string& arguments) const {
    std::vector<nlohmann::json> rows;
    for (const std::string& line : lines_of(run("metrics " + arguments).out))
      rows.push_back(nlohmann::json::parse(line));
    return rows;
  }
};

TEST_F(CliMetricsTest, PrintsSeveralMetricsBelowEachOther) {
  const Outcome scores = run("metrics reference --input good --metrics ter bleu chrf");
  ASSERT_EQ(scores.code, 0) << scores.error;
  const auto lines = lines_of(scores.out);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], MatchesRegex(" *BLEU\\|nrefs:1\\|.*\\|version:dragoman-.* = 92\\.1 .*"));
  EXPECT_THAT(lines[1], MatchesRegex(" *chrF2\\|nrefs:1\\|.*\\|nc:6\\|nw:0\\|.* = 95\\.2"));
  EXPECT_THAT(lines[2], MatchesRegex(" *TER\\|nrefs:1\\|.*\\|tok:tercom\\|.* = 3\\.8"));
  EXPECT_EQ(lines[0].find('='), lines[2].find('='));
  EXPECT_EQ(run("metrics reference -m bleu chrf ter -b -i good").out, "92.1\n95.2\n3.8\n");
}

TEST_F(CliMetricsTest, OptionsOfEachMetricHaveTheNamesOfSacrebleu) {
  const auto first_line = [this](const std::string& options) {
    const Outcome outcome = run("metrics reference -i good " + options);
    EXPECT_EQ(outcome.code, 0) << outcome.error;
    return lines_of(outcome.out).at(0);
  };
  EXPECT_THAT(first_line("-m bleu -tok intl -lc -s floor -sv 0.5 --max-ngram-order 2"),
              HasSubstr("case:lc|eff:no|tok:intl|smooth:floor[0.50]|order:2|"));
  EXPECT_THAT(first_line("-m chrf -cw 2 --chrf-whitespace --chrf-lowercase --chrf-eps-smoothing"),
              StartsWith("chrF2++|nrefs:1|case:lc|eff:no|nc:6|nw:2|space:yes|"));
  EXPECT_THAT(first_line("-m chrf --chrf-char-order 4 --chrf-word-order 0 --chrf-beta 3"),
              StartsWith("chrF3|nrefs:1|case:mixed|eff:yes|nc:4|nw:0|space:no|"));
  EXPECT_THAT(first_line("-m ter --ter-normalized --ter-asian-support --ter-no-punct "
                         "--ter-case-sensitive"),
              StartsWith("TER|nrefs:1|case:mixed|tok:tercom|norm:yes|punct:no|asian:yes|"));
}

TEST_F(CliMetricsTest, WritesJsonAsSacrebleuDoes) {
  const auto one = nlohmann::json::parse(run("metrics reference -i good --json -m ter").out);
  EXPECT_EQ(one["name"], "TER");
  EXPECT_EQ(one["score"], 3.8);
  EXPECT_EQ(one["tok"], "tercom");
  EXPECT_FALSE(one.contains("verbose_score"));
  const auto two =
      nlohmann::json::parse(run("metrics reference -i good -f json -m ter bleu -ci -cin 50").out);
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0]["name"], "BLEU");
  EXPECT_EQ(two[0]["bs"], "50");
  EXPECT_TRUE(two[1]["confidence_var"].is_number());
}

TEST_F(CliMetricsTest, ScoresEachSentence) {
  const auto rows = json_lines("reference -i good --json --sentence-level -m chrf");
  ASSERT_EQ(rows.size(), corpus().size());
  EXPECT_LT(rows[0]["score"], 100);
  EXPECT_EQ(rows[1]["score"], 100);
}

TEST_F(CliMetricsTest, ComparesSystemsInATable) {
  const Outcome table = run("metrics reference --input good --input bad -m bleu ter");
  ASSERT_EQ(table.code, 0) << table.error;
  EXPECT_THAT(table.out, StartsWith("╒══════════╤════════╤═══════╕\n"
                                    "│   System │  BLEU  │  TER  │\n"
                                    "╞══════════╪════════╪═══════╡\n"
                                    "│     good │  92.1  │  3.8  │\n"
                                    "├──────────┼────────┼───────┤\n"
                                    "│      bad │  89.5  │  9.4  │\n"
                                    "╘══════════╧════════╧═══════╛\n"));
  EXPECT_THAT(table.out, HasSubstr("\n - BLEU       nrefs:1|case:mixed|"));
}

TEST_F(CliMetricsTest, TestsWhetherSystemsDiffer) {
  const Outcome bootstrap = run("metrics reference -i good bad good --paired bs --paired-bs-n 200");
  ASSERT_EQ(bootstrap.code, 0) << bootstrap.error;
  EXPECT_THAT(bootstrap.out, HasSubstr("│ Baseline: good │ 92.1 ("));
  EXPECT_THAT(bootstrap.out, HasSubstr("(p = "));
  EXPECT_THAT(bootstrap.out, HasSubstr("|bs:200|seed:12345|"));
  EXPECT_EQ(run("metrics reference -i good bad -pbs -pbsn 200").out, bootstrap.out);
  EXPECT_EQ(run("metrics reference -i good bad -pbs -pbsn 200 -j 1").out, bootstrap.out);
  EXPECT_NE(run("metrics reference -i good bad -pbs -pbsn 200 --seed 7").out, bootstrap.out);

  const auto rows = nlohmann::json::parse(
      run("metrics reference -i good bad --paired-ar -parn 400 -m ter --json").out);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["system"], "Baseline: good");
  EXPECT_TRUE(rows[0]["TER"]["p_value"].is_null());
  EXPECT_EQ(rows[1]["system"], "bad");
  EXPECT_GT(rows[1]["TER"]["p_value"], 0);
  EXPECT_TRUE(rows[1]["TER"]["ci"].is_null());
}

TEST_F(CliMetricsTest, WrongUsageIsCode2) {
  const auto message = [this](const std::string& arguments) {
    const Outcome outcome = run("metrics reference " + arguments, joined(corpus()));
    EXPECT_EQ(outcome.code, 2) << arguments;
    return outcome.error;
  };
  EXPECT_THAT(message("-m rouge"), HasSubstr("rouge"));
  EXPECT_THAT(message("--paired bs"), HasSubstr("give several with --input"));
  EXPECT_THAT(message("-i good good"), HasSubstr("good is given twice"));
  EXPECT_THAT(message("-i good bad -par -pbsn 10"), HasSubstr("--paired-bs-n is for --paired bs"));
  EXPECT_THAT(message("-i good bad -pbs -parn 10"), HasSubstr("--paired-ar-n is for --paired ar"));
  EXPECT_THAT(message("-i good bad -pbs -ci"), HasSubstr("leave --confidence out"));
  EXPECT_THAT(message("-i good bad -pbs -par"), HasSubstr("--paired"));
  EXPECT_THAT(message("-cin 10"), HasSubstr("--confidence"));
  EXPECT_THAT(message("-sl -m bleu ter"), HasSubstr("one metric"));
  EXPECT_THAT(message("-sl -i good bad"), HasSubstr("one system"));
  EXPECT_THAT(message("-sl -ci"), HasSubstr("no confidence intervals"));
}

TEST_F(CliMetricsTest, TextsOfDifferentLengthAreAnError) {
  write(path("short"), "one line\n");
  const Outcome reference = run("metrics short -i good");
  EXPECT_EQ(reference.code, 1);
  EXPECT_THAT(reference.error, HasSubstr("short has 1 lines and the hypotheses in good have 5"));
  const Outcome system = run("metrics reference -i good short");
  EXPECT_EQ(system.code, 1);
  EXPECT_THAT(system.error, HasSubstr("short has 1 lines and good has 5"));
}

TEST_F(CliModelTest, EvaluatesByEveryMetric) {
  write(path("reference"), joined(corpus()));
  const std::string arguments = "evaluate model.h5 --source corpus.txt --reference reference ";
  const Outcome bleu = run(arguments + "--output translations");
  ASSERT_EQ(bleu.code, 0) << bleu.error;
  EXPECT_EQ(bleu.out, run("metrics reference -i translations --width 2").out);
  EXPECT_EQ(run(arguments + "--metrics bleu chrf ter").out,
            run("metrics reference -i translations --width 2 -m bleu chrf ter").out);
}

}  // namespace
}  // namespace dragoman
