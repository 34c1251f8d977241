// YAML and --set to a Config.
#include "config/config.h"
#include "config/settings.h"
#include "core/files.h"

namespace dragoman {

Config parse_config(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& sets) {
  Settings settings;
  settings.add_map(load_map(yaml, origin), origin);
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
  settings.finish();
  validate(config, origin);
  return config;
}

}  // namespace dragoman
