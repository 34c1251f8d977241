#include "cli/config.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "config/config.h"

namespace dragoman {
namespace {

struct ConfigOptions {
  std::string path;
  std::vector<std::string> sets;
  bool json = false;
};

// The settings that have an effect.
struct JsonFields {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();

  template <class T, class... Given>
  void operator()(const char* name, const T& field, const char*, const Given&... given) {
    if (!facts_of(field, given...).condition.holds) return;
    if constexpr (Choice<T>) {
      json[name] = to_string(field);
    } else {
      json[name] = field;
    }
  }
  template <class Section, class... Given>
  void section(const char* name, Section& fields, const char*, const Given&...) {
    JsonFields inner;
    fields.fields(inner);
    json[name] = inner.json;
  }
};

void print_config(const ConfigOptions& options) {
  Config config = options.path.empty() ? parse_config("", "the defaults", options.sets)
                                       : load_config(options.path, options.sets);
  Output output("");
  if (options.json) {
    JsonFields fields;
    config.fields(fields);
    output.stream() << fields.json.dump(2) << '\n';
  } else {
    output.stream() << to_yaml(config, true);
  }
  output.finish();
}

}  // namespace

void add_set_option(CLI::App& app, std::vector<std::string>& sets) {
  app.add_option("--set", sets,
                 "Replace a setting of the configuration, e.g. --set training.max_steps=1000; may "
                 "be given several times (`dragoman config` lists all settings)")
      ->type_name("KEY.PATH=VALUE")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_config(CLI::App& app) {
  CLI::App* const verb = app.add_subcommand(
      "config", "Print a configuration in full, each setting with its meaning and its limits");
  auto options = std::make_shared<ConfigOptions>();
  verb->add_option("CONFIG", options->path, "A YAML file; without one, the defaults are printed");
  add_set_option(*verb, options->sets);
  verb->add_flag("--json", options->json, "Print JSON, without the meanings");
  verb->footer(
      "Settings that have no effect on the chosen types are printed as comments. The output "
      "is a\nconfiguration itself:\n\n  dragoman config > my.yaml");
  verb->callback([options] { print_config(*options); });
}

}  // namespace dragoman
