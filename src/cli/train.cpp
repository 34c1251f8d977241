#include "cli/train.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/config.h"
#include "cli/machine_options.h"
#include "config/config.h"
#include "run/run.h"
#include "run/stop_signals.h"

namespace dragoman {
namespace {

struct TrainOptions {
  std::string config;
  std::vector<std::string> sets;
  std::optional<std::string> output;
  std::string device;
  std::optional<int> threads;
  bool debug_nan = false;
  bool profile = false;
};

void train(const TrainOptions& options) {
  Config config = load_config(options.config, options.sets);
  if (options.output) config.output = *options.output;
  if (!options.device.empty()) config.training.device = options.device;
  if (options.threads) config.training.threads = *options.threads;
  if (options.debug_nan) config.training.debug_nan = true;
  if (options.profile) config.training.profile = true;
  if (!run_training(config)) StopSignals::end_process();
}

constexpr const char* kFooter =
    "Examples:\n"
    "  dragoman train my.yaml\n"
    "  dragoman train my.yaml --output runs/small --set model.encoder.layers=2 --set "
    "training.max_minutes=30\n\n"
    "The run directory gets config.yaml, train.log, log.jsonl, validation.tsv, last.h5 (to "
    "continue from),\nbest.h5 (to translate with), the translations of each validation and, at the "
    "end, the scores of the\ntest corpora in test.json.\n\n"
    "Ctrl-C or SIGTERM ends the run after the current step with everything saved, and then the "
    "process;\na second one ends it at once. The same command continues a run from last.h5, "
    "however it ended. Limits "
    "and the settings of\nreports may differ then; other settings belong into another directory.";

}  // namespace

void add_train(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("train", "Train a model, or continue to train it");
  verb->footer(kFooter);
  auto options = std::make_shared<TrainOptions>();
  verb->add_option("CONFIG", options->config,
                   "A YAML file (`dragoman config` prints all settings and what they mean)")
      ->required()
      ->type_name("FILE");
  add_set_option(*verb, options->sets);
  verb->add_option("-o,--output", options->output,
                   "The run directory (if left out, output in the configuration)")
      ->type_name("DIR");
  add_device_option(*verb, options->device, "training.device");
  add_threads_option(*verb, options->threads);
  verb->add_flag("--debug-nan", options->debug_nan,
                 "Look for the operation that made a NaN first (slower)");
  verb->add_flag("--profile", options->profile,
                 "Tell where the time of some steps goes, and write it to trace.json in the run "
                 "directory, for a viewer such as https://ui.perfetto.dev");
  verb->callback([options] { train(*options); });
}

}  // namespace dragoman
