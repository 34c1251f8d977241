#include "config/config.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "core/check.h"
#include "temporary_directory.h"

namespace dragoman {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// The message of the UsageError that `yaml` and `sets` meet, or "" when they are accepted.
std::string complaint(const std::string& yaml, const std::vector<std::string>& sets = {}) {
  try {
    parse_config(yaml, "my.yaml", sets);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "";
}

Config with(const std::vector<std::string>& sets) { return parse_config("", "my.yaml", sets); }

// What the field lists say, by a visitor as the library itself uses them.
struct Described {
  std::string name, doc;
  Condition condition;
};
struct Describer {
  std::string prefix;
  std::vector<Described> fields;

  template <class T, class... Given>
  void operator()(const char* name, T& field, const char* doc, const Given&... given) {
    fields.push_back({prefix + name, doc, facts_of(field, given...).condition});
  }
  template <class Section, class... Given>
  void section(const char* name, Section& section, const char* doc, const Given&...) {
    fields.push_back({prefix + name, doc, {}});
    const std::string outer = prefix;
    prefix += std::string(name) + ".";
    section.fields(*this);
    prefix = outer;
  }
};

const char* const kExample = R"(
name: multi30k-en-de-transformer
output: runs/multi30k
seed: 3
data:
  directory: data/multi30k
  source: en
  target: de
  train: [train, more]
  validation: val
  test: [test_2016_flickr]
  max_length: 100
vocabulary: {type: bpe, size: 4000, shared: true, sampling: 0.1}
model:
  encoder: {type: transformer, layers: 2, dim: 128, heads: 8}
  decoder:
    type: gru
    embedding_dim: 128
    attention: general
    readout: maxout
    readout_dim: 128
training:
  learning_rate: 1e-3
  max_minutes: 60
  debug_nan: yes
decoding: {beam_size: 4, length_penalty: 0.6}
)";

TEST(Config, ReadsWhatAFileSays) {
  const Config config = parse_config(kExample, "my.yaml");
  EXPECT_EQ(config.name, "multi30k-en-de-transformer");
  EXPECT_EQ(config.run_directory(), "runs/multi30k");
  EXPECT_EQ(config.seed, 3);
  EXPECT_THAT(config.data.train, ElementsAre("train", "more"));
  EXPECT_EQ(config.vocabulary.type, VocabularyType::kBpe);
  EXPECT_DOUBLE_EQ(config.vocabulary.sampling, 0.1);
  EXPECT_EQ(config.model.encoder.heads, 8);
  EXPECT_EQ(config.model.decoder.attention, AttentionKind::kGeneral);
  EXPECT_TRUE(config.model.decoder.is_recurrent());
  EXPECT_DOUBLE_EQ(config.training.learning_rate, 1e-3);
  EXPECT_TRUE(config.training.debug_nan);
  EXPECT_EQ(config.decoding.beam_size, 4);
  // What it does not say keeps its default.
  EXPECT_EQ(config.training.batch_tokens, Config{}.training.batch_tokens);
}

TEST(Config, AnEmptyFileIsTheDefaults) {
  EXPECT_THAT(diff(Config{}, parse_config("", "my.yaml")), IsEmpty());
  EXPECT_THAT(diff(Config{}, parse_config("# nothing\n", "my.yaml")), IsEmpty());
  EXPECT_THAT(diff(Config{}, parse_config("training:\n", "my.yaml")), IsEmpty());
}

TEST(Config, AnEmptyMapSetsNothing) {
  for (const char* const yaml :
       {"{}", "model: {}", "model: {encoder: {}}\ntraining: {}", "model:"}) {
    EXPECT_THAT(diff(Config{}, parse_config(yaml, "my.yaml")), IsEmpty()) << yaml;
    EXPECT_EQ(parse_config(yaml, "my.yaml", {"seed=9", "model.encoder.layers=5"}).seed, 9) << yaml;
  }
  EXPECT_THAT(diff(Config{}, with({"model={}"})), IsEmpty());
  EXPECT_THAT(complaint("seed: {}"), HasSubstr("my.yaml:1: seed: expected a whole number"));
  EXPECT_THAT(complaint("name: {}"), HasSubstr("my.yaml:1: name: expected text"));
  EXPECT_THAT(complaint("modle: {}"), HasSubstr("unknown key modle"));
}

TEST(Config, RunDirectoryFollowsTheName) {
  EXPECT_EQ(with({"name=toy"}).run_directory(), "runs/toy");
  EXPECT_EQ(with({"name=toy", "output=/tmp/x"}).run_directory(), "/tmp/x");
}

TEST(Config, SetsGoOverTheFileInTheirOrder) {
  const Config config =
      parse_config(kExample, "my.yaml",
                   {"training.max_steps=7", "training.max_steps=8", "data.train=[a, b]",
                    "data.test=val", "data.cache=", "decoding={beam_size: 2, n_best: 2}"});
  EXPECT_EQ(config.training.max_steps, 8);
  EXPECT_THAT(config.data.train, ElementsAre("a", "b"));
  EXPECT_THAT(config.data.test, ElementsAre("val"));
  EXPECT_EQ(config.data.cache, "");
  EXPECT_EQ(config.decoding.beam_size, 2);
  EXPECT_EQ(config.decoding.n_best, 2);
  EXPECT_DOUBLE_EQ(config.decoding.length_penalty, 0.6);
}

TEST(Config, LanguageCodesThatYamlTakesForTruthValuesAreText) {
  const Config config = parse_config("data: {source: no, target: y}", "my.yaml");
  EXPECT_EQ(config.data.source, "no");
  EXPECT_THAT(to_yaml(config), HasSubstr("source: \"no\""));
  EXPECT_THAT(diff(config, parse_config(to_yaml(config), "again")), IsEmpty());
}

TEST(Config, LoadsAFileAndReportsAMissingOne) {
  const TemporaryDirectory directory;
  const auto path = directory / "config.yaml";
  std::ofstream(path) << kExample;
  EXPECT_EQ(load_config(path, {"seed=9"}).seed, 9);
  std::filesystem::remove(path);
  try {
    load_config(path);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr(path.string()));
    EXPECT_THAT(e.what(), HasSubstr("No such file"));
  }
}

TEST(Config, UnknownKeyNamesFileLineAndNearestKey) {
  EXPECT_THAT(complaint("seed: 1\ntraining:\n  batch_tokns: 5\n"),
              AllOf(HasSubstr("my.yaml:3: unknown key training.batch_tokns"),
                    HasSubstr("nearest valid key is training.batch_tokens")));
  EXPECT_THAT(complaint("trainning: {max_steps: 1}"), HasSubstr("is training.max_steps "));
  EXPECT_THAT(complaint("batch_tokens: 5"), HasSubstr("is training.batch_tokens "));
  EXPECT_THAT(complaint("model: {encoder: {beam_size: 5}}"), HasSubstr("is decoding.beam_size "));
  EXPECT_THAT(complaint("", {"training.max_step=5"}),
              HasSubstr("--set training.max_step=5: unknown key training.max_step; the nearest "
                        "valid key is training.max_steps"));
  EXPECT_THAT(complaint("", {"decoding.beam=3"}), HasSubstr("is decoding.beam_size ("));
  EXPECT_THAT(complaint("", {"warmup=3"}), HasSubstr("is training.warmup_steps ("));
  EXPECT_THAT(complaint("", {"lr=1"}), HasSubstr("unknown key lr (`dragoman config` lists all)"));
}

TEST(Config, WrongTypeSaysWhereAndWhatIsExpected) {
  EXPECT_THAT(complaint("\n\ntraining:\n  max_steps: many\n"),
              HasSubstr("my.yaml:4: training.max_steps: expected a whole number, at least 0, found "
                        "'many'"));
  EXPECT_THAT(complaint("vocabulary: {size: 8000.5}"), HasSubstr("expected a whole number"));
  EXPECT_THAT(complaint("vocabulary: {size: 99999999999}"), HasSubstr("expected a whole number"));
  EXPECT_THAT(complaint("vocabulary: {shared: maybe}"), HasSubstr("expected true or false"));
  EXPECT_THAT(complaint("training: {learning_rate: fast}"), HasSubstr("expected a number"));
  EXPECT_THAT(complaint("training: {learning_rate: .nan}"), HasSubstr("above 0, found '.nan'"));
  EXPECT_THAT(complaint("training: {learning_rate: .inf}"), HasSubstr("above 0, found '.inf'"));
  EXPECT_THAT(complaint("name: [a, b]"), HasSubstr("expected text, not empty, found '[a, b]'"));
  EXPECT_THAT(complaint("data: {train: {a: 1}}"),
              HasSubstr("data.train: expected a list such as [one, two], not settings below it"));
  EXPECT_THAT(complaint("data: {train: [[a]]}"), HasSubstr("expected a list"));
  EXPECT_THAT(complaint("training: 5"),
              HasSubstr("my.yaml:1: training: is a section with settings below it, not '5'"));
  EXPECT_THAT(complaint("", {"training.max_steps=x"}),
              HasSubstr("--set training.max_steps=x: training.max_steps: expected a whole number"));
}

TEST(Config, WrongRangeSaysWhatIsAllowed) {
  EXPECT_THAT(complaint("vocabulary:\n  type: bytes\n"),
              HasSubstr("my.yaml:2: vocabulary.type: expected text, one of unigram, bpe, char, "
                        "word, found 'bytes'"));
  for (const char* device : {"auto", "cpu", "cuda", "cuda:0", "cuda:12"})
    EXPECT_EQ(parse_config("", "", {std::string("training.device=") + device}).training.device,
              device);
  for (const char* device : {"gpu", "cuda:N", "cuda:x", "cuda:1x", "cuda:-1"}) {
    EXPECT_THAT(complaint("", {std::string("training.device=") + device}),
                HasSubstr("training.device: expected text, one of auto, cuda, cuda:N, cpu, found"));
  }
  EXPECT_THAT(complaint("vocabulary: {size: 7}"),
              HasSubstr("at least 8, at most 1000000, found '7'"));
  EXPECT_THAT(complaint("model: {encoder: {dropout: 1}}"), HasSubstr("at least 0, below 1"));
  EXPECT_THAT(complaint("seed: -1"), HasSubstr("at least 0, found '-1'"));
  EXPECT_THAT(complaint("data: {train: []}"), HasSubstr("not empty"));
  EXPECT_THAT(complaint("data: {source: }"), HasSubstr("not empty"));
}

TEST(Config, AllProblemsAreShownAtOnce) {
  const std::string message = complaint("sed: 1\nvocabulary: {size: x}\n", {"decoding.beam=3"});
  EXPECT_THAT(message, HasSubstr("my.yaml:1: unknown key sed"));
  EXPECT_THAT(message, HasSubstr("my.yaml:2: vocabulary.size"));
  EXPECT_THAT(message, HasSubstr("--set decoding.beam=3"));
}

TEST(Config, AKeyGivenTwiceIsAnError) {
  EXPECT_THAT(complaint("seed: 1\nname: x\nseed: 2\n"),
              HasSubstr("my.yaml:3: seed is given twice, first at my.yaml:1"));
}

TEST(Config, BrokenYamlNamesTheLine) {
  EXPECT_THAT(complaint("seed: 1\nname: [a, b\n"), HasSubstr("my.yaml:"));
  EXPECT_THAT(complaint("seed: 1\nname: [a, b\n"), HasSubstr("no valid YAML"));
  EXPECT_THAT(complaint("just words"), HasSubstr("my.yaml: expected lines such as"));
  EXPECT_THAT(complaint("a: 1\n---\nb: 2\n"), HasSubstr("several YAML documents"));
  EXPECT_THAT(complaint("[a]: 1"), HasSubstr("a key must be a word"));
}

// Nine levels of nine aliases each are a billion nodes, and one within itself has no end.
TEST(Config, AliasesAreRefused) {
  std::string bomb = "a: &a {x: 1}\n";
  for (char name = 'b'; name <= 'j'; ++name) {
    bomb += fmt::format("{0}: &{0} {{", name);
    for (int i = 0; i < 9; ++i) bomb += fmt::format("k{}: *{},", i, static_cast<char>(name - 1));
    bomb += "}\n";
  }
  const char* const refused = "my.yaml:2: no valid YAML: aliases (*name) are not read";
  EXPECT_THAT(complaint(bomb), HasSubstr(refused));
  EXPECT_THAT(complaint("data: &a\n  train: *a\n"), HasSubstr(refused));
  EXPECT_THAT(complaint("", {"data.train=[&a x, *a]"}), HasSubstr("aliases (*name) are not read"));
  EXPECT_THAT(complaint("name: &a x\n"), IsEmpty()) << "a name that nothing refers to";
}

TEST(Config, MalformedSetsAreErrors) {
  EXPECT_THAT(complaint("", {"training.max_steps"}),
              HasSubstr("--set training.max_steps: expected key.path=value"));
  EXPECT_THAT(complaint("", {"=5"}), HasSubstr("expected key.path=value"));
  EXPECT_THAT(complaint("", {"name=[a"}), HasSubstr("--set name=[a: the value is no valid YAML"));
}

TEST(Config, SettingsThatHaveNoEffectAreErrors) {
  EXPECT_THAT(complaint("model:\n  decoder:\n    heads: 4\n    type: gru\n"),
              HasSubstr("my.yaml:3: model.decoder.heads has no effect here: it applies only when "
                        "type is transformer"));
  EXPECT_THAT(
      complaint("", {"model.encoder.bidirectional=true"}),
      HasSubstr("--set model.encoder.bidirectional=true: model.encoder.bidirectional has no "
                "effect here: it applies only when type is lstm or gru"));
  EXPECT_THAT(complaint("training: {weight_decay: 0.1}"), HasSubstr("optimizer is adamw"));
  EXPECT_THAT(complaint("vocabulary: {type: word, sampling: 0.1}"),
              HasSubstr("type is unigram or bpe"));
  // A mistyped type explains the rest.
  const std::string message = complaint("model: {encoder: {type: gruu, bidirectional: true}}");
  EXPECT_THAT(message, HasSubstr("expected text, one of transformer, lstm, gru, found 'gruu'"));
  EXPECT_THAT(message, Not(HasSubstr("bidirectional")));
}

TEST(Config, WhatASetMakesVainIsNoError) {
  const std::string file = "model: {encoder: {type: gru, bidirectional: true}}\n";
  const Config config = parse_config(file, "my.yaml", {"model.encoder.type=transformer"});
  EXPECT_EQ(config.model.encoder.type, StackType::kTransformer);
  EXPECT_THAT(complaint(file, {"model.encoder.type=transformer", "model.encoder.dim=33",
                               "model.encoder.bidirectional=true"}),
              HasSubstr("--set model.encoder.bidirectional=true: model.encoder.bidirectional has "
                        "no effect here"));
  EXPECT_THAT(complaint("model: {encoder: {bidirectional: true}}", {"seed=2"}),
              HasSubstr("my.yaml:1: model.encoder.bidirectional has no effect here"));
  EXPECT_NO_THROW(parse_config(to_yaml(Config(), /*commented=*/true), "my.yaml",
                               {"model.encoder.type=gru", "model.decoder.type=gru"}))
      << "what `dragoman config` prints can be changed by --set";
}

TEST(Config, EveryFieldIsDescribedAndNamedOnce) {
  Config config;
  Describer describer;
  config.fields(describer);
  EXPECT_GT(describer.fields.size(), 80u);
  std::set<std::string> names;
  for (const Described& field : describer.fields) {
    EXPECT_GT(field.doc.size(), 5u) << field.name;
    EXPECT_TRUE(names.insert(field.name).second) << field.name;
    EXPECT_TRUE(field.condition.holds || !field.condition.text.empty()) << field.name;
  }
}

TEST(Config, EveryConditionCanHold) {
  std::set<std::string> idle;
  const auto note = [&](Config config, bool erase) {
    Describer describer;
    config.fields(describer);
    for (const Described& field : describer.fields) {
      if (erase && field.condition.holds) idle.erase(field.name);
      if (!erase && !field.condition.holds) idle.insert(field.name);
    }
  };
  note(Config{}, false);
  EXPECT_THAT(idle, Not(IsEmpty()));
  note(with({"model.encoder={type: lstm}", "model.decoder={type: gru}", "model.tie_output=false",
             "model.initializer=normal", "training.optimizer=adamw", "training.schedule=plateau"}),
       true);
  note(with({"model.encoder.positions=learned", "model.decoder.positions=learned",
             "training.schedule=cosine"}),
       true);
  EXPECT_THAT(idle, IsEmpty());
}

// Gives every field that applies another value than its default.
struct Changer {
  template <class T, class... Given>
  void operator()(const char*, T& field, const char*, const Given&... given) {
    const Facts facts = facts_of(field, given...);
    if (facts.condition.holds) change(field, facts.rule);
  }
  template <class Section, class... Given>
  void section(const char*, Section& section, const char*, const Given&...) {
    section.fields(*this);
  }
  void change(bool& field, const Rule&) { field = !field; }
  void change(int& field, const Rule&) { field = 2 * field + 2; }
  void change(int64_t& field, const Rule&) { field = 2 * field + 2; }
  void change(double& field, const Rule&) { field = (field + 1) / 3.7; }
  void change(std::string& field, const Rule& rule) {
    field = rule.choices.empty() ? "it's \"quoted\": \\ #1, [\u00fc]\n\t" : rule.choices.back();
  }
  template <Choice Enum>
  void change(Enum& field, const Rule&) {
    field = choices(field).back().value;
  }
  void change(std::vector<std::string>& field, const Rule&) {
    field = {"a b", "true", "3", "-", "c"};
  }
};

TEST(Config, WrittenAndReadBackEveryFieldSurvives) {
  Config config;
  Changer changer;
  config.fields(changer);
  // Where the changes are at odds.
  config.data.target = "fr";
  config.decoding.beam_size = config.decoding.n_best;
  config.decoding.min_length_ratio = config.decoding.max_length_ratio / 2;
  EXPECT_GT(diff(Config{}, config).size(), 60u);
  for (const bool commented : {false, true}) {
    const Config again = parse_config(to_yaml(config, commented), "again");
    EXPECT_THAT(diff(config, again), IsEmpty()) << to_yaml(config, commented);
    EXPECT_EQ(to_yaml(config, commented), to_yaml(again, commented));
  }
  EXPECT_EQ(parse_config(to_yaml(config), "again").training.learning_rate,
            config.training.learning_rate);
}

TEST(Config, ModelsOfEveryTypeSurviveWriting) {
  for (const char* const encoder : {"transformer", "lstm", "gru"}) {
    for (const char* const decoder : {"transformer", "lstm", "gru"}) {
      const Config config = with({fmt::format("model.encoder.type={}", encoder),
                                  fmt::format("model.decoder.type={}", decoder)});
      EXPECT_THAT(diff(config, parse_config(to_yaml(config), "again")), IsEmpty());
      EXPECT_THAT(diff(config, parse_config(to_yaml(config, true), "again")), IsEmpty());
    }
  }
}

// The settings that are a choice: the names that each may have, and the one that it has.
struct ChoiceLister {
  std::string prefix;
  std::map<std::string, std::string> names, chosen;

  template <class T, class... Given>
  void operator()(const char* name, T& field, const char*, const Given&... given) {
    if constexpr (Choice<T>) {
      const Facts facts = facts_of(field, given...);
      if (!facts.condition.holds) return;
      names[prefix + name] = fmt::format("{}", fmt::join(facts.rule.choices, ", "));
      chosen[prefix + name] = to_string(field);
    }
  }
  template <class Section, class... Given>
  void section(const char* name, Section& section, const char*, const Given&...) {
    ChoiceLister inner;
    inner.prefix = prefix + name + ".";
    section.fields(inner);
    names.merge(inner.names);
    chosen.merge(inner.chosen);
  }
};

ChoiceLister choices_of(Config config) {
  ChoiceLister lister;
  config.fields(lister);
  return lister;
}

// Configurations under which every setting applies and no choice is at odds with another.
const std::vector<std::string> kBases = {
    "{}",
    "model: {encoder: {type: gru, bidirectional: false}, decoder: {type: gru}}",
    "{model: {encoder: {positions: learned}, decoder: {positions: learned}}, "
    "training: {schedule: cosine}}",
    "training: {schedule: plateau}",
};

// Files and checkpoints say them, so that none may ever be called otherwise.
TEST(Choices, AreCalledByTheirNames) {
  std::map<std::string, std::string> names;
  for (const std::string& base : kBases) names.merge(choices_of(parse_config(base, "")).names);
  const std::string types = "transformer, lstm, gru", precisions = "auto, fp32, tf32, bf16";
  std::map<std::string, std::string> expected = {
      {"vocabulary.type", "unigram, bpe, char, word"},
      {"model.decoder.attention", "none, additive, dot, general"},
      {"model.decoder.readout", "maxout, tanh, linear"},
      {"model.initializer", "xavier_uniform, xavier_normal, normal, uniform"},
      {"training.precision", precisions},
      {"training.on_out_of_memory", "fail, skip, split"},
      {"training.optimizer", "adam, adamw"},
      {"training.schedule", "inverse_sqrt, noam, linear, cosine, plateau, constant"},
      {"training.stop_metric", "bleu, loss, perplexity"},
      {"decoding.precision", precisions}};
  for (const std::string side : {"model.encoder.", "model.decoder."}) {
    expected[side + "type"] = types;
    expected[side + "norm"] = "pre, post";
    expected[side + "normalization"] = "layer_norm, rms_norm";
    expected[side + "activation"] = "relu, gelu, silu, glu, swiglu, geglu";
    expected[side + "positions"] = "sinusoidal, learned";
  }
  EXPECT_EQ(names, expected);
}

TEST(Choices, SurviveWritingAndReading) {
  for (const std::string& base : kBases) {
    for (const auto& [key, names] : choices_of(parse_config(base, "")).names) {
      std::istringstream list(names);
      for (std::string name; list >> name;) {
        if (name.back() == ',') name.pop_back();
        const Config config = parse_config(base, "my.yaml", {key + "=" + name});
        EXPECT_EQ(choices_of(config).chosen.at(key), name);
        for (const bool commented : {false, true}) {
          const Config again = parse_config(to_yaml(config, commented), "again");
          EXPECT_EQ(choices_of(again).chosen.at(key), name) << key;
          EXPECT_THAT(diff(config, again), IsEmpty()) << key;
        }
      }
    }
  }
}

TEST(Choices, AWrongNameIsToldThoseThatThereAre) {
  for (const std::string& base : kBases) {
    for (const auto& [key, names] : choices_of(parse_config(base, "")).names) {
      for (const std::string wrong : {"nonsense", "", "Auto", "[a, b]"}) {
        const std::string set = key + "=" + wrong;
        EXPECT_EQ(complaint(base, {set}),
                  fmt::format("--set {}: {}: expected text, one of {}, found '{}'", set, key, names,
                              wrong));
      }
    }
  }
}

TEST(Choices, AnUnnamedValueIsNoneOfThem) {
  EXPECT_THROW(to_string(static_cast<StackType>(77)), Error);
  EXPECT_EQ(find_choice<StackType>("gruu"), std::nullopt);
}

TEST(Config, WritesOnlyWhatApplies) {
  const std::string plain = to_yaml(with({"model.decoder.type=gru"}));
  const std::string decoder = plain.substr(plain.find("  decoder:"));
  EXPECT_THAT(decoder, Not(HasSubstr("heads")));
  EXPECT_THAT(decoder, HasSubstr("    attention: additive\n"));
  EXPECT_THAT(plain, Not(HasSubstr("#")));
}

TEST(Config, CommentedReferenceShowsEveryFieldItsMeaningAndLimits) {
  const std::string reference = to_yaml(Config{}, true);
  Config config;
  Describer describer;
  config.fields(describer);
  for (const Described& field : describer.fields) {
    EXPECT_THAT(reference, HasSubstr("# " + field.doc)) << field.name;
    EXPECT_THAT(reference, HasSubstr(field.name.substr(field.name.rfind('.') + 1) + ":"));
  }
  EXPECT_THAT(reference, HasSubstr("(one of unigram, bpe, char, word)"));
  EXPECT_THAT(reference, HasSubstr("    # bidirectional: true"));
  EXPECT_THAT(reference, HasSubstr("[only when type is lstm or gru]"));
}

TEST(Config, DiffNamesKeyAndBothValues) {
  const std::vector<Difference> differences =
      diff(Config{}, with({"training.max_steps=5", "model.decoder.type=gru"}));
  std::vector<std::string> texts;
  for (const Difference& difference : differences) texts.push_back(difference.text());
  EXPECT_THAT(texts, testing::Contains("training.max_steps: 100000 -> 5"));
  EXPECT_THAT(texts, testing::Contains("model.decoder.type: transformer -> gru"));
  EXPECT_THAT(texts, testing::Contains("model.decoder.heads: 4 -> (none)"));
  EXPECT_THAT(texts, testing::Contains("model.decoder.attention: (none) -> additive"));
}

// What two configurations that differ in every setting differ in, as their own or a run's settings.
std::map<std::string, Difference> all_differences() {
  std::map<std::string, Difference> differences;
  for (const std::string& base : kBases) {
    const Config before = parse_config(base, "");
    Config after = before;
    Changer changer;
    after.fields(changer);
    for (const Difference& difference : diff(before, after))
      differences.emplace(difference.key, difference);
  }
  return differences;
}

TEST(Config, ADifferenceTellsWhatItMeans) {
  std::set<std::string> keys, free, shaping, expected;
  Describer describer;
  Config config;
  config.fields(describer);
  const std::set<std::string> sections = {"data",          "vocabulary", "model",   "model.encoder",
                                          "model.decoder", "training",   "decoding"};
  for (const Described& field : describer.fields) {
    if (!sections.contains(field.name)) keys.insert(field.name);
  }
  std::set<std::string> seen;
  for (const auto& [key, difference] : all_differences()) {
    seen.insert(key);
    if (difference.free_to_change) free.insert(key);
    if (difference.shapes_model) shaping.insert(key);
  }
  ASSERT_EQ(seen, keys) << "every setting was changed";
  EXPECT_THAT(free,
              testing::UnorderedElementsAre(
                  "name", "output", "data.directory", "data.cache", "data.test", "training.device",
                  "training.threads", "training.on_out_of_memory", "training.max_steps",
                  "training.max_epochs", "training.max_minutes", "training.stop_patience",
                  "training.validate_every", "training.save_every", "training.log_every",
                  "training.keep", "training.samples", "training.tensorboard", "training.debug_nan",
                  "training.profile", "decoding.batch_sentences"));
  for (const std::string& key : keys) {
    if (key.starts_with("model.") && !key.starts_with("model.init") && !key.ends_with("dropout"))
      expected.insert(key);
  }
  EXPECT_EQ(shaping, expected);
}

TEST(Config, TheStepsThatEndAScheduleAreNotFreeToChange) {
  const auto is_free = [](const std::string& schedule) {
    const std::vector<Difference> differences =
        diff(parse_config("training: {max_steps: 5000, " + schedule, ""),
             parse_config("training: {max_steps: 6000, " + schedule, ""));
    EXPECT_EQ(differences.size(), 1u);
    return differences.at(0).free_to_change;
  };
  EXPECT_TRUE(is_free("schedule: inverse_sqrt}"));
  EXPECT_FALSE(is_free("schedule: linear}"));
  EXPECT_FALSE(is_free("schedule: cosine}"));
  EXPECT_TRUE(is_free("schedule: cosine, schedule_steps: 4500}"));
}

struct Conflict {
  std::vector<std::string> sets;
  std::string message;
};

class ConfigConflict : public testing::TestWithParam<Conflict> {};

TEST_P(ConfigConflict, IsExplained) {
  EXPECT_THAT(complaint("", GetParam().sets),
              testing::StartsWith("my.yaml: " + GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigConflict,
    testing::Values(
        Conflict{{"model.encoder.heads=7"},
                 "model.encoder.dim (256) must be a multiple of model.encoder.heads (7)"},
        Conflict{{"model.decoder={dim: 255, heads: 5}", "model.tie_source_target=false"},
                 "model.decoder.dim (255) must be even for sinusoidal positions"},
        Conflict{{"model.encoder={positions: learned, max_positions: 100}"},
                 "model.encoder.max_positions (100) is too few: data.max_length and "
                 "decoding.max_length ask for 129"},
        Conflict{{"model.decoder={positions: learned, max_positions: 256}"},
                 "model.decoder.max_positions (256) is too few: data.max_length and "
                 "decoding.max_length ask for 257"},
        Conflict{{"model.encoder.type=gru", "model.decoder={type: gru, attention: dot}"},
                 "model.decoder.attention: dot compares vectors of one width, but "
                 "model.decoder.dim is 256 and the encoder's states have 512"},
        Conflict{{"vocabulary.shared=false"}, "model.tie_source_target needs vocabulary.shared"},
        Conflict{{"model.encoder.dim=128"},
                 "model.tie_source_target needs embeddings of one width, but the encoder's have "
                 "128 and the decoder's 256"},
        Conflict{{"model.decoder={type: gru, readout_dim: 100}"},
                 "model.tie_output needs model.decoder.readout_dim (100) equal to "
                 "model.decoder.embedding_dim (256)"},
        Conflict{{"training={max_steps: 0, stop_patience: 0}"}, "training would never end"},
        Conflict{{"training={warmup_steps: 0}"},
                 "training.schedule: inverse_sqrt needs training.warmup_steps"},
        Conflict{{"training={schedule: cosine, max_steps: 0, max_epochs: 3}"},
                 "training.schedule: cosine needs training.schedule_steps or training.max_steps"},
        Conflict{{"training={schedule: linear, schedule_steps: 10}"},
                 "training.schedule: linear ends at step 10, which must come after "
                 "training.warmup_steps (4000)"},
        Conflict{{"training={minimum_learning_rate: 1}"},
                 "training.minimum_learning_rate (1) is above training.learning_rate (0.0005)"},
        Conflict{{"data.target=en"}, "data.source and data.target are both 'en'"},
        Conflict{{"decoding={n_best: 6}"}, "decoding.n_best (6) is above decoding.beam_size (5)"},
        Conflict{{"decoding={min_length_ratio: 4}"},
                 "decoding.min_length_ratio (4) is above decoding.max_length_ratio (3)"}));

TEST(Config, WhatIsNotInUseDoesNotConflict) {
  EXPECT_EQ(complaint("", {"vocabulary.shared=false", "model.tie_source_target=false"}), "");
  EXPECT_EQ(
      complaint("", {"model.decoder={type: gru, readout_dim: 100}", "model.tie_output=false"}), "");
  EXPECT_EQ(complaint("", {"training={schedule: constant, warmup_steps: 0}"}), "");
  EXPECT_EQ(complaint("", {"training={max_steps: 0, stop_patience: 0, max_minutes: 0.5}"}), "");
  EXPECT_EQ(complaint("", {"model.encoder={type: gru, bidirectional: false}",
                           "model.decoder={type: gru, attention: dot}"}),
            "");
}

TEST(Config, WidthsFollowTheTypes) {
  const Config config = with({"model.encoder={type: lstm, dim: 300}",
                              "model.decoder={type: gru, dim: 400, readout_dim: 256}"});
  EXPECT_EQ(config.model.encoder.memory_width(), 600);
  EXPECT_EQ(config.model.encoder.embedding_width(), 256);
  EXPECT_EQ(config.model.decoder.output_width(), 256);
  EXPECT_EQ(Config{}.model.encoder.memory_width(), 256);
  EXPECT_EQ(Config{}.model.decoder.output_width(), 256);
}

TEST(Config, TheLargestNumbersDoNotOverflow) {
  constexpr const char* kMost = "2147483647";
  EXPECT_THAT(complaint("", {fmt::format("data.max_length={}", kMost),
                             fmt::format("decoding.max_length={}", kMost),
                             "model.encoder.positions=learned", "model.decoder.positions=learned"}),
              AllOf(HasSubstr("model.encoder.max_positions (512) is too few"),
                    HasSubstr("ask for 2147483648")));
  const Config wide = with({"model.encoder={type: lstm, dim: 2147483647}"});
  EXPECT_EQ(wide.model.encoder.memory_width(), 4294967294);
}

}  // namespace
}  // namespace dragoman
