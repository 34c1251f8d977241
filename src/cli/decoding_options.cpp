#include "cli/decoding_options.h"

#include <algorithm>
#include <type_traits>

namespace dragoman {
namespace {

// Makes an option of each field that it visits. The text that is given is checked where all
// settings are, against the same field.
class OptionMaker {
 public:
  OptionMaker(CLI::App& verb, DecodingSettings given) : verb_(verb), given_(std::move(given)) {}

  template <class T>
  void operator()(const char* name, T&, const char* doc, const Rule& rule = {}) {
    std::string option = std::string("--") + name;
    std::ranges::replace(option, '_', '-');
    const std::string allowed = rule.text();
    verb_
        .add_option_function<std::string>(
            option,
            [given = given_, key = std::string("decoding.") + name](const std::string& value) {
              given->push_back(key + "=" + value);
            },
            allowed.empty() ? doc : std::string(doc) + " (" + allowed + ")")
        ->type_name(std::is_same_v<T, std::string> ? "NAME" : "N")
        ->group("How translations are searched for (left out: as the model's configuration says)");
  }

 private:
  CLI::App& verb_;
  DecodingSettings given_;
};

}  // namespace

DecodingSettings add_decoding_options(CLI::App& verb) {
  auto given = std::make_shared<std::vector<std::string>>();
  OptionMaker maker(verb, given);
  DecodingConfig().fields(maker);
  return given;
}

DecodingConfig decoding_config(const Config& model, const std::string& origin,
                               const DecodingSettings& given) {
  return parse_config(to_yaml(model), origin, *given).decoding;
}

}  // namespace dragoman
