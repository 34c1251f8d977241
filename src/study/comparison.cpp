#include "study/comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "core/check.h"
#include "core/files.h"
#include "core/log.h"
#include "core/progress.h"
#include "data/text.h"
#include "decode/observation.h"
#include "models/model_file.h"
#include "report/lengths.h"
#include "report/page.h"
#include "run/run.h"
#include "study/outputs.h"
#include "study/run_log.h"
#include "tensor/cpu/threads.h"

namespace dragoman {
namespace {

namespace fs = std::filesystem;

constexpr size_t kChosenSentences = 6;
constexpr int64_t kFewestWords = 4, kMostWords = 40;  // of a chosen sentence

std::string describe(const ModelConfig& model) {
  const auto stack = [](const StackConfig& config) {
    return fmt::format("{}, {} {} of {}", config.type, config.layers,
                       config.layers == 1 ? "layer" : "layers", config.dim);
  };
  const EncoderConfig& encoder = model.encoder;
  const DecoderConfig& decoder = model.decoder;
  return fmt::format("encoder: {}{}; decoder: {}{}", stack(encoder),
                     encoder.is_recurrent() && encoder.bidirectional ? " in both directions" : "",
                     stack(decoder),
                     decoder.is_transformer() ? ""
                     : decoder.attention == AttentionKind::kNone
                         ? ", no attention"
                         : fmt::format(", {} attention", decoder.attention));
}

// Lines from short to long, evenly over the lengths that there are.
std::vector<int64_t> choose_sentences(const TestCorpus& test) {
  std::vector<int64_t> lines;
  std::vector<int64_t> lengths;
  for (const std::string& line : test.source) lengths.push_back(count_words(line));
  for (int64_t line = 0; line < std::ssize(lengths); ++line) {
    const int64_t length = lengths[static_cast<size_t>(line)];
    if (length >= kFewestWords && length <= kMostWords) lines.push_back(line);
  }
  std::stable_sort(lines.begin(), lines.end(), [&](int64_t a, int64_t b) {
    return lengths[static_cast<size_t>(a)] < lengths[static_cast<size_t>(b)];
  });
  std::vector<int64_t> chosen;
  const size_t count = std::min(kChosenSentences, lines.size());
  for (size_t i = 0; i < count; ++i)
    chosen.push_back(lines[(2 * i + 1) * lines.size() / (2 * count)]);
  return chosen;
}

std::vector<int64_t> sentences_of(const ComparisonOptions& options, const TestCorpus& test) {
  if (options.sentences.empty()) return choose_sentences(test);
  std::vector<int64_t> lines;
  for (const int64_t number : options.sentences) {
    if (number < 1 || number > std::ssize(test.source)) {
      fail_usage("sentences: there is no line {} in {}, which has {}", number, test.name,
                 test.source.size());
    }
    if (count_words(test.source[static_cast<size_t>(number - 1)]) == 0)
      fail_usage("sentences: line {} of {} is blank", number, test.name);
    lines.push_back(number - 1);
  }
  return lines;
}

AttentionView view_of(const AttentionMap& map) {
  using Kind = AttentionMap::Kind;
  AttentionView view{.kind = map.kind == Kind::kEncoder   ? "encoder"
                             : map.kind == Kind::kDecoder ? "decoder"
                                                          : "cross",
                     .layer = map.layer,
                     .heads = {}};
  const std::vector<real> weights = map.weights.to_host();
  const auto queries = static_cast<size_t>(map.weights.shape()[0]);
  const auto heads = static_cast<size_t>(map.weights.shape()[1]);
  const auto keys = static_cast<size_t>(map.weights.shape()[2]);
  view.heads.assign(heads, std::vector(queries, std::vector<double>(keys)));
  for (size_t i = 0; i < weights.size(); ++i)
    view.heads[i / keys % heads][i / keys / heads][i % keys] = weights[i];
  return view;
}

std::vector<AttentionSentence> observe_lines(const LoadedModel& model, const TestCorpus& test,
                                             const std::vector<int64_t>& lines) {
  std::vector<AttentionSentence> sentences;
  for (const int64_t line : lines) {
    const Observation seen = observe(*model.model, model.vocabularies, model.config.decoding,
                                     test.source[static_cast<size_t>(line)]);
    AttentionSentence& sentence = sentences.emplace_back();
    sentence.line = line;
    sentence.source = seen.source;
    sentence.target = seen.target;
    for (const AttentionMap& map : seen.maps) sentence.views.push_back(view_of(map));
  }
  return sentences;
}

size_t find_baseline(const std::vector<ComparedSystem>& systems, const std::string& name) {
  if (name.empty()) return 0;
  std::vector<std::string> names;
  for (const ComparedSystem& system : systems) names.push_back(system.name);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    fail_usage("there is no system '{}' to be the baseline, only {}", name, fmt::join(names, ", "));
  return static_cast<size_t>(found - names.begin());
}

// Shows how much of the translating is done.
class Count {
 public:
  Count(const std::vector<ComparedSystem>& systems, size_t tests) {
    for (const ComparedSystem& system : systems) total_ += system.runs.size() * tests;
  }
  void show(const std::string& what) {
    progress_.update(static_cast<double>(done_++) / static_cast<double>(total_),
                     "translating: " + what);
  }

 private:
  size_t total_ = 0, done_ = 0;
  Progress progress_;
};

// Adds one run to its system; false when `stop` said so.
bool measure_run(const fs::path& directory, const ComparisonOptions& options,
                 const Measurements& measured, Count& count, const StopRequested& stop,
                 MeasuredSystem& system) {
  const LoadedModel model = load_model(directory, options.device);
  const DataConfig& data = model.config.data;
  check(data.source == options.data.source && data.target == options.data.target,
        "{}: translates {} to {}, but is to be compared on {} to {}", directory.string(),
        data.source, data.target, options.data.source, options.data.target);
  MeasuredRun run = read_run_log(directory);
  run.seed = model.config.seed;
  const std::string label = fmt::format("seed-{}", run.seed);
  for (const TestCorpus& test : measured.tests) {
    count.show(fmt::format("{}, {}, {}", system.name, label, test.name));
    auto output = translate_test(
        model, test, options.output / "translations" / file_name_for(system.name) / label, stop);
    if (!output) return false;
    run.outputs.push_back(std::move(*output));
  }
  if (system.runs.empty()) {
    system.description = describe(model.config.model);
    system.parameters = model.model->parameters().count();
    system.attention =
        observe_lines(model, measured.tests[0], sentences_of(options, measured.tests[0]));
  }
  system.runs.push_back(std::move(run));
  return true;
}

void report(const Results& results, const fs::path& output) {
  const Measurements& m = results.measured;
  for (size_t t = 0; t < m.tests.size(); ++t) {
    const MetricResults& metric = results.tests[t].metrics[0];
    for (size_t s = 0; s < m.systems.size(); ++s) {
      const SystemScore& system = metric.systems[s];
      log::info("{}: {}: {} {:.2f}{}", m.tests[t].name, m.systems[s].name, metric.name,
                system.score.mean,
                system.score.deviation ? fmt::format(" ± {:.2f}", *system.score.deviation) : "");
    }
  }
  log::info("report: {}", (output / "index.html").string());
}

}  // namespace

std::vector<TestCorpus> read_tests(const DataConfig& data, const std::vector<std::string>& names) {
  std::vector<TestCorpus> tests;
  for (const std::string& name : names) {
    ParallelText text = read_parallel(find_corpus(data.directory, name, data.source, data.target));
    tests.push_back({name, std::move(text.source), std::move(text.target)});
  }
  return tests;
}

std::vector<ComparedSystem> group_runs(const std::vector<fs::path>& runs) {
  std::vector<ComparedSystem> systems;
  std::vector<Config> configs;
  std::vector<std::vector<int64_t>> seeds;
  for (const fs::path& run : runs) {
    check(fs::is_directory(run), "{}: is no run directory", run.string());
    Config config = ModelFile(find_model(run)).config();
    const int64_t seed = config.seed;
    size_t s = 0;
    for (; s < systems.size(); ++s) {
      config.seed = configs[s].seed;
      if (conflicts(configs[s], config).empty()) break;
    }
    if (s == systems.size()) {
      systems.push_back({config.name, {}});
      configs.push_back(config);
      seeds.emplace_back();
    }
    if (std::find(seeds[s].begin(), seeds[s].end(), seed) != seeds[s].end()) {
      fail_usage("{}: is the second run of {} with the seed {}: leave it out", run.string(),
                 systems[s].name, seed);
    }
    systems[s].runs.push_back(run);
    seeds[s].push_back(seed);
  }
  const auto name_apart = [&](auto name_of) {
    std::map<std::string, int> times;
    for (const ComparedSystem& system : systems) ++times[system.name];
    for (ComparedSystem& system : systems) {
      if (times[system.name] > 1) system.name = name_of(system.runs[0]);
    }
  };
  name_apart([](const fs::path& run) { return fs::absolute(run).lexically_normal().filename(); });
  name_apart([](const fs::path& run) { return run; });
  return systems;
}

bool compare_runs(const std::vector<ComparedSystem>& systems, const ComparisonOptions& options,
                  const StopRequested& stop) {
  Measurements measured{.title = options.title,
                        .source_language = options.data.source,
                        .target_language = options.data.target,
                        .baseline = find_baseline(systems, options.baseline),
                        .target_bleu = options.target_bleu,
                        .tests = read_tests(options.data, options.tests),
                        .systems = {}};
  sentences_of(options, measured.tests[0]);  // what is wrong there should come to light now
  Count count(systems, measured.tests.size());
  for (const ComparedSystem& compared : systems) {
    MeasuredSystem& system = measured.systems.emplace_back();
    system.name = compared.name;
    for (const fs::path& run : compared.runs) {
      if (!measure_run(run, options, measured, count, stop, system)) {
        log::info("stopped by a signal; the same command goes on from here");
        return false;
      }
    }
  }
  const Results results = score(std::move(measured), thread_count());
  write_report(results, options.output.string());
  report(results, options.output);
  return true;
}

}  // namespace dragoman
