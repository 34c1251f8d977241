// Studies: their files, their runs and their reports.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>

#include "config/study.h"
#include "decode/observation.h"
#include "decode/translator.h"
#include "places.h"
#include "study/comparison.h"
#include "study/outputs.h"
#include "study/run_log.h"
#include "study/study.h"
#include "train_fixture.h"

namespace dragoman {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Json = nlohmann::json;

namespace fs = std::filesystem;

class StudyTest : public TinyRun {
 protected:
  StudyTest() { std::ofstream(directory_ / "tiny.yaml") << yaml_; }

  // A study of two systems and two seeds on the tiny corpus, with `more` lines in front.
  StudyConfig study(const std::string& more = "", const std::vector<std::string>& sets = {}) const {
    write(more);
    return load_study(directory_ / "study.yaml", sets);
  }
  void write(const std::string& more, const std::string& systems = kSystems) const {
    std::ofstream(directory_ / "study.yaml")
        << more << "base: tiny.yaml\ntests: [test]\nseeds: [1, 2]\noutput: "
        << (directory_ / "study").string() << "\n"
        << systems;
  }
  std::string load_error(const std::string& more, const std::string& systems = kSystems,
                         const std::vector<std::string>& sets = {}) const {
    write(more, systems);
    return complaint([&] { load_study(directory_ / "study.yaml", sets); });
  }
  fs::path in_study(const std::string& file) const { return directory_ / "study" / file; }
  Json results() const { return Json::parse(contents(in_study("report/results.json"))); }

  static constexpr const char* kSystems =
      "systems:\n"
      "  hybrid: {}\n"
      "  gru:\n"
      "    model.decoder: {type: gru, attention: additive, embedding_dim: 12, readout_dim: 12}\n";
};

TEST_F(StudyTest, SystemsAreTheBaseWithTheirOwnSettings) {
  const StudyConfig loaded =
      study("settings: {training.batch_tokens: 70, decoding.beam_size: 3}\n");
  ASSERT_THAT(loaded.systems, SizeIs(2));
  EXPECT_EQ(loaded.systems[0].name, "hybrid");
  EXPECT_EQ(loaded.systems[0].config.model.decoder.type, StackType::kTransformer);
  EXPECT_EQ(loaded.systems[0].config.training.batch_tokens, 70);
  EXPECT_EQ(loaded.baseline, "hybrid");
  // The base's ffn_dim and heads have no effect on a GRU, and are left out.
  const Config run = loaded.run(loaded.systems[1], 2);
  EXPECT_EQ(run.model.decoder.type, StackType::kGru);
  EXPECT_EQ(run.model.encoder.dim, 6);
  EXPECT_EQ(run.decoding.beam_size, 3);
  EXPECT_EQ(run.seed, 2);
  EXPECT_EQ(run.name, "gru");
  EXPECT_EQ(run.run_directory(), in_study("runs/gru/seed-2"));
  EXPECT_EQ(run.data.cache, in_study("data").string());
}

// yaml-cpp's assignment of a node changes the node that was shared.
TEST_F(StudyTest, WhatOneSystemSetsLeavesTheOthersAlone) {
  write("settings: {model.encoder: {layers: 3}}\n",
        "systems:\n  a: {}\n  b: {model.encoder: {layers: 2}}\n  c: {}\n");
  const StudyConfig loaded = load_study(directory_ / "study.yaml");
  EXPECT_EQ(loaded.systems[0].config.model.encoder.layers, 3);
  EXPECT_EQ(loaded.systems[1].config.model.encoder.layers, 2);
  EXPECT_EQ(loaded.systems[2].config.model.encoder.layers, 3);
}

TEST_F(StudyTest, BudgetsReplaceLimits) {
  const StudyConfig loaded = study("budget: {steps: 7, minutes: 3}\n");
  EXPECT_EQ(loaded.systems[0].config.training.max_steps, 7);
  EXPECT_EQ(loaded.systems[0].config.training.max_minutes, 3);
  EXPECT_EQ(loaded.systems[0].config.training.max_epochs, 0);
}

TEST_F(StudyTest, SetsReachTheStudyAllSystemsAndOne) {
  const StudyConfig loaded =
      study("", {"seeds=[5]", "budget.steps=9", "settings.training.learning_rate=0.5",
                 "systems.gru.training.learning_rate=0.25"});
  EXPECT_THAT(loaded.seeds, ElementsAre(5));
  EXPECT_EQ(loaded.systems[0].config.training.max_steps, 9);
  EXPECT_EQ(loaded.systems[0].config.training.learning_rate, 0.5);
  EXPECT_EQ(loaded.systems[1].config.training.learning_rate, 0.25);
}

TEST_F(StudyTest, ASystemMayHaveAConfigurationOfItsOwn) {
  std::ofstream(directory_ / "other.yaml") << yaml_ << "seed: 9\n";
  write("", "systems:\n  other: {config: other.yaml, training.max_steps: 3}\n");
  const StudyConfig loaded = load_study(directory_ / "study.yaml");
  EXPECT_EQ(loaded.systems[0].config.seed, 9);
  EXPECT_EQ(loaded.systems[0].config.training.max_steps, 3);
}

TEST_F(StudyTest, MistakesAreNamedWithFileAndLine) {
  EXPECT_THAT(
      load_error("bugdet: {steps: 1}\n"),
      AllOf(HasSubstr("study.yaml:1: unknown key bugdet.steps"), HasSubstr("budget.steps")));
  EXPECT_THAT(load_error("seed: 1\n"), HasSubstr("nearest valid key is seeds"));
  EXPECT_THAT(load_error("target_bleu: 200\n"), HasSubstr("at most 100"));
  EXPECT_THAT(load_error("settings:\n  model.encodr.layers: 1\n"),
              HasSubstr("study.yaml:2: unknown key model.encodr.layers"));
  EXPECT_THAT(load_error("", "systems:\n  gru: {model.decoder.type: gruu}\n"),
              HasSubstr("study.yaml:6: model.decoder.type: expected"));
  EXPECT_THAT(load_error("", "systems:\n  a: {}\n  b: {config: none.yaml}\n"),
              HasSubstr("none.yaml"));
  EXPECT_THAT(load_error("baseline: best\n"),
              HasSubstr("there is no system 'best', only hybrid, gru"));
  EXPECT_THAT(load_error("", ""), HasSubstr("has no systems"));
  EXPECT_THAT(load_error("", "systems:\n  a/b: {}\n"), HasSubstr("cannot be named 'a/b'"));
  EXPECT_THAT(load_error("", "systems:\n  a: {}\n  a: {}\n"), HasSubstr("two systems named a"));
  EXPECT_THAT(load_error("", "systems: [a, b]\n"), HasSubstr("systems: expected"));
  EXPECT_THAT(load_error("", kSystems, {"seeds=[1, 1]"}), HasSubstr("has one twice"));
  EXPECT_THAT(load_error("", kSystems, {"tests=[]"}), HasSubstr("tests: expected"));
  EXPECT_THAT(load_error("", kSystems, {"systems.grru.seed=1"}), HasSubstr("no system 'grru'"));
}

TEST(StudyFiles, OfTheProjectAreStudies) {
  const fs::path project = project_directory();
  int64_t files = 0;
  for (const auto& entry : fs::directory_iterator(project / "configs" / "studies")) {
    EXPECT_GE(load_study(entry.path()).systems.size(), 3U) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 3);
}

// What `dragoman compare --help` shows.
TEST_F(StudyTest, TheExampleOfTheHelpIsAStudy) {
  const fs::path help = directory_ / "help", example = directory_ / "example.yaml";
  ASSERT_EQ(std::system(("exec " + program() + " compare --help > " + help.string()).c_str()), 0);
  std::ofstream file(example);
  bool inside = false;
  for (const std::string& line : lines_of(help)) {
    if (line.starts_with("Its keys")) inside = false;
    if (inside) file << line << '\n';
    if (line == "A study:") inside = true;
  }
  file.close();
  std::ofstream(directory_ / "quickstart.yaml")
      << contents(fs::path(project_directory()) / "configs" / "quickstart.yaml");
  const StudyConfig loaded = load_study(example);
  ASSERT_THAT(loaded.systems, SizeIs(2));
  EXPECT_EQ(loaded.systems[1].config.model.decoder.type, StackType::kGru);
}

TEST_F(StudyTest, WhatASystemSetsInVainIsAMistake) {
  EXPECT_THAT(load_error("", "systems:\n  a: {model.encoder.heads: 2}\n"),
              HasSubstr("model.encoder.heads has no effect here"));
}

TEST_F(StudyTest, TrainsMissingRunsOnlyAndReports) {
  const StudyConfig two = study();
  ASSERT_TRUE(run_study(two));
  for (const char* file : {"index.html", "results.csv", "table.md", "table.tex"})
    EXPECT_TRUE(fs::exists(in_study("report") / file)) << file;
  const Json before = results();
  ASSERT_EQ(before["systems"].size(), 2);
  ASSERT_EQ(before["systems"][1]["runs"].size(), 2);
  EXPECT_EQ(before["systems"][1]["runs"][1]["seed"], 2);
  EXPECT_EQ(before["systems"][1]["runs"][1]["steps"], 12);
  EXPECT_GT(before["systems"][0]["parameters"], 0);
  EXPECT_EQ(before["tests"][0]["sentences"], 9);

  // Again, with one seed more: what was trained and translated stays as it is.
  const auto trained = fs::last_write_time(in_study("runs/gru/seed-1/last.h5"));
  const auto translated = fs::last_write_time(in_study("report/translations/gru/seed-1/test.de"));
  const std::string log = contents(in_study("runs/gru/seed-1/log.jsonl"));
  StudyConfig three = two;
  three.seeds = {1, 2, 3};
  ASSERT_TRUE(run_study(three));
  EXPECT_EQ(fs::last_write_time(in_study("runs/gru/seed-1/last.h5")), trained);
  EXPECT_EQ(fs::last_write_time(in_study("report/translations/gru/seed-1/test.de")), translated);
  EXPECT_EQ(contents(in_study("runs/gru/seed-1/log.jsonl")), log);
  const Json after = results();
  ASSERT_EQ(after["systems"][1]["runs"].size(), 3);
  EXPECT_EQ(after["systems"][1]["runs"][0], before["systems"][1]["runs"][0]);
}

TEST_F(StudyTest, ABegunRunGoesOn) {
  StudyConfig config = study();
  config.seeds = {1};
  StudyConfig half = config;
  for (StudySystem& system : half.systems) system.config.training.max_steps = 6;
  ASSERT_TRUE(run_study(half));
  ASSERT_TRUE(run_study(config));
  const std::vector<std::string> log = lines_of(in_study("runs/hybrid/seed-1/log.jsonl"));
  EXPECT_EQ(std::count_if(log.begin(), log.end(),
                          [](auto& line) { return line.find("\"step\":3,") != std::string::npos; }),
            1);
  EXPECT_EQ(results()["systems"][0]["runs"][0]["steps"], 12);
}

TEST_F(StudyTest, MissingTestsComeToLightBeforeTraining) {
  StudyConfig config = study();
  config.tests = {"tset"};
  EXPECT_THAT(complaint([&] { run_study(config); }), HasSubstr("tset.en"));
  EXPECT_FALSE(fs::exists(in_study("runs")));
}

TEST_F(StudyTest, RunsAreGroupedBySeed) {
  run_training(config({"output=" + run("a").string(), "training.max_steps=3", "seed=1"}));
  run_training(config({"output=" + run("b").string(), "training.max_steps=3", "seed=2"}));
  run_training(
      config({"output=" + run("c").string(), "training.max_steps=3", "model.encoder.layers=2"}));
  const auto systems = group_runs({run("a"), run("b"), run("c")});
  ASSERT_THAT(systems, SizeIs(2));
  EXPECT_THAT(systems[0].runs, ElementsAre(run("a"), run("b")));
  EXPECT_EQ(systems[0].name, "a");  // both configurations are named tiny
  EXPECT_EQ(systems[1].name, "c");
  EXPECT_THAT(complaint([&] { group_runs({run("a"), run("a")}); }), HasSubstr("with the seed 1"));
  EXPECT_THAT(complaint([&] { group_runs({run("d")}); }), HasSubstr("no run directory"));
  ComparisonOptions options{.output = directory_ / "report",
                            .data = config().data,
                            .tests = {"test"},
                            .baseline = "x",
                            .sentences = {10}};
  EXPECT_THAT(complaint([&] { compare_runs(systems, options, {}); }), HasSubstr("no system 'x'"));
  options.baseline = "c";
  EXPECT_THAT(complaint([&] { compare_runs(systems, options, {}); }), HasSubstr("no line 10"));
  EXPECT_FALSE(compare_runs(
      systems, {.output = directory_ / "report", .data = config().data, .tests = {"test"}},
      [] { return true; }));
  EXPECT_FALSE(fs::exists(directory_ / "report/index.html"));
}

TEST_F(StudyTest, RunsOfAnyNameStayApartAndInTheReport) {
  const auto train = [&](const fs::path& place, const char* layers) {
    fs::create_directories(place.parent_path());
    run_training(config({"name=../../tiny", "output=" + place.string(), "training.max_steps=3",
                         std::string("model.encoder.layers=") + layers}));
  };
  train(run("x/model"), "1");
  train(run("y/model"), "2");
  EXPECT_EQ(group_runs({run("x/model")})[0].name, "../../tiny");
  const auto systems = group_runs({run("x/model"), run("y/model")});
  ASSERT_THAT(systems, SizeIs(2));
  EXPECT_NE(systems[0].name, systems[1].name);
  const fs::path output = directory_ / "report";
  ASSERT_TRUE(compare_runs(group_runs({run("x/model")}),
                           {.output = output, .data = config().data, .tests = {"test"}}, {}));
  ASSERT_TRUE(
      compare_runs(systems, {.output = output, .data = config().data, .tests = {"test"}}, {}));
  size_t translations = 0;
  for (const auto& entry : fs::recursive_directory_iterator(output / "translations"))
    translations += entry.path().filename() == "test.json" ? 1 : 0;
  EXPECT_EQ(translations, 3U);
}

TEST_F(StudyTest, TranslationsOfAnotherModelAreMadeAgain) {
  run_training(config({"training.max_steps=3"}));
  const TestCorpus test = read_tests(config().data, {"test"})[0];
  const fs::path kept = directory_ / "kept";
  const auto first = translate_test(load_model(run(""), Device{}), test, kept, {});
  ASSERT_TRUE(first);
  EXPECT_GT(first->seconds, 0);
  EXPECT_GE(first->target_tokens, 9);
  EXPECT_EQ(translate_test(load_model(run(""), Device{}), test, kept, {})->seconds, first->seconds);
  for (const Device device : all_devices()) {
    if (device.on_gpu()) {
      EXPECT_NE(translate_test(load_model(run(""), device), test, kept, {})->seconds,
                first->seconds);
    }
  }
  run_training(config({"training.max_steps=12"}));
  EXPECT_NE(translate_test(load_model(run(""), Device{}), test, kept, {})->seconds, first->seconds);
}

TEST_F(StudyTest, ALogTellsCurvesAndTimes) {
  run_training(config());
  const MeasuredRun read = read_run_log(run(""));
  EXPECT_EQ(read.steps, 12);
  EXPECT_THAT(read.training_loss, SizeIs(4));
  EXPECT_THAT(read.validation_bleu, SizeIs(3));
  EXPECT_GT(*read.target_tokens_per_second, 0);
  EXPECT_GT(*read.peak_bytes, 1e4);
  EXPECT_GT(*read.minutes_to_best, 0);
  std::ofstream(run("log.jsonl"), std::ios::app) << "{\"type\": \"tra";  // killed while writing
  EXPECT_EQ(read_run_log(run("")).steps, 12);
  std::ofstream(run("log.jsonl"), std::ios::app) << "\n{}\n";
  EXPECT_THAT(complaint([&] { read_run_log(run("")); }), HasSubstr("log.jsonl:"));
  EXPECT_THAT(complaint([&] { read_run_log(run("nowhere")); }), HasSubstr("cannot be read"));
}

// Attention ---------------------------------------------------------------------------------------

class ObservationTest : public StudyTest, public ::testing::WithParamInterface<const char*> {
 protected:
  LoadedModel model() const {
    std::string yaml = yaml_;
    const size_t at = yaml.find("  decoder:");
    const std::string attention = GetParam();
    yaml.replace(at, yaml.find('\n', at) - at,
                 attention == "transformer"
                     ? "  decoder: {type: transformer, layers: 2, dim: 12, heads: 2, ffn_dim: 16}"
                     : "  decoder: {type: gru, layers: 2, dim: 12, embedding_dim: 12, readout_dim: "
                       "12, attention: " +
                           attention + "}");
    run_training(parse_config(yaml, "tiny.yaml", {"training.max_steps=4"}));
    return load_model(run(""), Device{});
  }
};

TEST_P(ObservationTest, RowsSumToOneAndAgreeWithTheSearch) {
  const LoadedModel loaded = model();
  const std::string line = "a b c d e";
  const Observation seen =
      observe(*loaded.model, loaded.vocabularies, loaded.config.decoding, line);
  EXPECT_EQ(seen.source.back(), "</s>");
  const auto source = std::ssize(seen.source), target = std::ssize(seen.target);
  bool crossed = false;
  for (const AttentionMap& map : seen.maps) {
    const bool decoder = map.kind == AttentionMap::Kind::kDecoder;
    const bool encoder = map.kind == AttentionMap::Kind::kEncoder;
    crossed = crossed || (!decoder && !encoder);
    const int64_t heads = map.weights.shape()[1];
    EXPECT_EQ(map.weights.shape()[0], encoder ? source : target);
    EXPECT_EQ(map.weights.shape()[2], decoder ? target : source);
    const std::vector<real> weights = map.weights.to_host();
    const int64_t keys = map.weights.shape()[2];
    for (int64_t row = 0; row < std::ssize(weights) / keys; ++row) {
      const auto begin = weights.begin() + row * keys;
      EXPECT_NEAR(std::accumulate(begin, begin + keys, 0.0), 1, 1e-4);
      for (int64_t key = row / heads + 1; decoder && key < keys; ++key)
        EXPECT_EQ(*(begin + key), 0);
    }
  }
  EXPECT_EQ(crossed, loaded.model->has_attention());
  if (!crossed) return;

  // The steps of the search report the mean over the heads of the last layer.
  const Translator translator(*loaded.model, loaded.vocabularies, loaded.config.decoding, true);
  const Candidate best = translator.translate(std::vector{line})[0].candidates[0];
  EXPECT_EQ(best.pieces, seen.target);
  const Tensor& last = seen.maps.back().weights;
  const std::vector<real> weights = last.to_host();
  const int64_t heads = last.shape()[1];
  for (int64_t t = 0; t < target; ++t) {
    for (int64_t s = 0; s < source; ++s) {
      double mean = 0;
      for (int64_t h = 0; h < heads; ++h)
        mean +=
            weights[static_cast<size_t>((t * heads + h) * source + s)] / static_cast<double>(heads);
      EXPECT_NEAR(mean, best.attention[static_cast<size_t>(t)][static_cast<size_t>(s)], 1e-4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Decoders, ObservationTest,
                         ::testing::Values("transformer", "additive", "dot", "general", "none"));

}  // namespace
}  // namespace dragoman
