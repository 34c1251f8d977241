// Whole runs on a tiny corpus, within the process. Going on with them is the subject of
// continue_test.cpp, and what the program does around them that of run_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/check.h"
#include "run/evaluation.h"
#include "run/run.h"
#include "run/run_directory.h"
#include "run/trainer.h"
#include "tensor/cpu/threads.h"
#include "tensor/gemm.h"
#include "train_fixture.h"

namespace dragoman {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class TrainerTest : public TinyRun {};

bool never() { return false; }

// What a run leaves behind ------------------------------------------------------------------------

TEST_F(TrainerTest, ARunDirectoryHoldsItsFiles) {
  run_training(config({"training.samples=2", "training.keep=2"}));
  for (const char* file : {"config.yaml", "train.log", "log.jsonl", "validation.tsv", "best.h5",
                           "last.h5", "step-9.h5", "step-12.h5", "validation/step-4.de",
                           "validation/step-12.de", "test/test.de", "test.json"})
    EXPECT_TRUE(std::filesystem::exists(run(file))) << file;
  EXPECT_FALSE(std::filesystem::exists(run("step-6.h5"))) << "two are kept";
  EXPECT_THAT(
      diff(load_config(run("config.yaml")), config({"training.samples=2", "training.keep=2"})),
      IsEmpty());
  EXPECT_THAT(lines_of(run("validation.tsv")), ElementsAre(StartsWith("step\t"), StartsWith("4\t"),
                                                           StartsWith("8\t"), StartsWith("12\t")));
  std::vector<std::string> events;
  for (const std::string& line : lines_of(run("log.jsonl"))) {
    const auto entry = nlohmann::json::parse(line);
    events.push_back(entry["type"].get<std::string>() + " " +
                     std::to_string(entry["step"].get<int>()));
    if (entry["type"] == "train") {
      for (const char* key : {"epoch", "loss", "perplexity", "learning_rate", "gradient_norm",
                              "source_tokens_per_second", "target_tokens_per_second"})
        EXPECT_TRUE(entry[key].is_number()) << key;
    }
    if (entry["type"] == "end") {
      EXPECT_GT(entry["peak_bytes"], 1 << 20);
    }
  }
  EXPECT_THAT(events, ElementsAre("train 3", "validation 4", "train 6", "validation 8", "train 9",
                                  "train 12", "validation 12", "end 12"));
  const auto test = nlohmann::json::parse(contents(run("test.json")));
  EXPECT_EQ(test[0]["corpus"], "test");
  EXPECT_THAT(test[0]["signature"].get<std::string>(), HasSubstr("tok:13a"));
  EXPECT_EQ(lines_of(run("test/test.de")).size(), 9u);
  const std::string log = contents(run("train.log"));
  for (const char* text : {"  ppl ", "  lr ", " tok/s", " left", "BLEU", "  translation  ",
                           "peak memory", "test test: BLEU|nrefs:1"})
    EXPECT_THAT(log, HasSubstr(text));
}

// Training ----------------------------------------------------------------------------------------

TEST_F(TrainerTest, LearnsTheTask) {
  run_training(config({"training.max_steps=150", "training.validate_every=50",
                       "model.encoder.dim=24", "training.learning_rate=0.02",
                       "model.encoder.dropout=0", "model.decoder.dropout=0"}));
  const CheckpointReader reader(run("last.h5"));
  EXPECT_LT(reader.state()->latest.perplexity, 4) << "of 19 pieces";
}

TEST_F(TrainerTest, TheSameSeedGivesTheSameBitsAndAnotherDoesNot) {
  EXPECT_EQ(trained({}), trained({}));
  EXPECT_NE(trained({}), trained({"seed=2"}));
}

TEST_F(TrainerTest, EverySettingOfTheOptimisationHasAnEffect) {
  using Sets = std::vector<std::string>;
  const Sets adamw = {"training.optimizer=adamw"};
  const Sets plateau = {"training.schedule=plateau", "training.plateau_patience=1",
                        "training.validate_every=1"};
  const Sets linear = {"training.schedule=linear"};
  const std::vector<std::pair<Sets, std::string>> cases = {
      {{}, "training.batch_tokens=60"},
      {{}, "training.accumulate=2"},
      {{}, "training.optimizer=adamw"},
      {adamw, "training.weight_decay=0.3"},
      {{}, "training.learning_rate=0.02"},
      {{}, "training.beta1=0.5"},
      {{}, "training.beta2=0.9"},
      {{}, "training.epsilon=1.0e-3"},
      {{}, "training.schedule=noam"},
      {{}, "training.schedule=linear"},
      {{}, "training.schedule=cosine"},
      {{}, "training.schedule=constant"},
      {{}, "training.warmup_steps=2"},
      {linear, "training.schedule_steps=20"},
      {linear, "training.minimum_learning_rate=0.009"},
      {plateau, "training.plateau_factor=0.1"},
      {plateau, "training.plateau_patience=5"},
      {{}, "training.label_smoothing=0"},
      {{}, "training.clip_norm=0.05"},
      {{}, "training.max_steps=11"},
      {{}, "training.max_epochs=1"},
      {{}, "training.max_minutes=1.0e-9"}};
  std::map<Sets, std::map<std::string, std::vector<float>>> bases;
  for (const auto& [base, change] : cases) {
    if (!bases.contains(base)) bases[base] = trained(base);
    Sets changed = base;
    changed.push_back(change);
    EXPECT_NE(trained(changed), bases[base]) << change;
  }
}

TEST_F(TrainerTest, ThePrecisionIsThatOfTheProductsAndAutoTakesTheFasterOne) {
  const auto full = trained({"training.precision=fp32"});
  const auto automatic = trained({"training.precision=auto"});
  if (has_bf16_products(find_device(config().training.device))) {
    EXPECT_NE(trained({"training.precision=bf16"}), full);
    EXPECT_EQ(trained({"training.precision=bf16"}), automatic);
  } else {
    EXPECT_EQ(automatic, full);
    EXPECT_THAT(contents(directory_ / "trained/train.log"), HasSubstr("precision: fp32, since"));
    EXPECT_THAT(complaint([&] { trained({"training.precision=bf16"}); }),
                HasSubstr("training.precision: this processor has no bf16 products"));
  }
}

TEST_F(TrainerTest, AProfileTellsWhereTheTimeOfSomeStepsGoes) {
  run_training(config());
  EXPECT_FALSE(std::filesystem::exists(run("trace.json")));
  const std::filesystem::path profiled = directory_ / "profiled";
  run_training(config({"training.profile=true", "output=" + profiled.string()}));
  std::set<std::string> operations;
  const auto trace = nlohmann::json::parse(contents(profiled / "trace.json"));
  for (const auto& event : trace["traceEvents"]) {
    EXPECT_EQ(event["ph"], "X");
    EXPECT_GE(event["dur"], 0);
    operations.insert(event["name"]);
  }
  for (const char* operation : {"linear", "linear, backward", "gru_cell", "attention, backward",
                                "cross_entropy", "next batch", "optimizer"})
    EXPECT_TRUE(operations.contains(operation)) << operation;
  EXPECT_THAT(contents(profiled / "train.log"),
              AllOf(HasSubstr("profile of the 2 steps before step 13"), HasSubstr("GFLOP/s")));
}

// The event files of a run, in the order of their names; a name holds the time.
std::vector<std::string> event_files(const std::filesystem::path& run) {
  std::map<std::string, std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(run)) {
    const std::string name = file.path().filename().string();
    if (name.starts_with("events.out.tfevents.")) files[name] = contents(file.path());
  }
  std::vector<std::string> texts;
  for (const auto& [name, text] : files) texts.push_back(text);
  return texts;
}

// The records of an event file: a length of 8 bytes, its checksum, the record and its checksum.
std::vector<std::string> records(const std::string& file) {
  std::vector<std::string> records;
  for (size_t at = 0; at < file.size();) {
    uint64_t length = 0;
    std::memcpy(&length, file.data() + at, sizeof(length));
    records.push_back(file.substr(at + 12, length));
    at += 12 + length + 4;
  }
  return records;
}

TEST_F(TrainerTest, TensorBoardIsToldWhatTheLogTells) {
  run_training(config({"training.samples=2"}));
  EXPECT_THAT(event_files(run(".")), IsEmpty());
  const std::filesystem::path shown = directory_ / "shown";
  const auto train_to = [&](int steps) {
    run_training(
        config({"training.tensorboard=true", "training.samples=2", "output=" + shown.string(),
                "training.max_steps=" + std::to_string(steps)}));
  };
  train_to(8);
  // Version and start; steps 3 and 6; after 4 and 8 steps two samples and the scores.
  const std::vector<std::string> first = records(event_files(shown).at(0));
  ASSERT_THAT(first, SizeIs(2 + 2 + 2 * 3));
  EXPECT_THAT(first[2], AllOf(HasSubstr("train/loss"), HasSubstr("train/perplexity"),
                              HasSubstr("train/learning_rate"), HasSubstr("train/gradient_norm"),
                              HasSubstr("train/target_tokens_per_second")));
  EXPECT_THAT(first[3], AllOf(HasSubstr("validation/sample_1"), HasSubstr("source       "),
                              HasSubstr(lines_of(shown / "validation/step-4.de")[0])));
  EXPECT_THAT(first[5], AllOf(HasSubstr("validation/loss"), HasSubstr("validation/bleu")));
  EXPECT_THAT(first[5], Not(HasSubstr("validation/best"))) << "is no number";
  train_to(12);
  ASSERT_THAT(event_files(shown), SizeIs(2));
  const std::vector<std::string> second = records(event_files(shown)[1]);
  EXPECT_THAT(second[1], HasSubstr(std::string("\x10\x09\x3a", 3))) << "a session from step 9 on";
  EXPECT_THAT(second, SizeIs(2 + 2 + 3));
}

TEST_F(TrainerTest, AccumulatedBatchesMakeTheStepOfOneLargeBatch) {
  // Eight pairs of three words are 32 target tokens with their ends: two batches or one.
  std::ofstream source(directory_ / "even.en"), target(directory_ / "even.de");
  for (const char* line :
       {"a b c", "d e f", "g h a", "b c d", "e f g", "h a b", "c d e", "f g h"}) {
    source << line << '\n';
    target << line << '\n';
  }
  source.close();
  target.close();
  std::vector<std::string> sets = {"data.train=[even]",
                                   "vocabulary.size=11",
                                   "training.epsilon=1.0e-3",
                                   "model.encoder.dropout=0",
                                   "model.decoder.dropout=0",
                                   "model.encoder.embedding_dropout=0",
                                   "training.max_steps=5",
                                   "model.decoder.embedding_dropout=0",
                                   "data.test=[]"};
  sets.push_back("training.batch_tokens=32");
  const auto large = trained(sets);
  sets.back() = "training.batch_tokens=16";
  const auto small = trained(sets);
  EXPECT_EQ(CheckpointReader(directory_ / "trained" / "last.h5").state()->epochs, 2.5);
  sets.push_back("training.accumulate=2");
  const auto accumulated = trained(sets);
  EXPECT_EQ(CheckpointReader(directory_ / "trained" / "last.h5").state()->epochs, 5);
  double difference = 0, difference_of_small = 0;
  for (const auto& [name, values] : large) {
    if (!name.starts_with("/parameters")) continue;
    for (size_t i = 0; i < values.size(); ++i) {
      const auto gap = [&](const auto& other) {
        return std::abs(double{values[i]} - double{other.at(name)[i]});
      };
      difference = std::max(difference, gap(accumulated));
      difference_of_small = std::max(difference_of_small, gap(small));
    }
  }
  EXPECT_LT(difference, 1e-4);
  EXPECT_GT(difference_of_small, 1e-3);
}

TEST_F(TrainerTest, AStepDoesNotReachIntoTheNextEpoch) {
  run_training(config({"training.accumulate=1000", "training.max_steps=3"}));
  const TrainingState state = *CheckpointReader(run("last.h5")).state();
  EXPECT_EQ(state.position, (DataPosition{3, 0, 0}));
  EXPECT_EQ(state.epochs, 3);
}

TEST_F(TrainerTest, DropoutIsDrawnAnewInEveryStep) {
  // The corpus is one pair, and nothing is learned from it.
  std::ofstream(directory_ / "one.en") << "a b c d e f g h\n";
  std::ofstream(directory_ / "one.de") << "s t u v w x y z\n";
  const auto losses = [&](const std::string& dropout) {
    run_training(
        config({"data.train=[one]", "training.learning_rate=1.0e-30", "training.log_every=1",
                "training.max_steps=3", "model.encoder.dropout=" + dropout,
                "model.decoder.dropout=" + dropout, "model.encoder.embedding_dropout=0",
                "model.decoder.embedding_dropout=0", "output=" + (directory_ / dropout).string()}));
    std::set<std::string> different;
    for (const std::string& line : lines_of(directory_ / dropout / "log.jsonl")) {
      const auto entry = nlohmann::json::parse(line);
      if (entry["type"] == "train")
        different.insert(fmt::format("{:.4f}", entry["loss"].get<double>()));
    }
    return different;
  };
  EXPECT_THAT(losses("0"), SizeIs(1));
  EXPECT_THAT(losses("0.1"), SizeIs(3));
}

TEST_F(TrainerTest, EndsAtItsLimits) {
  const auto end = [&](std::vector<std::string> sets) {
    trained(std::move(sets));
    const auto lines = lines_of(directory_ / "trained" / "log.jsonl");
    return nlohmann::json::parse(lines.back());
  };
  EXPECT_EQ(end({})["reason"], "training.max_steps: 12");
  EXPECT_EQ(end({"training.max_epochs=1"})["reason"], "training.max_epochs: 1");
  EXPECT_EQ(CheckpointReader(directory_ / "trained" / "last.h5").state()->epochs, 1);
  EXPECT_EQ(end({"training.max_minutes=1.0e-9"})["step"], 1);
  // Nothing is learned: the first validation is the best and the next two are no better.
  const auto stopped = end({"training.learning_rate=1.0e-30", "training.validate_every=2",
                            "training.stop_patience=2", "training.max_steps=100"});
  EXPECT_THAT(stopped["reason"].get<std::string>(), HasSubstr("training.stop_patience"));
  EXPECT_EQ(stopped["step"], 6);
}

TEST_F(TrainerTest, ReportsAndSavesAsOftenAsAsked) {
  run_training(config({"training.log_every=6", "training.validate_every=5", "training.save_every=4",
                       "training.keep=10", "training.samples=3"}));
  EXPECT_THAT(lines_of(run("validation.tsv")), SizeIs(1 + 3)) << "5, 10 and the end";
  int trains = 0;
  for (const std::string& line : lines_of(run("log.jsonl")))
    trains += nlohmann::json::parse(line)["type"] == "train";
  EXPECT_EQ(trains, 2);
  for (const int step : {4, 8, 12})
    EXPECT_TRUE(std::filesystem::exists(run("step-" + std::to_string(step) + ".h5"))) << step;
  EXPECT_FALSE(std::filesystem::exists(run("step-5.h5")));
  int samples = 0;
  for (const std::string& line : lines_of(run("train.log")))
    samples += line.find("  translation") == 0;
  EXPECT_EQ(samples, 9);
  EXPECT_EQ(thread_count(), 1);
}

TEST_F(TrainerTest, NamesTheOperationThatMadeANaN) {
  const auto error = [&](const std::string& rate, const std::string& debug) {
    return complaint([&] {
      run_training(
          config({"training.learning_rate=" + rate, "training.warmup_steps=1",
                  "training.clip_norm=0", "training.save_every=1",
                  "output=" + (directory_ / rate).string(), "training.debug_nan=" + debug}));
    });
  };
  // At this rate the parameters become huge and the next forward pass overflows.
  EXPECT_THAT(error("1.0e+30", "false"),
              AllOf(HasSubstr("step 2: the loss is"), HasSubstr("--debug-nan"),
                    HasSubstr("last.h5 is of step 1")));
  EXPECT_THAT(error("1.0e+30", "true"), AllOf(HasSubstr("step 2: "), HasSubstr("the operation '")));
  // At this one the update itself does.
  EXPECT_THAT(error("1.0e+38", "false"), HasSubstr("/parameters is NaN or infinite"));
  EXPECT_THAT(error("1.0e+38", "true"), HasSubstr("step 1: the operation 'adam_update'"));
  for (const char* rate : {"1.0e+30", "1.0e+38"}) {
    for (const auto& [name, values] : arrays(directory_ / rate / "last.h5")) {
      for (const float value : values) ASSERT_TRUE(std::isfinite(value)) << name;
    }
  }
}

TEST_F(TrainerTest, PairsThatDoNotFitHaveNoPartInTheValidationLoss) {
  const std::vector<std::string> sets = {"data.max_length=8", "training.max_steps=1",
                                         "model.decoder.positions=learned",
                                         "model.decoder.max_positions=13"};
  const auto scores = [&] {
    const Config config = this->config(sets);
    const Model model(config.model, 19, 19, 1, Device{});
    return Validator(config, data(config).vocabularies, model).run(1, never)->scores;
  };
  const Scores before = scores();
  std::ofstream(directory_ / "validation.en", std::ios::app) << "\na b c\na b c\n";
  std::ofstream(directory_ / "validation.de", std::ios::app)
      << "s t\n\ns t u v w x y z s t u v w x y z\n";
  EXPECT_EQ(scores().loss, before.loss);
  run_training(config(sets));
  EXPECT_THAT(contents(run("train.log")), HasSubstr("3 of 15 validation pairs are left out"));
  EXPECT_THAT(lines_of(run("validation/step-1.de")), SizeIs(15)) << "but all are translated";
}

TEST_F(TrainerTest, AValidationThatDoesNotFitBesideTrainingIsMadeInHalves) {
  std::vector<std::string> sets = {"decoding.beam_size=1", "decoding.max_length=1",
                                   "decoding.batch_sentences=1"};
  const Config config = this->config(sets);
  sets.push_back("training.batch_tokens=20");
  const Config smaller = this->config(sets);
  // Text enough that all of it at once takes more than what a launch keeps for itself.
  for (const char* language : {"en", "de"}) {
    const std::filesystem::path path = directory_ / (std::string("validation.") + language);
    const std::string text = contents(path);
    std::ofstream file(path, std::ios::app);
    for (int i = 0; i < 40; ++i) file << text;
  }
  const Vocabularies vocabularies = data(config).vocabularies;
  const Model model(config.model, 19, 19, 1, Device{});
  Allocator& allocator = Allocator::of(model.device());
  allocator.release_cached();
  const size_t before = allocator.statistics().reserved;
  allocator.reset_peak();
  const auto expected = Validator(smaller, vocabularies, model).run(1, never);
  const size_t enough = allocator.statistics().peak_reserved - before;

  allocator.release_cached();
  allocator.set_limit(before + enough);
  ::testing::internal::CaptureStderr();
  const auto found = Validator(config, vocabularies, model).run(1, never);
  allocator.set_limit(std::numeric_limits<size_t>::max());
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("target tokens, the longest of"), HasSubstr("it is halved")));
  EXPECT_NEAR(found->scores.loss, expected->scores.loss, 1e-6);
  EXPECT_EQ(found->hypotheses, expected->hypotheses);
}

TEST_F(TrainerTest, RefusesASearchThatTheModelCannotDoBeforeItTrains) {
  const size_t begin = yaml_.find("  decoder:");
  yaml_.replace(begin, yaml_.find('\n', begin) - begin,
                "  decoder: {type: gru, dim: 6, embedding_dim: 12, readout_dim: 12, "
                "attention: none}");
  EXPECT_THAT(complaint([&] { run_training(config({"decoding.coverage_penalty=0.2"})); }),
              HasSubstr("coverage"));
  EXPECT_FALSE(std::filesystem::exists(run("last.h5")));
}

// Devices -----------------------------------------------------------------------------------------

TEST_F(TrainerTest, ARunMovesFromDeviceToDevice) {
  const std::vector<Device> devices = all_devices();
  if (devices.size() == 1) GTEST_SKIP() << why_no_gpu();
  const auto on = [&](Device device, const std::string& output, int steps) {
    return config({"training.device=" + to_string(device), "training.precision=fp32",
                   "training.ema_decay=0.9", fmt::format("training.max_steps={}", steps),
                   "output=" + (directory_ / output).string()});
  };
  const Device cpu = devices[0], gpu = devices[1];
  run_training(on(cpu, "whole", 12));
  const Scores expected = CheckpointReader(directory_ / "whole" / "last.h5").state()->latest;
  for (const auto& [first, second] : {std::pair(cpu, gpu), std::pair(gpu, cpu)}) {
    const std::string name = "from-" + to_string(first).substr(0, 3);
    run_training(on(first, name, 6));
    const auto saved = arrays(directory_ / name / "last.h5");
    {
      // What is read and written is the same, bit for bit.
      RunDirectory directory(directory_ / "copy");
      const Config config = on(second, "copy", 6);
      Trainer trainer(config, data(config), directory);
      trainer.resume(CheckpointReader(directory_ / name / "last.h5"));
      EXPECT_EQ(trainer.model().device(), second);
      trainer.train(never);
      save_model(directory_ / "copy.h5", config, data(config).vocabularies,
                 trainer.model().parameters(),
                 {{kParametersGroup, trainer.model().parameters().values()}});
    }
    for (const auto& [array, values] : arrays(directory_ / "copy.h5"))
      EXPECT_EQ(values, saved.at(array)) << array;
    run_training(on(second, name, 12));
    const Scores scores = CheckpointReader(directory_ / name / "last.h5").state()->latest;
    EXPECT_EQ(scores.step, 12);
    EXPECT_NEAR(scores.loss, expected.loss, 1e-3 * expected.loss);
    EXPECT_THAT(
        contents(directory_ / name / "train.log"),
        AllOf(HasSubstr("device: " + describe(first)), HasSubstr("device: " + describe(second))));
  }
}

TEST_F(TrainerTest, EveryDeviceTranslatesTheSame) {
  run_training(config({"training.max_steps=60", "training.learning_rate=0.02"}));
  const std::vector<std::string> source = lines_of(directory_ / "test.en");
  std::set<std::vector<std::string>> different;
  for (const Device device : all_devices()) {
    const LoadedModel loaded = load_model(run("last.h5"), device);
    std::vector<std::string> lines;
    const Translator translator(*loaded.model, loaded.vocabularies, loaded.config.decoding);
    for (const Translation& translation : translator.translate(source))
      lines.push_back(translation.text());
    different.insert(lines);
  }
  EXPECT_THAT(different, SizeIs(1));
  if (all_devices().size() == 1) GTEST_SKIP() << why_no_gpu();
}

TEST_F(TrainerTest, SaysThatADeviceCannotBeHadBeforeItBegins) {
  const std::string error = complaint([&] { run_training(config({"training.device=cuda:77"})); });
  EXPECT_THAT(error, StartsWith("training.device: the device 'cuda:77' cannot be had: "));
  EXPECT_FALSE(std::filesystem::exists(run("")));
}

TEST_F(TrainerTest, ABatchThatDoesNotFitIsSkippedIfToldSo) {
  const Config config = this->config({"training.on_out_of_memory=skip", "data.test=[]"});
  const TrainingData data = this->data(config);
  RunDirectory directory(directory_ / "run");
  Trainer trainer(config, data, directory);
  Allocator& allocator = Allocator::of(trainer.model().device());
  ASSERT_TRUE(trainer.train([&] { return trainer.state().step == 3; }) == std::nullopt);
  const DataPosition position = trainer.state().position;
  // Where there is no memory at all nothing fits.
  allocator.release_cached();
  allocator.set_limit(allocator.statistics().reserved);
  const std::string error = complaint([&] { trainer.train(never); });
  allocator.set_limit(std::numeric_limits<size_t>::max());
  EXPECT_THAT(error, AllOf(StartsWith("step 4: out of memory"), HasSubstr("100 batches in a row")));
  EXPECT_NE(trainer.state().position, position);
  EXPECT_EQ(trainer.state().step, 3);
  EXPECT_EQ(CheckpointReader(run("last.h5")).state()->position, position) << "it can be continued";
}

}  // namespace
}  // namespace dragoman
