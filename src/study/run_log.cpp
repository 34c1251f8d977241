#include "study/run_log.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/check.h"

namespace dragoman {
namespace {

CurvePoint point(const nlohmann::json& entry, const char* value) {
  return {entry.at("step"), entry.at("minutes"), entry.at(value)};
}

void take_entry(const nlohmann::json& entry, MeasuredRun& run, std::vector<double>& speeds) {
  const std::string type = entry.at("type");
  run.steps = std::max(run.steps, entry.at("step").get<int64_t>());
  run.minutes = std::max(run.minutes, entry.at("minutes").get<double>());
  if (type == "train") {
    run.training_loss.push_back(point(entry, "loss"));
    speeds.push_back(entry.at("target_tokens_per_second"));
  } else if (type == "validation") {
    run.validation_loss.push_back(point(entry, "loss"));
    run.validation_bleu.push_back(point(entry, "bleu"));
    if (!entry.at("best").get<bool>()) return;
    run.minutes_to_best = entry.at("minutes").get<double>();
    run.best_validation_bleu = entry.at("bleu");
  } else if (type == "end") {
    const bool on_cpu = entry.value("device", "cpu") == "cpu";
    run.peak_bytes = entry.at(on_cpu ? "peak_bytes" : "peak_tensor_bytes").get<double>();
  }
}

}  // namespace

MeasuredRun read_run_log(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "log.jsonl";
  std::ifstream file(path);
  check(file.good(), "{}: cannot be read, so nothing is known of how that run was trained",
        path.string());
  MeasuredRun run{.directory = directory.string()};
  std::vector<double> speeds;
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    try {
      take_entry(nlohmann::json::parse(line), run, speeds);
    } catch (const nlohmann::json::exception& error) {
      // A process that was killed leaves half a line, at the end only.
      if (file.peek() == std::ifstream::traits_type::eof()) break;
      fail("{}:{}: is no line of a run's log: {}", path.string(), number, error.what());
    }
  }
  if (speeds.empty()) return run;
  const auto middle = speeds.begin() + std::ssize(speeds) / 2;
  std::nth_element(speeds.begin(), middle, speeds.end());
  run.target_tokens_per_second = *middle;
  return run;
}

}  // namespace dragoman
