// A Config to YAML, and the difference of two.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "config/config.h"

namespace dragoman {
namespace {

// Whether YAML readers of every kind take `text` for a string without quotes.
bool is_plain(const std::string& text) {
  static const std::vector<std::string> kNotStrings = {"true", "false", "yes", "no", "on",
                                                       "off",  "null",  "y",   "n"};
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto is_safe = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') ||
           std::string_view("_-./+").find(c) != std::string_view::npos;
  };
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return !text.empty() && (is_letter(text[0]) || text[0] == '/' || text.starts_with("../")) &&
         std::all_of(text.begin(), text.end(), is_safe) &&
         std::find(kNotStrings.begin(), kNotStrings.end(), lower) == kNotStrings.end();
}

std::string value_text(int64_t value) { return fmt::format("{}", value); }
std::string value_text(int value) { return fmt::format("{}", value); }
std::string value_text(bool value) { return value ? "true" : "false"; }
std::string value_text(double value) {
  std::string text = fmt::format("{}", value);  // the shortest that reads back as the same number
  const size_t exponent = text.find('e');
  // YAML 1.1 takes 1e-09 for a string.
  if (exponent != std::string::npos && text.find('.') == std::string::npos)
    text.insert(exponent, ".0");
  return text;
}
std::string value_text(const std::string& value) {
  if (is_plain(value)) return value;
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}
template <Choice Enum>
std::string value_text(Enum value) {
  return value_text(to_string(value));
}
std::string value_text(const std::vector<std::string>& values) {
  std::vector<std::string> texts;
  for (const std::string& value : values) texts.push_back(value_text(value));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

constexpr size_t kCommentColumn = 40;

class YamlWriter {
 public:
  explicit YamlWriter(bool commented) : commented_(commented) {}

  template <class T, class... Given>
  void operator()(const char* name, const T& field, const char* doc, const Given&... given) {
    const Facts facts = facts_of(field, given...);
    const Condition& condition = facts.condition;
    if (!condition.holds && !commented_) return;
    std::string comment = doc;
    if (const std::string allowed = facts.rule.text(); !allowed.empty())
      comment += " (" + allowed + ")";
    if (!condition.holds) comment += " [only when " + condition.text + "]";
    line(fmt::format("{}{}: {}", condition.holds ? "" : "# ", name, value_text(field)), comment);
  }

  template <class Section, class... Given>
  void section(const char* name, Section& fields, const char* doc, const Given&...) {
    if (commented_) text_ += '\n';
    line(fmt::format("{}:", name), doc);
    ++depth_;
    fields.fields(*this);
    --depth_;
  }

  const std::string& text() const { return text_; }

 private:
  void line(const std::string& setting, const std::string& comment) {
    const std::string indented = std::string(2 * depth_, ' ') + setting;
    text_ += commented_ ? fmt::format("{:<{}}  # {}", indented, kCommentColumn, comment) : indented;
    text_ += '\n';
  }

  bool commented_;
  size_t depth_ = 0;
  std::string text_;
};

struct Listed {
  std::string key;
  std::string value;
  bool free_to_change = false;
  bool shapes_model = false;
};

class Lister {
 public:
  template <class T, class... Given>
  void operator()(const char* name, const T& field, const char*, const Given&... given) {
    const Facts facts = facts_of(field, given...);
    list_.push_back({prefix_ + name, facts.condition.holds ? value_text(field) : "(none)",
                     facts.free_to_change, facts.shapes_model.value_or(shapes_model_)});
  }

  template <class Section, class... Given>
  void section(const char* name, Section& fields, const char*, const Given&... given) {
    Lister inner;
    inner.prefix_ = prefix_ + name + ".";
    inner.shapes_model_ = facts_of(fields, given...).shapes_model.value_or(shapes_model_);
    fields.fields(inner);
    std::ranges::move(inner.list_, std::back_inserter(list_));
  }

  const std::vector<Listed>& list() const { return list_; }

 private:
  std::string prefix_;
  bool shapes_model_ = false;  // what the section says
  std::vector<Listed> list_;
};

std::vector<Listed> listed(Config config) {
  Lister lister;
  config.fields(lister);
  return lister.list();
}

}  // namespace

std::filesystem::path Config::run_directory() const {
  return output.empty() ? std::filesystem::path("runs") / name : std::filesystem::path(output);
}

std::string to_yaml(const Config& config, bool commented) {
  YamlWriter writer(commented);
  Config copy = config;  // the field list serves reading too, and so wants a Config to write to
  copy.fields(writer);
  return writer.text();
}

std::vector<Difference> diff(const Config& before, const Config& after) {
  const std::vector<Listed> old_settings = listed(before);
  const std::vector<Listed> new_settings = listed(after);
  std::vector<Difference> differences;
  for (size_t i = 0; i < old_settings.size(); ++i) {
    const Listed& setting = new_settings[i];
    if (old_settings[i].value != setting.value) {
      differences.push_back({setting.key, old_settings[i].value, setting.value,
                             setting.free_to_change, setting.shapes_model});
    }
  }
  return differences;
}

}  // namespace dragoman
