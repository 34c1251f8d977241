#include "cli/inspect.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "cli/output.h"
#include "core/check.h"
#include "core/progress.h"
#include "data/dataset.h"
#include "run/checkpoint.h"

namespace dragoman {
namespace {

using Json = nlohmann::ordered_json;

// What was found, once for machines and once for people.
struct Description {
  Json json;
  std::string text;

  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    text += fmt::format(format, std::forward<Args>(args)...) + '\n';
  }
};

void describe_scores(const char* name, Scores scores, Description& description) {
  if (scores.step == 0) return;
  Json& json = description.json[name];
  scores.fields([&](const char* field, auto value) { json[field] = value; });
  description.line("{:<20}step {}: loss {:.4f}, perplexity {:.2f}, BLEU {:.2f}",
                   fmt::format("{} validation", name), scores.step, scores.loss, scores.perplexity,
                   scores.bleu);
}

void describe_state(const CheckpointReader& checkpoint, Description& description) {
  if (!checkpoint.state()) {
    description.line("{:<20}none: training cannot be continued from it", "training");
    return;
  }
  const TrainingState& state = *checkpoint.state();
  description.json["step"] = state.step;
  description.json["epochs"] = state.epochs;
  description.json["minutes"] = state.seconds / 60;
  description.line("{:<20}{} steps, {:.2f} epochs, {}", "training", state.step, state.epochs,
                   format_duration(state.seconds));
  describe_scores("best", state.best, description);
  describe_scores("latest", state.latest, description);
}

void describe_parameters(const CheckpointReader& checkpoint, Description& description) {
  Json list = Json::array();
  std::string table;
  int64_t total = 0;
  for (const std::string& name : checkpoint.parameter_names()) {
    const hdf5::Shape shape = checkpoint.parameter_shape(name);
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    total += count;
    list.push_back({{"name", name}, {"shape", shape}, {"count", count}});
    table += fmt::format("  {:<48} {:>16} {:>12}\n", name,
                         fmt::format("[{}]", fmt::join(shape, ", ")), count);
  }
  description.json["parameter_count"] = total;
  const std::string checksum = fmt::format("{:08x}", checkpoint.checksum());
  description.json["checksum"] = checksum;
  description.json["moving_average"] = checkpoint.has(kAverageGroup);
  description.json["parameters"] = list;
  description.line("{:<20}{} in {} arrays{}, checksum {}", "parameters", total, list.size(),
                   checkpoint.has(kAverageGroup) ? ", with their moving average" : "", checksum);
  description.text += table;
}

Description describe_checkpoint(const std::filesystem::path& path) {
  const CheckpointReader checkpoint(path);
  const Vocabularies vocabularies = checkpoint.vocabularies();
  const int32_t source = vocabularies.source.size(), target = vocabularies.target.size();
  const std::string config = to_yaml(checkpoint.config());
  Description description;
  description.json = {{"file", path.string()},
                      {"kind", "checkpoint"},
                      {"name", checkpoint.config().name},
                      {"source_vocabulary", source},
                      {"target_vocabulary", target},
                      {"config", config}};
  description.line("{:<20}{}", "checkpoint", path.string());
  description.line("{:<20}{}", "name", checkpoint.config().name);
  description.line("{:<20}{} source and {} target pieces{}", "vocabulary", source, target,
                   vocabularies.source == vocabularies.target ? ", shared" : "");
  describe_state(checkpoint, description);
  describe_parameters(checkpoint, description);
  description.text += "configuration\n" + config;
  return description;
}

Description describe_corpus(const std::filesystem::path& path) {
  const DatasetDescription dataset = describe_dataset(path.string());
  Description description;
  description.json = {{"file", path.string()},
                      {"kind", "dataset"},
                      {"pairs", dataset.counts.pairs},
                      {"empty", dataset.counts.empty},
                      {"too_long", dataset.counts.too_long},
                      {"max_length", dataset.max_length},
                      {"source_tokens", dataset.source_tokens},
                      {"target_tokens", dataset.target_tokens},
                      {"text", dataset.has_text},
                      {"inputs", dataset.inputs}};
  description.line("{:<20}{}", "prepared corpus", path.string());
  description.line("{:<20}{}", "sentence pairs", dataset.counts.pairs);
  description.line("{:<20}{} with an empty side, {} with more than {} pieces on a side", "left out",
                   dataset.counts.empty, dataset.counts.too_long, dataset.max_length);
  description.line("{:<20}{} source and {} target", "pieces", dataset.source_tokens,
                   dataset.target_tokens);
  description.line("{:<20}{}", "raw text", dataset.has_text ? "kept, for subword sampling" : "no");
  description.text += "made from\n" + dataset.inputs;
  return description;
}

bool is_dataset(const std::filesystem::path& path) {
  const hdf5::File file = hdf5::File::open(path);
  return file.has_attribute("/", "format") &&
         file.string_attribute("/", "format") == Dataset::kFormat;
}

void inspect(const std::string& path, bool json) {
  const std::filesystem::path file = find_model(path);
  const Description description =
      is_dataset(file) ? describe_corpus(file) : describe_checkpoint(file);
  Output output("");
  output.stream() << (json ? description.json.dump(2) + "\n" : description.text);
  output.finish();
}

}  // namespace

void add_inspect(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("inspect", "Show what a checkpoint or a dataset holds");
  verb->footer(
      "Examples:\n"
      "  dragoman inspect runs/my-model\n"
      "  dragoman inspect runs/my-model/last.h5 --json\n"
      "  dragoman inspect runs/my-model/dataset-0123456789abcdef.h5");
  auto path = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  verb->add_option("FILE", *path,
                   "A checkpoint, a run directory (its best checkpoint) or a dataset that training "
                   "prepared")
      ->required()
      ->type_name("PATH");
  verb->add_flag("--json", *json, "Print JSON");
  verb->callback([path, json] { inspect(*path, *json); });
}

}  // namespace dragoman
