// YAML and --set to a Config. Both become one table of dotted keys first, each with the place that
// it came from; the field lists then take from the table what they know, and what is left over is
// unknown. All problems are gathered, so that one run shows every one of them.
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>

#include "config/config.h"
#include "core/check.h"
#include "core/files.h"

namespace dragoman {
namespace {

struct Setting {
  std::string key;  // "model.encoder.layers"
  YAML::Node value;
  std::string where;  // "en-de.yaml:12" or "--set model.encoder.layers=3"
  bool taken = false;
};

std::string joined(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

// The table of what was given.
class Settings {
 public:
  void add_file(const std::string& yaml, const std::string& origin) {
    std::vector<YAML::Node> documents;
    try {
      documents = YAML::LoadAll(yaml);
    } catch (const YAML::Exception& e) {
      fail_usage("{}:{}: no valid YAML: {}", origin, e.mark.line + 1, e.msg);
    }
    if (documents.size() > 1) fail_usage("{}: holds several YAML documents, not one", origin);
    if (documents.empty() || documents[0].IsNull()) return;
    if (documents[0].IsMap() && documents[0].size() == 0) return;
    if (!documents[0].IsMap()) fail_usage("{}: expected lines such as 'seed: 1'", origin);
    flatten(documents[0], "", origin, origin);
  }

  void add_set(const std::string& text) {
    const size_t equals = text.find('=');
    const std::string where = "--set " + text;
    if (equals == std::string::npos || equals == 0)
      fail_usage("{}: expected key.path=value, such as training.max_steps=1000", where);
    try {
      flatten(YAML::Load(text.substr(equals + 1)), text.substr(0, equals), "", where);
    } catch (const YAML::Exception& e) {
      fail_usage("{}: no valid YAML after '=': {}", where, e.msg);
    }
  }

  Setting* find(const std::string& key) {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &list_[found->second];
  }

  std::vector<Setting>& list() { return list_; }
  std::vector<std::string> problems;

 private:
  // `file` is empty for --set, where a later setting replaces an earlier one.
  void flatten(const YAML::Node& node, const std::string& key, const std::string& file,
               const std::string& where) {
    if (!node.IsMap() || node.size() == 0) return add({key, node, where}, !file.empty());
    for (const auto& entry : node) {
      const YAML::Node& name = entry.first;
      const std::string place =
          file.empty() ? where : fmt::format("{}:{}", file, name.Mark().line + 1);
      if (name.IsScalar()) {
        flatten(entry.second, joined(key, name.Scalar()), file, place);
      } else {
        problems.push_back(fmt::format("{}: a key must be a word", place));
      }
    }
  }

  void add(Setting setting, bool once) {
    Setting* const earlier = find(setting.key);
    if (earlier == nullptr) {
      index_[setting.key] = list_.size();
      list_.push_back(std::move(setting));
    } else if (once) {
      problems.push_back(fmt::format("{}: {} is given twice, first at {}", setting.where,
                                     setting.key, earlier->where));
    } else {
      *earlier = std::move(setting);
    }
  }

  std::vector<Setting> list_;
  std::map<std::string, size_t> index_;
};

const char* kind_of(int) { return "a whole number"; }
const char* kind_of(int64_t) { return "a whole number"; }
const char* kind_of(double) { return "a number"; }
const char* kind_of(bool) { return "true or false"; }
const char* kind_of(const std::string&) { return "text"; }
const char* kind_of(const std::vector<std::string>&) { return "a list such as [one, two]"; }

template <class T>
bool convert(const YAML::Node& node, T& out) {
  return node.IsScalar() && YAML::convert<T>::decode(node, out);
}
bool convert(const YAML::Node& node, std::string& out) {
  if (!node.IsScalar() && !node.IsNull()) return false;
  out = node.IsNull() ? "" : node.Scalar();
  return true;
}
// A single word is a list of one.
bool convert(const YAML::Node& node, std::vector<std::string>& out) {
  out.clear();
  if (node.IsNull()) return true;
  if (node.IsScalar()) return out.push_back(node.Scalar()), true;
  if (!node.IsSequence()) return false;
  for (const YAML::Node& element : node) {
    if (!element.IsScalar()) return false;
    out.push_back(element.Scalar());
  }
  return true;
}

bool allows(const Rule& rule, double value) { return rule.allows(value); }
bool allows(const Rule& rule, const std::string& value) { return rule.allows(value); }
bool allows(const Rule& rule, const std::vector<std::string>& values) {
  return !(rule.filled && values.empty()) &&
         std::all_of(values.begin(), values.end(), [&](auto& v) { return rule.allows(v); });
}

std::string shown(const YAML::Node& value) {
  YAML::Emitter emitter;
  emitter.SetMapFormat(YAML::Flow);
  emitter.SetSeqFormat(YAML::Flow);
  emitter << value;
  return value.IsScalar() ? value.Scalar() : emitter.c_str();
}

struct Key {
  std::string path;
  std::string kind;  // empty for a section
};

// The visitor that fills in a Config and learns which keys there are.
class Reader {
 public:
  explicit Reader(Settings& settings) : settings_(settings) {}

  template <class T>
  void operator()(const char* name, T& field, const char*, const Rule& rule = {},
                  const Condition& condition = {}) {
    const std::string key = joined(prefix_, name);
    keys_.push_back({key, kind_of(field)});
    Setting* const setting = settings_.find(key);
    if (setting == nullptr) return;
    setting->taken = true;
    T value{};
    if (!convert(setting->value, value) || !allows(rule, value)) {
      const std::string allowed = rule.text();
      problem(*setting, "expected {}{}{}, found '{}'", kind_of(field), allowed.empty() ? "" : ", ",
              allowed, shown(setting->value));
    } else if (!condition.holds) {
      idle_.push_back(fmt::format("{}: {} has no effect here: it applies only when {}",
                                  setting->where, key, condition.text));
    } else {
      field = std::move(value);
    }
  }

  template <class Section>
  void section(const char* name, Section& fields, const char*) {
    const std::string outer = prefix_;
    prefix_ = joined(prefix_, name);
    keys_.push_back({prefix_, ""});
    if (Setting* const setting = settings_.find(prefix_)) {
      setting->taken = true;
      if (!setting->value.IsNull() && !setting->value.IsMap())
        problem(*setting, "is a section with settings below it, not '{}'", shown(setting->value));
    }
    fields.fields(*this);
    prefix_ = outer;
  }

  // What no field took is a problem; so is what was given in vain, unless a problem before may be
  // the reason, such as a mistyped `type`.
  void reject_rest() {
    for (const Setting& setting : settings_.list()) {
      if (setting.taken) continue;
      if (const Key* const leaf = leaf_above(setting.key)) {
        settings_.problems.push_back(fmt::format("{}: {}: expected {}, not settings below it",
                                                 setting.where, leaf->path, leaf->kind));
      } else {
        settings_.problems.push_back(
            fmt::format("{}: unknown key {}; the nearest valid key is {} (`dragoman config` lists "
                        "all)",
                        setting.where, setting.key, nearest(setting.key)));
      }
    }
    if (settings_.problems.empty()) settings_.problems = idle_;
  }

 private:
  template <class... Args>
  void problem(const Setting& setting, fmt::format_string<Args...> format, Args&&... args) {
    settings_.problems.push_back(fmt::format("{}: {}: {}", setting.where, setting.key,
                                             fmt::format(format, std::forward<Args>(args)...)));
  }

  const Key* leaf_above(const std::string& key) const {
    for (const Key& known : keys_) {
      if (!known.kind.empty() && key.starts_with(known.path + ".")) return &known;
    }
    return nullptr;
  }

  std::string nearest(const std::string& key) const;

  Settings& settings_;
  std::string prefix_;
  std::vector<Key> keys_;
  std::vector<std::string> idle_;
};

// Levenshtein's distance.
int edit_distance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// A key is near when it is spelled alike, or when its last word is and only the section is wrong.
std::string Reader::nearest(const std::string& key) const {
  const auto last_word = [](const std::string& path) { return path.substr(path.rfind('.') + 1); };
  const auto distance = [&](const Key& known) {
    return std::min(edit_distance(key, known.path),
                    1 + edit_distance(last_word(key), last_word(known.path)));
  };
  return std::min_element(keys_.begin(), keys_.end(),
                          [&](const Key& a, const Key& b) { return distance(a) < distance(b); })
      ->path;
}

}  // namespace

Config parse_config(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& sets) {
  Settings settings;
  settings.add_file(yaml, origin);
  for (const std::string& set : sets) settings.add_set(set);
  Config config;
  Reader reader(settings);
  config.fields(reader);
  reader.reject_rest();
  if (!settings.problems.empty()) fail_usage("{}", fmt::join(settings.problems, "\n"));
  validate(config, origin);
  return config;
}

Config load_config(const std::filesystem::path& path, const std::vector<std::string>& sets) {
  return parse_config(read_file(path), path.string(), sets);
}

}  // namespace dragoman
