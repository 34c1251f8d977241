#include "config/study.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>

#include "config/settings.h"
#include "core/check.h"
#include "core/files.h"

namespace dragoman {
namespace {

struct Set {
  std::string where;  // "--set " and what was given
  std::string key;    // below the prefix
  std::string value;
};

// What the sections `settings` and `systems` of a study say, which hold configurations.
class SystemReader {
 public:
  SystemReader(const std::filesystem::path& path, const YAML::Node& common)
      : path_(path), common_(common) {}

  std::string base;  // the study's
  std::vector<Set> common_sets;
  std::vector<std::pair<std::string, Set>> system_sets;  // by the system's name

  StudySystem read(const std::string& name, YAML::Node own, int line) const {
    const std::string origin = path_.string();
    check_name(name, line);
    if (!own.IsMap() && !own.IsNull()) {
      fail_usage("{}:{}: system {}: expected settings, such as model.decoder.attention: none",
                 origin, line, name);
    }
    std::string config = base;
    if (own.IsMap() && own["config"]) {
      if (!own["config"].IsScalar())
        fail_usage("{}:{}: system {}: config: expected a file name", origin, line, name);
      config = own["config"].Scalar();
      own = YAML::Clone(own);
      own.remove("config");
    }
    Settings settings;
    if (!config.empty()) {
      const std::filesystem::path file = path_.parent_path() / config;
      settings.add_map(load_map(read_file(file), file.string()), file.string());
    }
    if (common_.IsMap()) settings.add_map(common_, origin);
    for (const Set& set : common_sets) settings.add_set(set.where, set.key, set.value);
    settings.inherit();
    if (own.IsMap()) settings.add_map(own, origin);
    for (const auto& [system, set] : system_sets) {
      if (system == name) settings.add_set(set.where, set.key, set.value);
    }
    return {name, read_config(settings, fmt::format("{}: system {}", origin, name))};
  }

 private:
  // It becomes a directory, and the start of a --set.
  void check_name(const std::string& name, int line) const {
    if (name.empty() || name.starts_with('.') || name.find_first_of("/.=") != std::string::npos) {
      fail_usage("{}:{}: a system cannot be named '{}': leave out '/', '.' and '='", path_.string(),
                 line, name);
    }
  }

  std::filesystem::path path_;
  YAML::Node common_;
};

// Takes a section out of the study's map.
YAML::Node take(YAML::Node& map, const std::string& key) {
  const YAML::Node node = map[key];
  if (!node) return YAML::Node();
  const YAML::Node taken = node;
  map.remove(key);
  return taken;
}

// The --set of systems go to the reader, the others to the study.
void sort_sets(const std::vector<std::string>& sets, Settings& study, SystemReader& systems) {
  for (const std::string& text : sets) {
    const auto [key, value] = split_set(text);
    if (key.starts_with("settings.")) {
      systems.common_sets.push_back({"--set " + text, key.substr(9), value});
    } else if (key.starts_with("systems.") && key.find('.', 8) != std::string::npos) {
      const size_t dot = key.find('.', 8);
      systems.system_sets.emplace_back(key.substr(8, dot - 8),
                                       Set{"--set " + text, key.substr(dot + 1), value});
    } else {
      study.add_set(text);
    }
  }
}

void validate(const StudyConfig& study, const SystemReader& reader, const std::string& origin) {
  std::vector<std::string> names;
  for (const StudySystem& system : study.systems) names.push_back(system.name);
  const auto known = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (names.empty()) {
    fail_usage("{}: has no systems: add 'systems:' with the name and the settings of each", origin);
  }
  if (study.tests.empty())
    fail_usage("{}: has no tests: name the corpora to compare on, as in 'tests: [test]'", origin);
  if (!known(study.baseline)) {
    fail_usage("{}: baseline: there is no system '{}', only {}", origin, study.baseline,
               fmt::join(names, ", "));
  }
  for (const auto& [name, set] : reader.system_sets) {
    if (!known(name))
      fail_usage("{}: there is no system '{}', only {}", set.where, name, fmt::join(names, ", "));
  }
  if (std::set(study.seeds.begin(), study.seeds.end()).size() != study.seeds.size())
    fail_usage("{}: seeds: {} has one twice", origin, fmt::join(study.seeds, ", "));
  for (const StudySystem& system : study.systems) {
    const DataConfig& data = system.config.data;
    const DataConfig& first = study.systems[0].config.data;
    if (data.source != first.source || data.target != first.target ||
        data.directory != first.directory) {
      fail_usage(
          "{}: system {}: data.directory, source and target must be those of {}: systems are "
          "compared on the same corpora",
          origin, system.name, study.systems[0].name);
    }
  }
}

void apply_budget(const BudgetConfig& budget, TrainingConfig& training) {
  if (budget.minutes > 0) training.max_minutes = budget.minutes;
  if (budget.steps > 0) training.max_steps = budget.steps;
  if (budget.epochs > 0) training.max_epochs = budget.epochs;
}

}  // namespace

std::filesystem::path StudyConfig::directory() const {
  return output.empty() ? std::filesystem::path("studies") / name : std::filesystem::path(output);
}

std::filesystem::path StudyConfig::run_directory(const StudySystem& system, int64_t seed) const {
  return directory() / "runs" / system.name / fmt::format("seed-{}", seed);
}

Config StudyConfig::run(const StudySystem& system, int64_t seed) const {
  Config config = system.config;
  config.name = system.name;
  config.seed = seed;
  config.output = run_directory(system, seed).string();
  config.data.test = {};  // the study does it, and takes the time
  if (config.data.cache.empty()) config.data.cache = (directory() / "data").string();
  return config;
}

StudyConfig load_study(const std::filesystem::path& path, const std::vector<std::string>& sets) {
  const std::string origin = path.string();
  YAML::Node map = load_map(read_file(path), origin);
  const YAML::Node common = take(map, "settings");
  const YAML::Node systems = take(map, "systems");
  if (common && !common.IsNull() && !common.IsMap())
    fail_usage("{}:{}: settings: expected settings below it", origin, common.Mark().line + 1);
  if (systems && !systems.IsNull() && !systems.IsMap())
    fail_usage("{}:{}: systems: expected a name and settings of each", origin,
               systems.Mark().line + 1);

  Settings settings;
  settings.add_map(map, origin);
  SystemReader reader(path, common);
  sort_sets(sets, settings, reader);
  StudyConfig study;
  SettingsReader fields(settings,
                        "`dragoman compare --help` shows all; those of a configuration go below "
                        "`settings` or a system");
  study.fields(fields);
  fields.reject_rest();
  fields.reject_vain();
  settings.finish();

  reader.base = study.base;
  for (const auto& entry : systems) {
    StudySystem system =
        reader.read(entry.first.Scalar(), entry.second, entry.first.Mark().line + 1);
    for (const StudySystem& other : study.systems) {
      if (other.name == system.name)
        fail_usage("{}:{}: there are two systems named {}", origin, entry.first.Mark().line + 1,
                   system.name);
    }
    apply_budget(study.budget, system.config.training);
    dragoman::validate(system.config, fmt::format("{}: system {}", origin, system.name));
    study.systems.push_back(std::move(system));
  }
  if (study.baseline.empty() && !study.systems.empty()) study.baseline = study.systems[0].name;
  validate(study, reader, origin);
  return study;
}

}  // namespace dragoman
