// What training leaves on the disk: checkpoints, logs, event files.
#include "run/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/check.h"
#include "run/average.h"
#include "run/evaluation.h"
#include "run/run.h"
#include "run/run_directory.h"
#include "run/tensorboard.h"
#include "train_fixture.h"

namespace dragoman {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

bool never() { return false; }

// Checkpoints -------------------------------------------------------------------------------------

class CheckpointTest : public TinyRun {};

TEST_F(CheckpointTest, ACheckpointIsACompleteModel) {
  const Config config = this->config({"training.ema_decay=0.5"});
  run_training(config);
  const LoadedModel loaded = load_model(directory_ / "run", Device{});
  EXPECT_EQ(loaded.path, run("best.h5"));
  EXPECT_THAT(diff(loaded.config, config), IsEmpty());
  EXPECT_EQ(loaded.vocabularies.source, data(config).vocabularies.source);
  const auto stored = arrays(run("best.h5"));
  for (const Parameters::Entry& entry : loaded.model->parameters().entries()) {
    const Tensor value = Parameters::part(loaded.model->parameters().values(), entry);
    EXPECT_EQ(value.to_host(), stored.at("/average/" + entry.name)) << entry.name;
    EXPECT_NE(value.to_host(), stored.at("/parameters/" + entry.name)) << entry.name;
  }
  // What was validated is what is loaded.
  const CheckpointReader reader(run("best.h5"));
  const auto again =
      Validator(config, loaded.vocabularies, *loaded.model).run(reader.state()->best.step, never);
  EXPECT_EQ(again->scores, reader.state()->best);
}

TEST_F(CheckpointTest, FindsTheModelOfARunDirectory) {
  run_training(config({"training.max_steps=1"}));
  std::filesystem::copy_file(run("last.h5"), directory_ / "one.h5");
  EXPECT_EQ(find_model(directory_ / "one.h5"), directory_ / "one.h5");
  EXPECT_EQ(find_model(directory_ / "run"), run("best.h5"));
  std::filesystem::remove(run("best.h5"));
  EXPECT_EQ(find_model(directory_ / "run"), run("last.h5"));
  std::filesystem::remove(run("last.h5"));
  EXPECT_THAT(complaint([&] { load_model(directory_ / "run", Device{}); }),
              HasSubstr("has neither best.h5 nor last.h5"));
  EXPECT_THAT(complaint([&] { load_model(directory_ / "nowhere", Device{}); }),
              HasSubstr("no such run directory or checkpoint"));
}

TEST_F(CheckpointTest, SaysWhatIsWrongWithAFile) {
  run_training(config({"training.max_steps=1"}));
  const auto error = [&](const std::string& name) {
    return complaint([&] { load_model(directory_ / name, Device{}); });
  };
  std::filesystem::copy_file(run("last.h5"), directory_ / "short.h5");
  std::filesystem::resize_file(directory_ / "short.h5",
                               std::filesystem::file_size(run("last.h5")) / 2);
  EXPECT_THAT(error("short.h5"), AllOf(HasSubstr("short.h5"), HasSubstr("cut short")));
  std::ofstream(directory_ / "text.h5") << "no HDF5 at all";
  EXPECT_THAT(error("text.h5"), HasSubstr("not an HDF5 file"));
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "cache")) {
    const std::string name = "cache/" + entry.path().filename().string();
    EXPECT_THAT(error(name), AllOf(HasSubstr(name), HasSubstr("not a checkpoint")));
  }
  // One flipped bit in the middle of the largest array.
  std::filesystem::copy_file(run("last.h5"), directory_ / "flipped.h5");
  std::string bytes = contents(directory_ / "flipped.h5");
  const auto weights = arrays(run("last.h5")).at("/parameters/target_embedding.weight");
  const size_t place = bytes.find(
      std::string(reinterpret_cast<const char*>(weights.data()), weights.size() * sizeof(float)));
  ASSERT_NE(place, std::string::npos);
  bytes[place + 100] = static_cast<char>(bytes[place + 100] ^ 1);
  std::ofstream(directory_ / "flipped.h5", std::ios::binary) << bytes;
  EXPECT_THAT(error("flipped.h5"), HasSubstr("target_embedding.weight"));
}

TEST_F(CheckpointTest, AveragesCheckpoints) {
  run_training(config({"training.keep=3"}));
  const auto a = arrays(run("step-6.h5")), b = arrays(run("step-9.h5")),
             c = arrays(run("step-12.h5"));
  const std::filesystem::path output = directory_ / "average.h5";
  average_checkpoints({run("step-6.h5"), run("step-9.h5"), run("step-12.h5")}, output);
  const LoadedModel loaded = load_model(output, Device{});
  for (const Parameters::Entry& entry : loaded.model->parameters().entries()) {
    const std::string name = "/parameters/" + entry.name;
    const auto mean = Parameters::part(loaded.model->parameters().values(), entry).to_host();
    for (size_t i = 0; i < mean.size(); ++i)
      ASSERT_NEAR(mean[i], (a.at(name)[i] + b.at(name)[i] + c.at(name)[i]) / 3, 1e-6) << name;
  }
  EXPECT_FALSE(CheckpointReader(output).state().has_value());
  std::filesystem::copy_file(output, run("last.h5"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(complaint([&] { run_training(config()); }), HasSubstr("holds no state"));

  run_training(config(
      {"output=" + (directory_ / "wide").string(), "model.encoder.dim=7", "training.max_steps=1"}));
  EXPECT_THAT(complaint([&] {
                average_checkpoints({run("best.h5"), directory_ / "wide"}, output);
              }),
              HasSubstr("is another model than"));
  // Their parameters are of the same shapes, but one computes something else.
  const auto shaped = [&](const std::string& name, const std::string& set) {
    run_training(config({"output=" + (directory_ / name).string(), set, "training.max_steps=1"}));
    return complaint([&] { average_checkpoints({run("best.h5"), directory_ / name}, output); });
  };
  EXPECT_THAT(shaped("gelu", "model.decoder.activation=gelu"),
              HasSubstr("model.decoder.activation: relu -> gelu"));
  EXPECT_EQ(shaped("dropout", "model.decoder.dropout=0.3"), "");
  run_training(config({"output=" + (directory_ / "char").string(), "vocabulary.type=char",
                       "vocabulary.size=20", "training.max_steps=1"}));
  EXPECT_THAT(complaint([&] {
                average_checkpoints({run("best.h5"), directory_ / "char"}, output);
              }),
              HasSubstr("another vocabulary"));
}

// The run directory -------------------------------------------------------------------------------

TEST_F(CheckpointTest, TwoProcessesDoNotTrainInOneDirectory) {
  const RunDirectory first(directory_ / "run");
  EXPECT_THAT(complaint([&] { run_training(config()); }), HasSubstr("another process is training"));
}

TEST_F(CheckpointTest, LogsForgetWhatComesAfterTheStateThatIsContinuedFrom) {
  RunDirectory run_directory(directory_ / "run");
  run_directory.open_logs({});
  TrainingState state;
  for (const int64_t step : {5, 10, 15}) {
    state.latest.step = step;
    run_directory.log({{"type", "train"}, {"step", step}});
    run_directory.log({{"type", "validation"}, {"step", step}});
    run_directory.log_validation(state, false);
  }
  run_directory.log({{"type", "end"}, {"step", 15}});
  std::ofstream(run("log.jsonl"), std::ios::app) << R"({"type":"train","step":)";
  const auto expect_left = [&](int64_t step, int64_t validated, std::vector<std::string> entries,
                               std::vector<std::string> rows) {
    state.step = step;
    state.latest.step = validated;
    run_directory.open_logs(state);
    std::vector<std::string> left;
    for (const std::string& line : lines_of(run("log.jsonl"))) {
      const auto entry = nlohmann::json::parse(line);
      left.push_back(entry["type"].get<std::string>() + " " + entry["step"].dump());
    }
    EXPECT_EQ(left, entries);
    left.clear();
    for (const std::string& line : lines_of(run("validation.tsv")))
      left.push_back(line.substr(0, line.find('\t')));
    EXPECT_EQ(left, rows);
  };
  expect_left(15, 15,
              {"train 5", "validation 5", "train 10", "validation 10", "train 15", "validation 15",
               "end 15"},
              {"step", "5", "10", "15"});
  expect_left(15, 10, {"train 5", "validation 5", "train 10", "validation 10", "train 15"},
              {"step", "5", "10"});
  expect_left(10, 5, {"train 5", "validation 5", "train 10"}, {"step", "5"});
}

// TensorBoard -------------------------------------------------------------------------------------

TEST_F(CheckpointTest, EventFilesAreThoseOfTheTensorboardPackage) {
  TensorBoard tensorboard(directory_ / ".", 300, [] { return 1700000000.25; });
  tensorboard.add(
      {{"type", "train"}, {"step", 400}, {"loss", 2.125}, {"best", true}, {"learning_rate", 3e-4}});
  std::string sample = "    source       Guten Morgen, Jörg!\n    translation  ";
  for (int i = 0; i < 20; ++i) sample += "Good morning. ";
  tensorboard.add_text(400, "validation/sample_1", sample);
  // Made by scripts/fixtures/make_tensorboard_fixture.py.
  EXPECT_EQ(contents(tensorboard.path()),
            contents(DRAGOMAN_SOURCE_DIR "/tests/fixtures/events.out.tfevents"));
}

TEST_F(CheckpointTest, SaysWhichEventFileCannotBeWritten) {
  // A clock that was set back does not put what came later before it.
  std::filesystem::create_directory(directory_ / "events");
  for (const double time : {1700000000.25, 1600000000.0})
    TensorBoard(directory_ / "events", 1, [time] { return time; });
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "events"))
    names.insert(entry.path().filename());
  EXPECT_THAT(names, ElementsAre("events.out.tfevents.1700000000.250000.dragoman",
                                 "events.out.tfevents.1700000000.250001.dragoman"));
  EXPECT_THAT(complaint([&] { TensorBoard(directory_ / "nowhere", 0); }),
              AllOf(HasSubstr("nowhere/events.out.tfevents."), HasSubstr("cannot be written")));
}

}  // namespace
}  // namespace dragoman
