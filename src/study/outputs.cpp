#include "study/outputs.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/files.h"
#include "data/text.h"
#include "decode/translator.h"

namespace dragoman {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

// What the translations depend on, besides their source.
Json identity(const LoadedModel& model) {
  return {{"checkpoint", model.path.string()},
          {"bytes", fs::file_size(model.path)},
          {"device", to_string(model.model->device())},
          {"modified", fs::last_write_time(model.path).time_since_epoch().count()},
          {"config", to_yaml(model.config)}};
}

struct Files {
  fs::path source, target, json;
};

std::optional<TestOutput> find_kept(const LoadedModel& model, const TestCorpus& test,
                                    const Files& files) {
  if (!fs::exists(files.json)) return std::nullopt;
  const Json kept = Json::parse(read_file(files.json), nullptr, /*allow_exceptions=*/false);
  if (!kept.is_object() || kept.value("made_with", Json()) != identity(model) ||
      read_lines(files.source.string()) != test.source) {
    return std::nullopt;
  }
  return TestOutput{.hypotheses = read_lines(files.target.string()),
                    .seconds = kept.at("seconds"),
                    .target_tokens = kept.at("target_tokens")};
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

}  // namespace

std::optional<TestOutput> translate_test(const LoadedModel& model, const TestCorpus& test,
                                         const fs::path& directory, const StopRequested& stop) {
  const DataConfig& data = model.config.data;
  const std::string name = file_name_for(test.name);
  const Files files{directory / (name + "." + data.source), directory / (name + "." + data.target),
                    directory / (name + ".json")};
  if (auto kept = find_kept(model, test, files)) return kept;
  const Translator translator(*model.model, model.vocabularies, model.config.decoding);
  const std::vector<std::vector<std::string>> references = {test.reference};
  const auto evaluation = evaluate(translator, test.source, references, stop);
  if (!evaluation) return std::nullopt;
  std::error_code error;
  fs::create_directories(directory, error);
  check(!error, "{}: the directory cannot be made: {}", directory.string(), error.message());
  fs::remove(files.json);  // it says that the others belong to it, so it comes last
  write_atomically(files.source, joined(test.source));
  write_atomically(files.target, joined(evaluation->hypotheses));
  const Json json = {{"seconds", evaluation->seconds},
                     {"target_tokens", evaluation->target_tokens},
                     {"bleu", evaluation->bleu.value},
                     {"made_with", identity(model)}};
  write_atomically(files.json, json.dump(1) + "\n");
  return TestOutput{.hypotheses = evaluation->hypotheses,
                    .seconds = evaluation->seconds,
                    .target_tokens = evaluation->target_tokens};
}

}  // namespace dragoman
