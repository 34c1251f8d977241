// What YAML files and --set say, as one table of dotted keys, each with the place that it came
// from; and the visitor that fills a structure from it. The field lists take from the table what
// they know, and what is left over is unknown. All problems are gathered, so that one run shows
// them all.
#pragma once

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "config/fields.h"

namespace dragoman {

/// One value that was given.
struct Setting {
  std::string key;  ///< "model.encoder.layers"
  YAML::Node value;
  std::string where;       ///< "en-de.yaml:12" or "--set model.encoder.layers=3"
  bool inherited = false;  ///< From what others change: it may be without effect.
  bool taken = false;
};

/// The YAML of a file as a map; empty where it says nothing. Throws UsageError with the line for
/// what is no YAML or no map.
YAML::Node load_map(const std::string& yaml, const std::string& origin);

/// The table of what was given.
class Settings {
 public:
  /// Adds what a map says, over what the table holds; a key that the map has twice is a problem.
  void add_map(const YAML::Node& map, const std::string& origin);
  /// Adds "key.path=value", over what the table holds. Throws UsageError for anything else.
  void add_set(const std::string& text);
  /// Adds "value" for `key`, which was given at `where`: "--set key=value", "--beam-size 8".
  void add_set(const std::string& where, const std::string& key, const std::string& value);
  /// Marks all that the table holds as inherited.
  void inherit();

  Setting* find(const std::string& key);
  std::vector<Setting>& list() { return list_; }

  /// Throws UsageError when there are problems.
  void finish() const;

  std::vector<std::string> problems;

 private:
  // `file` is empty for --set.
  void flatten(const YAML::Node& node, const std::string& key, const std::string& file,
               const std::string& where, size_t generation);
  void add(Setting setting, size_t generation);

  std::vector<Setting> list_;
  std::vector<size_t> generations_;  // of each: the call that it came by
  size_t calls_ = 0;
  std::map<std::string, size_t> index_;
};

/// "key.path=value" in its two parts. Throws UsageError when it has no equals sign.
std::pair<std::string, std::string> split_set(const std::string& text);

/// The text of a value for messages.
std::string shown(const YAML::Node& value);

inline const char* kind_of(int) { return "a whole number"; }
inline const char* kind_of(int64_t) { return "a whole number"; }
inline const char* kind_of(double) { return "a number"; }
inline const char* kind_of(bool) { return "true or false"; }
inline const char* kind_of(const std::string&) { return "text"; }
template <Choice Enum>
const char* kind_of(Enum) {
  return "text";
}
inline const char* kind_of(const std::vector<std::string>&) { return "a list such as [one, two]"; }
inline const char* kind_of(const std::vector<int64_t>&) { return "a list such as [1, 2]"; }

bool convert(const YAML::Node& node, std::string& out);
template <class T>
bool convert(const YAML::Node& node, T& out) {
  return node.IsScalar() && YAML::convert<T>::decode(node, out);
}
template <Choice Enum>
bool convert(const YAML::Node& node, Enum& out) {
  const std::optional<Enum> choice =
      node.IsScalar() ? find_choice<Enum>(node.Scalar()) : std::nullopt;
  if (choice) out = *choice;
  return choice.has_value();
}
/// A single value is a list of one.
template <class T>
bool convert(const YAML::Node& node, std::vector<T>& out) {
  out.clear();
  if (node.IsNull()) return true;
  if (node.IsMap()) return false;
  const auto append = [&](const YAML::Node& element) {
    return element.IsScalar() && convert(element, out.emplace_back());
  };
  if (node.IsScalar()) return append(node);
  return std::all_of(node.begin(), node.end(), append);
}

inline bool allows(const Rule& rule, double value) { return rule.allows(value); }
inline bool allows(const Rule& rule, const std::string& value) { return rule.allows(value); }
template <Choice Enum>
bool allows(const Rule&, Enum) {
  return true;
}
template <class T>
bool allows(const Rule& rule, const std::vector<T>& values) {
  return !(rule.filled && values.empty()) &&
         std::all_of(values.begin(), values.end(), [&](auto& v) { return allows(rule, v); });
}

/// The visitor that fills a structure in and learns which keys there are.
class SettingsReader {
 public:
  /// `lister` is what shows all keys, for messages: "`dragoman config` lists all".
  SettingsReader(Settings& settings, std::string lister)
      : settings_(settings), lister_(std::move(lister)) {}

  template <class T, class... Given>
  void operator()(const char* name, T& field, const char*, const Given&... given) {
    const Facts facts = facts_of(field, given...);
    const std::string key = prefix_ + name;
    keys_.push_back({key, kind_of(field)});
    Setting* const setting = settings_.find(key);
    if (setting == nullptr) return;
    setting->taken = true;
    T value{};
    if (!convert(setting->value, value) || !allows(facts.rule, value)) {
      const std::string allowed = facts.rule.text();
      problem(*setting, fmt::format("expected {}{}{}, found '{}'", kind_of(field),
                                    allowed.empty() ? "" : ", ", allowed, shown(setting->value)));
    } else if (!facts.condition.holds) {
      if (!setting->inherited) {
        idle_.push_back(fmt::format("{}: {} has no effect here: it applies only when {}",
                                    setting->where, key, facts.condition.text));
      }
    } else {
      field = std::move(value);
    }
  }

  template <class Section, class... Given>
  void section(const char* name, Section& fields, const char*, const Given&...) {
    const std::string outer = prefix_;
    const std::string key = prefix_ + name;
    keys_.push_back({key, ""});
    if (Setting* const setting = settings_.find(key)) {
      setting->taken = true;
      if (!setting->value.IsNull() && !setting->value.IsMap()) {
        problem(*setting, fmt::format("is a section with settings below it, not '{}'",
                                      shown(setting->value)));
      }
    }
    prefix_ = key + ".";
    fields.fields(*this);
    prefix_ = outer;
  }

  /// What no field took is a problem.
  void reject_rest();
  /// So is what was given in vain, unless a problem before may be the reason, such as a mistyped
  /// `type`.
  void reject_vain();

 private:
  struct Key {
    std::string path;
    std::string kind;  // empty for a section
  };

  void problem(const Setting& setting, const std::string& what);
  const Key* leaf_above(const std::string& key) const;
  std::string nearest(const std::string& key) const;

  Settings& settings_;
  std::string lister_;
  std::string prefix_;  // "model.encoder."
  std::vector<Key> keys_;
  std::vector<std::string> idle_;
};

}  // namespace dragoman
