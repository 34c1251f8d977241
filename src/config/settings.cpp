#include "config/settings.h"

#include <fmt/ranges.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>

#include <sstream>
#include <string_view>

#include "core/check.h"
#include "core/spelling.h"

namespace dragoman {
namespace {

std::string joined(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

// Refuses aliases before anything is built of them: nested ones stand for more nodes than memory
// holds, and one inside what it names for infinitely many.
class AliasRefuser : public YAML::EventHandler {
 public:
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw YAML::ParserException(mark, "aliases (*name) are not read: write out what it stands for");
  }
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// Throws YAML::Exception for what is no YAML, and for aliases.
std::vector<YAML::Node> load_documents(const std::string& yaml) {
  std::istringstream text(yaml);
  YAML::Parser parser(text);
  AliasRefuser refuser;
  while (parser.HandleNextDocument(refuser)) continue;
  return YAML::LoadAll(yaml);
}

}  // namespace

YAML::Node load_map(const std::string& yaml, const std::string& origin) {
  std::vector<YAML::Node> documents;
  try {
    documents = load_documents(yaml);
  } catch (const YAML::Exception& e) {
    fail_usage("{}:{}: no valid YAML: {}", origin, e.mark.line + 1, e.msg);
  }
  if (documents.size() > 1) fail_usage("{}: holds several YAML documents, not one", origin);
  if (documents.empty() || documents[0].IsNull()) return YAML::Node(YAML::NodeType::Map);
  if (!documents[0].IsMap()) fail_usage("{}: expected lines such as 'seed: 1'", origin);
  return documents[0];
}

std::pair<std::string, std::string> split_set(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    fail_usage("--set {}: expected key.path=value, such as training.max_steps=1000", text);
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string shown(const YAML::Node& value) {
  YAML::Emitter emitter;
  emitter.SetMapFormat(YAML::Flow);
  emitter.SetSeqFormat(YAML::Flow);
  emitter << value;
  return value.IsScalar() ? value.Scalar() : emitter.c_str();
}

bool convert(const YAML::Node& node, std::string& out) {
  if (!node.IsScalar() && !node.IsNull()) return false;
  out = node.IsNull() ? "" : node.Scalar();
  return true;
}

void Settings::add_map(const YAML::Node& map, const std::string& origin) {
  if (map.size() > 0) flatten(map, "", origin, origin, ++calls_);
}

void Settings::add_set(const std::string& text) {
  const auto [key, value] = split_set(text);
  add_set("--set " + text, key, value);
}

void Settings::add_set(const std::string& where, const std::string& key, const std::string& value) {
  try {
    const std::vector<YAML::Node> documents = load_documents(value);
    flatten(documents.empty() ? YAML::Node() : documents[0], key, "", where, ++calls_);
  } catch (const YAML::Exception& e) {
    fail_usage("{}: the value is no valid YAML: {}", where, e.msg);
  }
}

void Settings::inherit() {
  for (Setting& setting : list_) setting.inherited = true;
}

Setting* Settings::find(const std::string& key) {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &list_[found->second];
}

void Settings::finish() const {
  if (!problems.empty()) fail_usage("{}", fmt::join(problems, "\n"));
}

void Settings::flatten(const YAML::Node& node, const std::string& key, const std::string& file,
                       const std::string& where, size_t generation) {
  if (!node.IsMap() || node.size() == 0) return add({key, node, where}, generation);
  for (const auto& entry : node) {
    const YAML::Node& name = entry.first;
    const std::string place =
        file.empty() ? where : fmt::format("{}:{}", file, name.Mark().line + 1);
    if (name.IsScalar()) {
      flatten(entry.second, joined(key, name.Scalar()), file, place, generation);
    } else {
      problems.push_back(fmt::format("{}: a key must be a word", place));
    }
  }
}

void Settings::add(Setting setting, size_t generation) {
  Setting* const earlier = find(setting.key);
  if (earlier == nullptr) {
    index_[setting.key] = list_.size();
    list_.push_back(std::move(setting));
    generations_.push_back(generation);
    return;
  }
  size_t& its_generation = generations_[static_cast<size_t>(earlier - list_.data())];
  if (its_generation == generation) {
    problems.push_back(fmt::format("{}: {} is given twice, first at {}", setting.where, setting.key,
                                   earlier->where));
  } else {
    earlier->value.reset(setting.value);  // assignment would change the node that others share
    earlier->where = std::move(setting.where);
    earlier->inherited = setting.inherited;
    its_generation = generation;
  }
}

void SettingsReader::reject_rest() {
  for (const Setting& setting : settings_.list()) {
    if (setting.taken) continue;
    if (const Key* const leaf = leaf_above(setting.key)) {
      settings_.problems.push_back(fmt::format("{}: {}: expected {}, not settings below it",
                                               setting.where, leaf->path, leaf->kind));
    } else {
      const std::string near = nearest(setting.key);
      settings_.problems.push_back(
          fmt::format("{}: unknown key {}{} ({})", setting.where, setting.key,
                      near.empty() ? "" : "; the nearest valid key is " + near, lister_));
    }
  }
}

void SettingsReader::reject_vain() {
  if (settings_.problems.empty()) settings_.problems = idle_;
}

void SettingsReader::problem(const Setting& setting, const std::string& what) {
  settings_.problems.push_back(fmt::format("{}: {}: {}", setting.where, setting.key, what));
}

const SettingsReader::Key* SettingsReader::leaf_above(const std::string& key) const {
  for (const Key& known : keys_) {
    if (!known.kind.empty() && key.starts_with(known.path + ".")) return &known;
  }
  return nullptr;
}

// A key is near when it is spelled alike, or when its last word is, or begins alike, and only the
// section is wrong; where more than half of the word is otherwise, there is none.
std::string SettingsReader::nearest(const std::string& key) const {
  const auto last_word = [](const std::string& path) { return path.substr(path.rfind('.') + 1); };
  const std::string ours = last_word(key);
  const auto distance = [&](const Key& known) {
    const std::string theirs = last_word(known.path);
    if (theirs.starts_with(ours)) return known.path.starts_with(key) ? 1 : 2;
    return std::min(edit_distance(key, known.path), 1 + edit_distance(ours, theirs));
  };
  const Key& found = *std::ranges::min_element(keys_, {}, distance);
  return distance(found) <= std::max(2, static_cast<int>(ours.size()) / 2) ? found.path : "";
}

}  // namespace dragoman
