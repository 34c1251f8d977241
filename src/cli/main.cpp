// The program `dragoman`. Each verb is a file beside this one.
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "cli/average.h"
#include "cli/bench.h"
#include "cli/compare.h"
#include "cli/config.h"
#include "cli/evaluate.h"
#include "cli/inspect.h"
#include "cli/metrics.h"
#include "cli/report.h"
#include "cli/score.h"
#include "cli/train.h"
#include "cli/translate.h"
#include "core/check.h"
#include "core/log.h"
#include "tensor/threads.h"

namespace dragoman {
namespace {

constexpr int kFailure = 1;
constexpr int kWrongUsage = 2;

constexpr const char* kFooter =
    "From a corpus to a translation:\n"
    "  dragoman config > my.yaml                       the settings and what they mean\n"
    "  dragoman train my.yaml --output runs/my-model   run it again to continue\n"
    "  dragoman translate runs/my-model < test.en      a line in, a line out\n"
    "  dragoman evaluate runs/my-model --source test.en --reference test.de\n\n"
    "'dragoman VERB --help' tells more of each. The exit code is 0, 1 after a failure or 2 after "
    "wrong usage.";

// What the parser objects to, and where to look.
std::string usage_error(const CLI::App* program, const CLI::Error& error) {
  const auto verbs = program->get_subcommands();
  std::string message = error.what();
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    message = fmt::format("unknown {}: {}", verbs.empty() ? "verb" : "argument",
                          fmt::join(program->remaining(/*recurse=*/true), " "));
  }
  return fmt::format("error: {}\n'dragoman {}--help' shows what there is.\n", message,
                     verbs.empty() ? "" : verbs.front()->get_name() + " ");
}

void describe(CLI::App& app) {
  app.name("dragoman");
  app.set_version_flag("--version", "dragoman " DRAGOMAN_VERSION);
  app.get_formatter()->column_width(32);
  app.get_formatter()->label("SUBCOMMAND", "VERB");
  app.failure_message(usage_error);
  app.footer(kFooter);
  add_train(app);
  add_translate(app);
  add_evaluate(app);
  add_metrics(app);
  add_score(app);
  add_average(app);
  add_inspect(app);
  add_compare(app);
  add_report(app);
  add_bench(app);
  add_config(app);
  for (CLI::App* verb : app.get_subcommands({})) verb->group("Verbs");
}

int run(std::vector<std::string> arguments) {
  CLI::App app("Dragoman trains translation models, translates with them and scores translations.");
  describe(app);
  if (!arguments.empty() && arguments.front() == "metrics")
    arguments = expand_short_options(std::move(arguments));
  std::ranges::reverse(arguments);  // as the parser wants them
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  if (!app.get_subcommands().empty()) return 0;
  std::cerr << app.help();
  return kWrongUsage;
}

}  // namespace
}  // namespace dragoman

int main(int argc, char** argv) {
  dragoman::wait_politely(argv);
  try {
    return dragoman::run({argv + 1, argv + argc});
  } catch (const dragoman::UsageError& error) {
    dragoman::log::error("{}", error.what());
    return dragoman::kWrongUsage;
  } catch (const std::exception& error) {
    dragoman::log::error("{}", error.what());
    return dragoman::kFailure;
  }
}
