// YAML and --set to a Config.
#include "config/config.h"
#include "config/settings.h"
#include "core/files.h"

namespace dragoman {

Config parse_config(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& sets) {
  const YAML::Node map = load_map(yaml, origin);
  Settings settings;
  settings.add_map(map, origin);
  if (!sets.empty()) {
    // What the file says in vain is a mistake; what only --set makes vain is not.
    Settings alone;
    alone.add_map(map, origin);
    Config config;
    SettingsReader reader(alone, "");
    config.fields(reader);
    reader.reject_rest();
    if (alone.problems.empty()) {
      reader.reject_vain();
      alone.finish();
    }
    settings.inherit();
  }
  for (const std::string& set : sets) settings.add_set(set);
  return read_config(settings, origin);
}

Config load_config(const std::filesystem::path& path, const std::vector<std::string>& sets) {
  return parse_config(read_file(path), path.string(), sets);
}

Config read_config(Settings& settings, const std::string& origin) {
  Config config;
  SettingsReader reader(settings, "`dragoman config` lists all");
  config.fields(reader);
  reader.reject_rest();
  reader.reject_vain();
  settings.finish();
  validate(config, origin);
  return config;
}

}  // namespace dragoman
