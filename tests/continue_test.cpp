// Runs on a tiny corpus that end, by a signal or a kill or at their limit, and are gone on with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "core/check.h"
#include "run/run.h"
#include "run/run_directory.h"
#include "run/trainer.h"
#include "train_fixture.h"

namespace dragoman {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

bool never(const Trainer&) { return false; }

class ContinueTest : public TinyRun {
 protected:
  // Begins the run of that name or goes on with it, until it ends, which is told, or `stop`.
  bool session(const Config& config, const TrainingData& data, const std::string& name,
               const std::function<bool(const Trainer&)>& stop) const {
    RunDirectory directory(directory_ / name);
    Trainer trainer(config, data, directory);
    if (std::filesystem::exists(directory.last()))
      trainer.resume(CheckpointReader(directory.last()));
    return trainer.train([&] { return stop(trainer); }).has_value();
  }
};

TEST_F(ContinueTest, ARunStoppedAnywhereEndsAsOneThatWasNot) {
  const Config config = this->config({"training.ema_decay=0.9", "training.schedule=plateau",
                                      "training.plateau_patience=1", "training.validate_every=3",
                                      "training.accumulate=2", "data.test=[]"});
  const TrainingData data = this->data(config);
  const auto validations = [&](const std::filesystem::path& path) {
    std::vector<Scores> scores;
    for (const std::string& line : lines_of(path / "log.jsonl")) {
      const auto entry = nlohmann::json::parse(line);
      if (entry["type"] == "validation")
        scores.push_back({entry["step"], entry["loss"], entry["perplexity"], entry["bleu"]});
    }
    return scores;
  };
  ASSERT_TRUE(session(config, data, "whole", never));
  for (int first = 0; first < 6; ++first) {
    const std::string name = "cut-" + std::to_string(first);
    const std::filesystem::path path = directory_ / name;
    int sessions = 0, asked = 0;
    // Each session may go on a little longer than the one before.
    const auto stop = [&](const Trainer&) { return asked++ >= first + sessions; };
    while (!session(config, data, name, stop)) {
      ++sessions;
      asked = 0;
    }
    EXPECT_GT(sessions, 3);
    EXPECT_EQ(arrays(path / "last.h5"), arrays(directory_ / "whole" / "last.h5")) << first;
    EXPECT_EQ(arrays(path / "best.h5"), arrays(directory_ / "whole" / "best.h5")) << first;
    EXPECT_EQ(validations(path), validations(directory_ / "whole")) << first;
    TrainingState one = *CheckpointReader(path / "last.h5").state();
    TrainingState other = *CheckpointReader(directory_ / "whole" / "last.h5").state();
    EXPECT_EQ(one.best, other.best);
    EXPECT_EQ(one.waited, other.waited);
    EXPECT_EQ(one.plateaus, other.plateaus);
    EXPECT_EQ(one.position, other.position);
  }
}

TEST_F(ContinueTest, AnEndedRunTrainsOnWhenItsLimitIsRaised) {
  run_training(config());
  const std::string last = contents(run("last.h5"));
  run_training(config());
  EXPECT_EQ(contents(run("last.h5")), last);
  EXPECT_THAT(contents(run("train.log")), HasSubstr("the run has ended at step 12"));
  std::filesystem::remove(run("test.json"));
  run_training(config());
  EXPECT_TRUE(std::filesystem::exists(run("test.json"))) << "what was missing is made up for";
  run_training(config({"training.max_steps=16"}));
  EXPECT_EQ(arrays(run("last.h5")), trained({"training.max_steps=16"}));
  int tests = 0;
  for (const std::string& line : lines_of(run("train.log")))
    tests += line.find("test test: BLEU") != std::string::npos;
  EXPECT_EQ(tests, 3) << "after each training, and when its result was missing";
}

TEST_F(ContinueTest, AValidationIsSavedAtOnce) {
  const Config config = this->config({"training.validate_every=2", "training.save_every=1000"});
  // Ends the run as rudely as a kill would, a step after the validation.
  int asked = 0;
  const auto stop = [&](const Trainer&) {
    if (lines_of(run("validation.tsv")).size() == 2 && ++asked == 2) fail("killed");
    return false;
  };
  EXPECT_THAT(complaint([&] { session(config, data(config), "run", stop); }), "killed");
  EXPECT_EQ(CheckpointReader(run("last.h5")).state()->latest.step, 2);
}

// What the log tells of a step it tells before the step is saved, or nobody would where a process
// is killed between the two. Told again, it is there once.
TEST_F(ContinueTest, WhatIsNotSavedIsToldAgain) {
  const Config config = this->config({"training.save_every=1000", "data.test=[]"});
  const TrainingData data = this->data(config);
  const std::filesystem::path last = run("last.h5"), aside = run("aside");
  const auto told = [&](const std::string& type, int64_t step) {
    int64_t lines = 0;
    for (const std::string& line : lines_of(run("log.jsonl"))) {
      const auto entry = nlohmann::json::parse(line);
      lines += entry["type"] == type && entry["step"] == step;
    }
    return lines;
  };
  // Trains on; at a step, `stops` says whether to stop. `unsaved` is a step that cannot be saved.
  const auto train_on = [&](int64_t stops, int64_t unsaved) {
    const auto stop = [&](const Trainer& trainer) {
      if (trainer.state().step == unsaved && !std::filesystem::exists(aside)) {
        std::filesystem::rename(last, aside);
        std::filesystem::create_directories(last / "in the way");
      }
      return trainer.state().step == stops;
    };
    const std::string problem = complaint([&] { session(config, data, "run", stop); });
    if (!std::filesystem::exists(aside)) return problem;
    std::filesystem::remove_all(last);
    std::filesystem::rename(aside, last);
    return problem;
  };
  EXPECT_EQ(train_on(4, -1), "") << "stopped before the validation that is due at this step";
  EXPECT_EQ(told("validation", 4), 0);
  EXPECT_THAT(train_on(-1, 4), HasSubstr("last.h5"));
  EXPECT_EQ(told("validation", 4), 1);
  EXPECT_THAT(train_on(-1, 12), HasSubstr("last.h5"));
  EXPECT_EQ(told("validation", 4), 1);
  EXPECT_EQ(told("end", 12), 1);
  EXPECT_EQ(train_on(-1, -1), "");
  EXPECT_EQ(told("validation", 12), 1);
  EXPECT_EQ(told("end", 12), 1);
  EXPECT_THAT(lines_of(run("validation.tsv")), ElementsAre(StartsWith("step\t"), StartsWith("4\t"),
                                                           StartsWith("8\t"), StartsWith("12\t")));
}

// The end is saved as step-12.h5, which is best.h5 too, then last.h5; whichever is missing, the
// same command leaves what a run leaves that was not disturbed.
TEST_F(ContinueTest, AnEndThatWasHalfSavedIsSavedAgain) {
  const std::vector<std::string> sets = {"training.keep=1", "training.save_every=4",
                                         "training.stop_metric=loss"};
  run_training(config(sets));
  const auto files = [&] {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(run("")))
      if (entry.path().extension() == ".h5") found.insert(entry.path().filename());
    return found;
  };
  const auto ends = [&] {
    int64_t count = 0;
    for (const std::string& line : lines_of(run("log.jsonl")))
      count += line.find("\"end\"") != std::string::npos;
    return count;
  };
  const auto whole = files();
  const auto parameters = arrays(run("last.h5"));
  ASSERT_EQ(CheckpointReader(run("best.h5")).state()->step, 12) << "what follows stands on this";
  std::filesystem::copy(run("best.h5"), directory_ / "best");
  // What there was of step 8.
  std::filesystem::rename(run(""), directory_ / "aside");
  run_training(config({"training.keep=1", "training.save_every=4", "training.stop_metric=loss",
                       "training.max_steps=8", "data.test=[]"}));
  std::filesystem::copy(directory_ / "best", run("best.h5"),
                        std::filesystem::copy_options::overwrite_existing);
  std::filesystem::copy(directory_ / "aside" / "log.jsonl", run("log.jsonl"),
                        std::filesystem::copy_options::overwrite_existing);
  run_training(config(sets));
  EXPECT_EQ(files(), whole);
  EXPECT_EQ(arrays(run("last.h5")), parameters);
  EXPECT_EQ(CheckpointReader(run("last.h5")).state()->step, 12);
  EXPECT_EQ(ends(), 1);
  EXPECT_TRUE(std::filesystem::exists(run("test.json")));

  std::filesystem::copy(run("last.h5"), run("step-4.h5"));  // killed before it was removed
  run_training(config(sets));
  EXPECT_EQ(files(), whole);
}

TEST_F(ContinueTest, AFirstBestCheckpointThatWasNotWrittenIsMadeOfTheLast) {
  run_training(config({"training.max_steps=4", "data.test=[]"}));
  const auto parameters = arrays(run("best.h5"));
  std::filesystem::remove(run("best.h5"));
  run_training(config({"training.max_steps=4", "data.test=[]"}));
  EXPECT_EQ(arrays(run("best.h5")), parameters);
}

TEST_F(ContinueTest, RefusesTheDirectoryOfAnotherConfiguration) {
  run_training(config({"training.max_steps=1"}));
  const std::string last = contents(run("last.h5"));
  const std::string error = complaint([&] {
    run_training(config({"training.max_steps=5", "model.encoder.dim=7", "training.beta1=0.8"}));
  });
  EXPECT_THAT(error,
              AllOf(HasSubstr("another configuration"), HasSubstr("model.encoder.dim: 6 -> 7"),
                    HasSubstr("training.beta1: 0.9 -> 0.8"), HasSubstr("--output"),
                    Not(HasSubstr("max_steps"))));
  EXPECT_EQ(contents(run("last.h5")), last);
  std::ofstream(directory_ / "train.en", std::ios::app) << "a b\n";
  std::ofstream(directory_ / "train.de", std::ios::app) << "t s\n";
  EXPECT_THAT(complaint([&] { run_training(config({"training.max_steps=5"})); }),
              HasSubstr("the training text is not the one"));
}

TEST(Conflicts, AreAllThatDecideWhatIsLearned) {
  const Config before = parse_config("", "test");
  const auto count = [&](const std::string& set) {
    return conflicts(before, parse_config("", "test", {set})).size();
  };
  for (const char* free :
       {"name=x", "output=y", "data.directory=z", "data.cache=c", "data.test=[t]",
        "training.device=cuda:3", "decoding.batch_sentences=7", "training.on_out_of_memory=split",
        "training.threads=3", "training.max_steps=7", "training.max_epochs=7",
        "training.max_minutes=7", "training.stop_patience=7", "training.validate_every=7",
        "training.save_every=7", "training.log_every=7", "training.keep=7", "training.samples=7",
        "training.debug_nan=true"})
    EXPECT_EQ(count(free), 0u) << free;
  for (const char* fixed :
       {"seed=2", "data.train=[t]", "data.validation=t", "data.max_length=99", "vocabulary.size=99",
        "model.encoder.layers=1", "training.batch_tokens=99", "training.accumulate=2",
        "training.learning_rate=1", "training.precision=tf32", "training.label_smoothing=0",
        "training.ema_decay=0.5", "training.stop_metric=loss", "decoding.beam_size=1"})
    EXPECT_EQ(count(fixed), 1u) << fixed;
  // There the end of training is the end of the schedule.
  const std::string linear = "training: {schedule: linear, max_steps: ";
  EXPECT_THAT(conflicts(parse_config(linear + "5000}", "a"), parse_config(linear + "6000}", "b")),
              ElementsAre("training.max_steps: 5000 -> 6000"));
}

}  // namespace
}  // namespace dragoman
