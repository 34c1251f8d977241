#include "cli/evaluate.h"

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/decoding_options.h"
#include "cli/machine_options.h"
#include "cli/metrics.h"
#include "cli/metrics_report.h"
#include "cli/output.h"
#include "core/check.h"
#include "data/text.h"
#include "eval/significance.h"
#include "models/model_file.h"
#include "run/evaluation.h"

namespace dragoman {
namespace {

struct EvaluateOptions {
  std::string model;
  std::string device = "auto";
  std::string source;
  std::vector<std::string> references;
  std::vector<std::string> metrics{"bleu"};
  std::string output;
  ReportFormat format{.width = 2};
  DecodingSettings settings;
};

void evaluate_model(const EvaluateOptions& options) {
  std::vector<NamedFile> read = {{"--source", options.source},
                                 {"MODEL", find_model(options.model).string()}};
  for (const std::string& path : options.references) read.push_back({"--reference", path});
  keep_apart({{"--output", options.output}}, read);
  const std::vector<std::string> source = read_lines(options.source);
  check(!source.empty(), "{}: has no line, so there is nothing to translate", options.source);
  std::vector<std::vector<std::string>> references;
  for (const std::string& path : options.references) {
    references.push_back(read_lines(path));
    check(references.back().size() == source.size(), "{} has {} lines, but {} has {}", path,
          references.back().size(), options.source, source.size());
  }
  const LoadedModel loaded = load_model(options.model, find_device(options.device, "--device"));
  const DecodingConfig decoding =
      decoding_config(loaded.config, loaded.path.string(), options.settings);
  const Translator translator(*loaded.model, loaded.vocabularies, decoding);
  const std::vector<std::vector<std::string>> hypotheses = {
      evaluate(translator, source, references)->hypotheses};
  if (!options.output.empty()) {
    Output output(options.output);
    for (const std::string& line : hypotheses.front()) output.stream() << line << '\n';
    output.finish();
  }
  std::vector<MetricResult> results;
  for (const Metric& metric : find_metrics(options.metrics)) {
    results.push_back({metric.signature(references.size()),
                       compare_systems(metric, hypotheses, references, Sampling())});
  }
  Output result("");
  result.stream() << system_report(results, options.format);
  result.finish();
}

constexpr const char* kFooter =
    "Examples:\n"
    "  dragoman evaluate runs/my-model --source test.en --reference test.de\n"
    "  dragoman evaluate runs/my-model --source test.en --reference test.1.de test.2.de --json\n"
    "  dragoman evaluate runs/my-model --source test.en --reference test.de --metrics bleu chrf "
    "ter\n\n"
    "The metrics are those of sacrebleu with its defaults (BLEU: cased, tokenizer 13a, the "
    "translations\ndetokenised). `dragoman metrics` scores a file of translations in other ways.";

}  // namespace

void add_evaluate(CLI::App& app) {
  CLI::App* verb =
      app.add_subcommand("evaluate", "Translate a text and score the result (BLEU, chrF, TER)");
  verb->footer(kFooter);
  auto options = std::make_shared<EvaluateOptions>();
  verb->add_option("MODEL", options->model, "A run directory (its best checkpoint) or a checkpoint")
      ->required()
      ->type_name("PATH");
  verb->add_option("-s,--source", options->source, "Text to translate, plain or gzip")
      ->required()
      ->type_name("FILE");
  verb->add_option("-r,--reference", options->references,
                   "Reference translations; several files give several references for each line")
      ->required()
      ->type_name("FILE");
  add_metric_names(*verb, options->metrics);
  verb->add_option("-o,--output", options->output, "Write the translations to a file too")
      ->type_name("FILE");
  verb->add_flag("--json", options->format.json, "Print JSON with the keys that sacrebleu uses");
  verb->add_option("-w,--width", options->format.width, "Decimals of the score")
      ->check(CLI::Range(0, 15))
      ->type_name("N")
      ->capture_default_str();
  add_device_option(*verb, options->device, "auto");
  add_threads_option(*verb);
  options->settings = add_decoding_options(*verb, /*without=*/"n_best");
  verb->callback([options] { evaluate_model(*options); });
}

}  // namespace dragoman
