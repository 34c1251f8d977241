#include "cli/report.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/machine_options.h"
#include "core/check.h"
#include "models/model_file.h"
#include "run/stop_signals.h"
#include "study/comparison.h"

namespace dragoman {
namespace {

struct ReportOptions {
  std::vector<std::filesystem::path> runs;
  ComparisonOptions comparison;
  std::string data;
  std::string device = "auto";
};

void report(const ReportOptions& options) {
  ComparisonOptions comparison = options.comparison;
  const DataConfig first = ModelFile(find_model(options.runs[0])).config().data;
  comparison.data = first;
  comparison.device = find_device(options.device, "--device");
  if (!options.data.empty()) comparison.data.directory = options.data;
  if (comparison.tests.empty()) comparison.tests = first.test;
  if (comparison.tests.empty()) {
    fail_usage("{}: names no test corpora: say which with --test, such as --test test",
               options.runs[0].string());
  }
  const std::vector<ComparedSystem> systems = group_runs(options.runs);
  bool ended = false;
  {
    const StopSignals signals;
    ended = compare_runs(systems, comparison, StopSignals::requested);
  }
  if (!ended) StopSignals::end_process();
}

constexpr const char* kFooter =
    "Examples:\n"
    "  dragoman report runs/transformer runs/gru\n"
    "  dragoman report runs/*/ --test test_2016_flickr --data data/multi30k --output report\n\n"
    "Runs whose configurations differ in their seed only are one system: its numbers are means "
    "with "
    "standard\ndeviations. The output directory gets index.html, results.json, results.csv, "
    "table.md, table.tex,\nlength-TEST.svg and translations/, which a second call does not make "
    "again. "
    "`dragoman compare` trains the systems\ntoo.";

}  // namespace

void add_report(CLI::App& app) {
  CLI::App* verb =
      app.add_subcommand("report", "Compare runs that exist: tables, plots, attention");
  verb->footer(kFooter);
  auto options = std::make_shared<ReportOptions>();
  ComparisonOptions& comparison = options->comparison;
  comparison.title = "Comparison";
  comparison.output = "report";
  verb->add_option("RUN", options->runs, "Run directories")->required()->type_name("DIR");
  verb->add_option("-o,--output", comparison.output, "Where the report goes")
      ->type_name("DIR")
      ->capture_default_str();
  verb->add_option("-t,--test", comparison.tests,
                   "Corpora to compare on (if left out, data.test of the first run)")
      ->type_name("NAME");
  verb->add_option("--data", options->data,
                   "Their directory (if left out, data.directory of the first run)")
      ->type_name("DIR");
  verb->add_option("--title", comparison.title, "What stands above the page")
      ->type_name("TEXT")
      ->capture_default_str();
  verb->add_option("--baseline", comparison.baseline,
                   "The system that the others are tested against (if left out, the first)")
      ->type_name("NAME");
  verb->add_option("--target-bleu", comparison.target_bleu,
                   "Validation BLEU to which the training time is told; 0: nine tenths of the best")
      ->check(CLI::Range(0.0, 100.0))
      ->type_name("BLEU")
      ->capture_default_str();
  verb->add_option("--sentences", comparison.sentences,
                   "Lines of the first corpus whose attention is shown, from 1 (if left out, some "
                   "of different lengths)")
      ->type_name("N");
  add_device_option(*verb, options->device, "auto");
  add_threads_option(*verb);
  verb->callback([options] { report(*options); });
}

}  // namespace dragoman
