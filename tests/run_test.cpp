// `dragoman train` and the verbs that look at what it made, as a user calls them: killed, stopped,
// continued, and given what is wrong.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "core/files.h"
#include "places.h"
#include "train_fixture.h"

namespace dragoman {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Milliseconds = std::chrono::milliseconds;

// The program, running.
class Process {
 public:
  // Runs a line of shell, which should end in `exec dragoman ...`.
  Process(const std::string& line, const std::filesystem::path& output) {
    id_ = ::fork();
    if (id_ != 0) return;
    const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ::dup2(file, STDOUT_FILENO);
    ::dup2(file, STDERR_FILENO);
    ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    ::_exit(127);
  }

  void send(int signal) const { ::kill(id_, signal); }
  bool ended() {
    if (!status_) {
      int status = 0;
      if (::waitpid(id_, &status, WNOHANG) == id_) status_ = status;
    }
    return status_.has_value();
  }
  // Waits for the end; the exit code, or minus the signal that ended it.
  int code() {
    while (!ended()) std::this_thread::sleep_for(Milliseconds(2));
    return WIFEXITED(*status_) ? WEXITSTATUS(*status_) : -WTERMSIG(*status_);
  }

 private:
  pid_t id_;
  std::optional<int> status_;
};

class RunTest : public TinyRun {
 protected:
  RunTest() { std::ofstream(directory_ / "tiny.yaml") << yaml_; }

  Process start(const std::string& arguments, const std::string& before = "") const {
    return {before + "exec '" + program() + "' " + arguments, directory_ / "output"};
  }
  // The exit code; what was printed is then in `output`.
  int dragoman(const std::string& arguments, const std::string& before = "") {
    const int code = start(arguments, before).code();
    output_ = contents(directory_ / "output");
    return code;
  }
  std::string train(const std::string& output, const std::string& options = "") const {
    return "train " + (directory_ / "tiny.yaml").string() + " --output " +
           (directory_ / output).string() + " " + options;
  }
  int64_t step_of(const std::filesystem::path& checkpoint) const {
    return CheckpointReader(checkpoint).state()->step;
  }
  // Waits until a run has saved a step; false if it does not.
  bool wait_for_step(Process& process, const std::filesystem::path& last) const {
    while (!process.ended()) {
      if (std::filesystem::exists(last) && step_of(last) > 0) return true;
      std::this_thread::sleep_for(Milliseconds(2));
    }
    return false;
  }
  // The lines of log.jsonl and validation.tsv without what time says.
  std::vector<std::string> history(const std::filesystem::path& path) const {
    std::vector<std::string> lines;
    for (const std::string& line : lines_of(path / "log.jsonl")) {
      auto entry = nlohmann::json::parse(line);
      for (const char* key : {"minutes", "seconds", "source_tokens_per_second",
                              "target_tokens_per_second", "peak_bytes", "peak_tensor_bytes"})
        entry.erase(key);
      lines.push_back(entry.dump());
    }
    for (const std::string& line : lines_of(path / "validation.tsv")) {
      const size_t minutes = line.find('\t', line.find('\t') + 1);
      lines.push_back(line.substr(0, minutes) + line.substr(line.find('\t', minutes + 1)));
    }
    return lines;
  }
  void expect_same_run(const std::string& a, const std::string& b) const {
    for (const char* file : {"last.h5", "best.h5"})
      EXPECT_EQ(arrays(directory_ / a / file), arrays(directory_ / b / file)) << file;
    EXPECT_THAT(history(directory_ / a), testing::ContainerEq(history(directory_ / b)));
    EXPECT_EQ(contents(directory_ / a / "test.json"), contents(directory_ / b / "test.json"));
  }

  std::string output_;
};

TEST_F(RunTest, KilledAtAnyMomentAndContinuedItEndsWithTheSameBits) {
  const std::string options =
      "--set training.max_steps=240 --set training.ema_decay=0.9 --set training.save_every=6 "
      "--set training.validate_every=9 --set training.keep=2 --set training.log_every=6";
  ASSERT_EQ(dragoman(train("whole", options)), 0) << output_;
  Random random(static_cast<uint64_t>(::getpid()));
  int kills = 0;
  // Later kills leave more time, so that there is progress on a slow machine too.
  for (uint64_t most = 40;; most += 20) {
    Process process = start(train("killed", options));
    std::this_thread::sleep_for(Milliseconds(10 + random.below(most)));
    process.send(SIGKILL);
    if (process.code() == 0) break;
    ASSERT_EQ(process.code(), -SIGKILL) << contents(directory_ / "output");
    ++kills;
  }
  EXPECT_GT(kills, 2);
  expect_same_run("killed", "whole");
}

TEST_F(RunTest, ASignalSavesAndEndsTheProcessAndTheSameCommandContinues) {
  const std::string options = "--set training.max_steps=400 --set training.log_every=1000";
  ASSERT_EQ(dragoman(train("whole", options)), 0) << output_;
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string name = "stopped-" + std::to_string(signal);
    Process process = start(train(name, options));
    ASSERT_TRUE(wait_for_step(process, directory_ / name / "last.h5"))
        << contents(directory_ / "output");
    process.send(signal);
    EXPECT_EQ(process.code(), -signal) << "a script must not go on with what is half trained";
    const int64_t step = step_of(directory_ / name / "last.h5");
    EXPECT_LT(step, 400);
    EXPECT_THAT(contents(directory_ / "output"),
                AllOf(HasSubstr("stopped by a signal"),
                      HasSubstr("last.h5 is of step " + std::to_string(step))));
    ASSERT_EQ(dragoman(train(name, options)), 0) << output_;
    EXPECT_THAT(output_, HasSubstr("continuing from step " + std::to_string(step)));
    expect_same_run(name, "whole");
  }
}

TEST_F(RunTest, AnEndedRunSaysSo) {
  ASSERT_EQ(dragoman(train("run")), 0) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("a new run"), HasSubstr("training ended at step 12"),
                             HasSubstr("test test: BLEU")));
  EXPECT_EQ(dragoman(train("run")), 0);
  EXPECT_THAT(output_, AllOf(HasSubstr("the run has ended at step 12 (training.max_steps: 12)"),
                             HasSubstr("best: "), Not(HasSubstr("test test:"))));
  EXPECT_EQ(dragoman(train("run", "--set data.test=[test,validation]")), 0) << "of more corpora";
  EXPECT_THAT(output_, HasSubstr("test validation: BLEU"));
}

// A corpus may be named by a path, which must not be where its translations go.
TEST_F(RunTest, TestCorporaAreNeverWrittenOver) {
  const std::filesystem::path data = directory_ / "elsewhere";
  std::filesystem::create_directories(data);
  for (const std::string language : {"en", "de"})
    std::filesystem::copy(directory_ / ("test." + language), data / ("test." + language));
  const std::string reference = contents(data / "test.de");
  const std::string absolute = (data / "test").string();
  ASSERT_EQ(dragoman(train("run", "--set data.test=[" + absolute + "]")), 0) << output_;
  EXPECT_EQ(contents(data / "test.de"), reference);
  EXPECT_FALSE(contents(run("test") / (file_name_for(absolute) + ".de")).empty());
}

TEST_F(RunTest, WhatIsMissingIsMissedBeforeAnythingIsPrepared) {
  for (const char* const option : {"--set data.validation=nowhere", "--set data.test=nowhere",
                                   "--set training.precision=tf32"}) {
    if (find_device("auto").on_gpu() && std::string(option).ends_with("tf32")) continue;
    EXPECT_EQ(dragoman(train("run", option)), 1);
    for (const auto& entry : std::filesystem::directory_iterator(run("")))
      EXPECT_NE(entry.path().extension(), ".h5") << option;
  }
}

TEST_F(RunTest, ARunWhoseLastCheckpointIsGoneIsNotReplaced) {
  ASSERT_EQ(dragoman(train("run")), 0) << output_;
  const std::string before = contents(run("best.h5")), log = contents(run("log.jsonl"));
  std::filesystem::remove(run("last.h5"));
  EXPECT_EQ(dragoman(train("run", "--set training.max_steps=20")), 1);
  EXPECT_THAT(output_, HasSubstr("there is a best.h5 and no last.h5"));
  EXPECT_EQ(contents(run("best.h5")), before);
  EXPECT_EQ(contents(run("log.jsonl")), log);
  std::filesystem::copy(run("best.h5"), run("last.h5"));
  EXPECT_EQ(dragoman(train("run", "--set training.max_steps=20")), 0) << output_;
}

TEST_F(RunTest, ARunDirectoryOfAnotherConfigurationIsWrongUsage) {
  ASSERT_EQ(dragoman(train("run")), 0) << output_;
  EXPECT_EQ(dragoman(train("run", "--set model.encoder.layers=2 --set training.max_steps=20")), 2);
  EXPECT_THAT(output_, AllOf(HasSubstr("another configuration"),
                             HasSubstr("model.encoder.layers: 1 -> 2"), HasSubstr("--output")));
}

TEST_F(RunTest, AFullDiskCostsNothingThatWasSaved) {
  const std::string options = "--set training.max_steps=24";
  ASSERT_EQ(dragoman(train("whole", options)), 0) << output_;
  ASSERT_EQ(dragoman(train("run")), 0) << output_;
  const std::string before = contents(run("last.h5"));
  // No file may have more than 200 blocks of 512 bytes, less than a checkpoint has.
  EXPECT_EQ(dragoman(train("run", options), "trap '' XFSZ; ulimit -f 200; "), 1);
  EXPECT_THAT(output_, AllOf(HasSubstr(".h5: cannot be written"),
                             HasSubstr("the file there before is unchanged")));
  EXPECT_EQ(contents(run("last.h5")), before);
  ASSERT_EQ(dragoman(train("run", options)), 0) << output_;
  EXPECT_EQ(arrays(run("last.h5")), arrays(directory_ / "whole" / "last.h5"));
}

TEST_F(RunTest, NaNIsAFailureThatDebugNanExplains) {
  const std::string options =
      "--set training.learning_rate=1.0e+30 --set training.warmup_steps=1 "
      "--set training.clip_norm=0";
  EXPECT_EQ(dragoman(train("run", options)), 1);
  EXPECT_THAT(output_, HasSubstr("--debug-nan"));
  EXPECT_THAT(contents(run("train.log")), HasSubstr("--debug-nan")) << "the log has it too";
  EXPECT_EQ(dragoman(train("run", options + " --debug-nan")), 1);
  EXPECT_THAT(output_, HasSubstr("step 2: the operation '"));
}

TEST_F(RunTest, SaysWhatIsWrongWithItsInput) {
  EXPECT_EQ(dragoman("train nowhere.yaml"), 1);
  EXPECT_THAT(output_, HasSubstr("nowhere.yaml"));
  EXPECT_EQ(dragoman(train("run", "--set training.max_step=3")), 2);
  EXPECT_THAT(output_, HasSubstr("the nearest valid key is training.max_steps"));
  EXPECT_EQ(dragoman(train("run", "--set data.validation=nothing")), 1);
  EXPECT_THAT(output_, HasSubstr("nothing.en"));
  EXPECT_EQ(dragoman(train("run", "--set data.test=[test,missing]")), 1);
  EXPECT_THAT(output_, HasSubstr("missing.en"));
  EXPECT_FALSE(std::filesystem::exists(run("last.h5"))) << "that was before training";
  EXPECT_EQ(dragoman(train("run", "--set vocabulary.size=1000")), 1);
  EXPECT_THAT(output_, HasSubstr("vocabulary.size"));
  EXPECT_EQ(dragoman(train("tiny.yaml/run")), 1) << "a file stands where a directory should";
  EXPECT_THAT(output_, HasSubstr("tiny.yaml/run"));

  ASSERT_EQ(dragoman(train("run")), 0) << output_;
  std::filesystem::resize_file(run("last.h5"), 5000);
  EXPECT_EQ(dragoman(train("run")), 1);
  EXPECT_THAT(output_, AllOf(HasSubstr("last.h5"), HasSubstr("cut short")));
  std::ofstream(directory_ / "validation.de", std::ios::app) << "one line too many\n";
  EXPECT_EQ(dragoman(train("fresh")), 1);
  EXPECT_THAT(output_, AllOf(HasSubstr("validation.en"), HasSubstr("validation.de")));
}

TEST_F(RunTest, TrainsOnTheDeviceThatItIsTold) {
  for (const Device device : all_devices()) {
    const std::string name = "run-" + std::to_string(device.on_gpu());
    ASSERT_EQ(dragoman(train(name, "--device " + to_string(device))), 0) << output_;
    EXPECT_THAT(output_, AllOf(HasSubstr("device: " + describe(device)),
                               HasSubstr(device.on_gpu() ? "and of tensors on cuda:0"
                                                         : "of which tensors")));
    const auto end = nlohmann::json::parse(lines_of(directory_ / name / "log.jsonl").back());
    EXPECT_EQ(end["device"], to_string(device));
    EXPECT_GT(end["peak_tensor_bytes"], 10000);
  }
  ASSERT_EQ(dragoman(train("auto", "--device auto")), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("device: " + describe(find_device("auto"))));
  EXPECT_THAT(output_, HasSubstr(why_no_gpu())) << "or why there is no GPU";
  EXPECT_EQ(dragoman(train("none", "--device cuda:77")), 1);
  EXPECT_THAT(output_, HasSubstr("training.device: the device 'cuda:77' cannot be had: "));
  EXPECT_EQ(dragoman(train("none", "--device gpu")), 2);
  EXPECT_EQ(dragoman(train("none", "--set training.device=gpu")), 2);
  EXPECT_THAT(output_, HasSubstr("training.device: expected text, one of auto, cuda, cuda:N, cpu"));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "none"));
}

TEST_F(RunTest, EvaluateTranslatesAndScores) {
  ASSERT_EQ(dragoman(train("run")), 0) << output_;
  const auto test = nlohmann::json::parse(contents(run("test.json")))[0];
  const std::string model = "evaluate " + run("").string() + " --source ";
  const std::string source = (directory_ / "test.en").string();
  const std::string reference = (directory_ / "test.de").string();
  const std::string hypotheses = (directory_ / "hypotheses").string();
  ASSERT_EQ(dragoman(model + source + " --reference " + reference + " --output " + hypotheses), 0);
  EXPECT_THAT(output_, HasSubstr("BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:"));
  EXPECT_EQ(contents(hypotheses), contents(run("test/test.de"))) << "as training did";
  // A score of characters: what a model has hardly learned may have no four words.
  ASSERT_EQ(dragoman(model + source + " --json --width 6 --metrics chrf --reference " + reference +
                     " " + hypotheses),
            0);
  const auto json = nlohmann::json::parse(output_);
  EXPECT_EQ(json["nrefs"], "2");
  EXPECT_NEAR(json["score"], 100, 1e-9) << "one reference is the output itself";
  EXPECT_EQ(dragoman(model + (directory_ / "train.en").string() + " --reference " + reference), 1);
  EXPECT_THAT(output_, AllOf(HasSubstr("test.de has 9 lines"), HasSubstr("train.en has 80")));
  EXPECT_EQ(dragoman(model + source), 2);
  EXPECT_EQ(dragoman("evaluate " + source + " --source " + source + " --reference " + reference),
            1);
  EXPECT_THAT(output_, HasSubstr("not an HDF5 file"));
}

TEST_F(RunTest, AverageMakesAModel) {
  ASSERT_EQ(dragoman(train("run", "--set training.keep=2")), 0) << output_;
  const std::string output = (directory_ / "average.h5").string();
  ASSERT_EQ(dragoman("average " + run("step-9.h5").string() + " " + run("step-12.h5").string() +
                     " --output " + output),
            0)
      << output_;
  EXPECT_THAT(output_, HasSubstr("the mean of 2 checkpoints"));
  EXPECT_EQ(dragoman("translate " + output + " --input " + (directory_ / "test.en").string()), 0);
  EXPECT_EQ(dragoman("average --output " + output), 2);
  const std::string no_model = " " + run("config.yaml").string();
  EXPECT_EQ(dragoman("average" + no_model + no_model + " --output " + output), 1);
  EXPECT_EQ(dragoman("average " + run("").string() + " --output " + output), 2);
  EXPECT_THAT(output_, HasSubstr("one checkpoint has no mean"));
  ASSERT_EQ(dragoman(train("other", "--set model.scale_embeddings=false")), 0) << output_;
  const std::string both = run("last.h5").string() + " " + (directory_ / "other/last.h5").string();
  EXPECT_EQ(dragoman("average " + both + " --output " + output), 1);
  EXPECT_THAT(output_, HasSubstr("is another model than"));
  const std::string last = run("last.h5").string();
  EXPECT_EQ(dragoman("average " + output + " " + output + " --output " + last), 1);
  EXPECT_THAT(output_, HasSubstr("holds the state of a run"));
}

TEST_F(RunTest, InspectShowsWhatAFileHolds) {
  ASSERT_EQ(dragoman(train("run", "--set training.ema_decay=0.5")), 0) << output_;
  ASSERT_EQ(dragoman("inspect " + run("").string()), 0);
  EXPECT_THAT(output_, HasSubstr("best.h5"));
  ASSERT_EQ(dragoman("inspect " + run("last.h5").string()), 0);
  EXPECT_THAT(output_, AllOf(HasSubstr("last.h5"), HasSubstr("tiny"), HasSubstr("12 steps"),
                             HasSubstr("19 source and 19 target pieces, shared"),
                             HasSubstr("best validation"), HasSubstr("moving average"),
                             HasSubstr("target_embedding.weight"), HasSubstr("[19, 12]"),
                             HasSubstr("batch_tokens: 90")));
  ASSERT_EQ(dragoman("inspect --json " + run("last.h5").string()), 0);
  const auto checkpoint = nlohmann::json::parse(output_);
  EXPECT_EQ(checkpoint["step"], 12);
  EXPECT_EQ(checkpoint["latest"]["step"], 12);
  int64_t count = 0;
  for (const auto& parameter : checkpoint["parameters"]) count += parameter["count"].get<int64_t>();
  EXPECT_EQ(checkpoint["parameter_count"], count);
  for (const auto& entry : std::filesystem::directory_iterator(run(""))) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("dataset-")) continue;
    ASSERT_EQ(dragoman("inspect --json " + entry.path().string()), 0);
    EXPECT_EQ(nlohmann::json::parse(output_)["pairs"], 80);
    ASSERT_EQ(dragoman("inspect " + entry.path().string()), 0);
    EXPECT_THAT(output_, HasSubstr("80"));
  }
  EXPECT_EQ(dragoman("inspect " + run("config.yaml").string()), 1);
  EXPECT_THAT(output_, HasSubstr("not an HDF5 file"));
}

TEST_F(RunTest, BenchMeasuresTrainingAndLeavesNothingBehind) {
  const std::string bench = "bench train " + (directory_ / "tiny.yaml").string() +
                            " --steps 3 --passes 2 --set data.cache= ";
  const auto json_of = [&](const std::string& options) {
    EXPECT_EQ(dragoman(bench + options + " --json 2> /dev/null"), 0);
    return nlohmann::json::parse(output_);
  };
  const std::string batches = (directory_ / "batches.jsonl").string();
  const auto result = json_of("--batches " + batches);
  for (const char* key : {"target_tokens_per_second", "gflops", "ceiling_gflops",
                          "ceiling_fraction", "peak_memory_bytes", "gflop_per_step"})
    EXPECT_GT(result[key].get<double>(), 0) << key;
  std::set<std::string> operations;
  double gflop = 0;
  for (const auto& line : result["operations"]) {
    operations.insert(line["operation"]);
    gflop += line["gflop_per_step"].get<double>();
  }
  EXPECT_TRUE(operations.contains("linear, backward"));
  EXPECT_TRUE(operations.contains("optimizer"));
  EXPECT_NEAR(gflop, result["gflop_per_step"], 1e-6 * gflop) << "the table tells all";
  EXPECT_FALSE(std::filesystem::exists(run("")));

  // The batches are those of training, and as large as it was told.
  const std::vector<std::string> lines = lines_of(batches);
  ASSERT_EQ(lines.size(), 3u);
  size_t tokens = 0;
  const auto batch = nlohmann::json::parse(lines[0]);
  for (const auto& sentence : batch["target_output"]) tokens += sentence.size();
  EXPECT_LE(tokens, 90u);
  EXPECT_GT(tokens, 60u);

  // Random sentences need no text, and have the length that was asked for.
  const auto random_text = json_of("--length 7 --set data.directory=/nowhere --batches " + batches);
  const double seconds_per_step =
      random_text["gflop_per_step"].get<double>() / random_text["gflops"].get<double>();
  EXPECT_NEAR(random_text["target_tokens_per_second"].get<double>() * seconds_per_step, 11 * 8,
              1e-6);
  for (const std::string& line : lines_of(batches)) {
    const auto random = nlohmann::json::parse(line);
    EXPECT_EQ(random["source"].size(), 11u) << "90 tokens";
    for (const auto& sentence : random["source"]) EXPECT_EQ(sentence.size(), 8u);
  }

  // On every device, whose memory and ceiling it tells.
  for (const Device device : all_devices()) {
    const auto there = json_of("--device " + to_string(device));
    EXPECT_EQ(there["device"], to_string(device));
    EXPECT_EQ(there["device_name"], describe(device));
    EXPECT_GT(there["peak_tensor_bytes"], 10000);
    EXPECT_GE(there["peak_device_bytes"], there["peak_tensor_bytes"]);
    EXPECT_GT(there["ceiling_gflops"], there["gflops"]);
  }

  EXPECT_EQ(dragoman(bench), 0);
  EXPECT_THAT(output_, AllOf(HasSubstr("target tokens/s"), HasSubstr("of the ceiling"),
                             HasSubstr("GFLOP/s"), HasSubstr("peak memory")));
  EXPECT_EQ(json_of("--threads 1")["threads"], 1);
  EXPECT_EQ(dragoman("bench"), 2);
  EXPECT_EQ(dragoman(bench + "--steps 0"), 2);
  EXPECT_EQ(dragoman(bench + "--device cuda:77"), 1);
  EXPECT_THAT(output_, HasSubstr("training.device: the device 'cuda:77' cannot be had: "));
}

}  // namespace
}  // namespace dragoman
