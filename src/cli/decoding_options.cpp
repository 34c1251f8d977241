#include "cli/decoding_options.h"

#include <algorithm>
#include <type_traits>

#include "config/settings.h"

namespace dragoman {
namespace {

// Makes an option of each field that it visits. The text that is given is checked where all
// settings are, against the same field.
class OptionMaker {
 public:
  OptionMaker(CLI::App& verb, DecodingSettings given, std::string_view without)
      : verb_(verb), given_(std::move(given)), without_(without) {}

  template <class T, class... Given>
  void operator()(const char* name, const T& field, const char* doc, const Given&... given) {
    if (name == without_) return;
    std::string option = std::string("--") + name;
    std::ranges::replace(option, '_', '-');
    const std::string allowed = facts_of(field, given...).rule.text();
    verb_
        .add_option_function<std::string>(
            option,
            [settings = given_, option,
             key = std::string("decoding.") + name](const std::string& value) {
              settings->push_back({option, key, value});
            },
            allowed.empty() ? doc : std::string(doc) + " (" + allowed + ")")
        ->type_name(std::is_arithmetic_v<T> ? "N" : "NAME")
        ->group("How translations are searched for (left out: as the model's configuration says)");
  }

 private:
  CLI::App& verb_;
  DecodingSettings given_;
  std::string_view without_;
};

}  // namespace

DecodingSettings add_decoding_options(CLI::App& verb, std::string_view without) {
  auto given = std::make_shared<std::vector<DecodingSetting>>();
  OptionMaker maker(verb, given, without);
  DecodingConfig().fields(maker);
  return given;
}

DecodingConfig decoding_config(const Config& model, const std::string& origin,
                               const DecodingSettings& given) {
  Settings settings;
  settings.add_map(load_map(to_yaml(model), origin), origin);
  for (const auto& [option, key, value] : *given)
    settings.add_set(option + " " + value, key, value);
  return read_config(settings, origin).decoding;
}

}  // namespace dragoman
