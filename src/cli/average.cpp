#include "cli/average.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/output.h"
#include "core/check.h"
#include "core/log.h"
#include "run/average.h"

namespace dragoman {
namespace {

struct AverageOptions {
  std::vector<std::filesystem::path> checkpoints;
  std::string output;
};

void average(const AverageOptions& options) {
  if (options.checkpoints.size() < 2) {
    fail_usage(
        "{}: one checkpoint has no mean: give several, such as RUN/step-*.h5, of which "
        "training.keep makes a run keep some",
        options.checkpoints[0].string());
  }
  std::vector<NamedFile> read;
  for (const std::filesystem::path& path : options.checkpoints)
    read.push_back({"CHECKPOINT", path.string()});
  keep_apart({{"--output", options.output}}, read);
  average_checkpoints(options.checkpoints, options.output);
  log::info("{}: the mean of {} checkpoints", options.output, options.checkpoints.size());
}

constexpr const char* kFooter =
    "Example:\n"
    "  dragoman average runs/my-model/step-*.h5 --output averaged.h5\n\n"
    "training.keep makes a run keep its newest checkpoints. The parameters averaged are those that "
    "a model\ntranslates with: the moving average where there is one (training.ema_decay). The "
    "result translates;\ntraining cannot be continued from it.";

}  // namespace

void add_average(CLI::App& app) {
  CLI::App* verb =
      app.add_subcommand("average", "Make one model of the mean of several checkpoints");
  verb->footer(kFooter);
  auto options = std::make_shared<AverageOptions>();
  verb->add_option("CHECKPOINT", options->checkpoints, "Checkpoints of one architecture")
      ->required()
      ->type_name("FILE");
  verb->add_option("-o,--output", options->output, "The checkpoint to write")
      ->required()
      ->type_name("FILE");
  verb->callback([options] { average(*options); });
}

}  // namespace dragoman
