// The program `dragoman`. Each verb is a file beside this one.
#include <fcntl.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
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
#include "cli/output.h"
#include "cli/report.h"
#include "cli/score.h"
#include "cli/train.h"
#include "cli/translate.h"
#include "core/check.h"
#include "core/log.h"
#include "core/spelling.h"
#include "tensor/cpu/threads.h"

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
    "'dragoman VERB --help' tells more of each. The exit code is 0, 1 after a failure, 2 after "
    "wrong usage or, in\na shell, 128 and the number of the signal that ended it.";

// The names of what a verb, or the program, may be given: verbs, or options.
std::vector<std::string> names_of(const CLI::App* verb, bool options) {
  std::vector<std::string> names;
  if (options) {
    for (const CLI::Option* option : verb->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  } else {
    for (const CLI::App* one : verb->get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(one->get_name());
  }
  return names;
}

// What the parser objects to, and where to look.
std::string usage_error(const CLI::App* program, const CLI::Error& error) {
  const CLI::App* verb = program;  // as far as it was understood
  std::string path;
  while (!verb->get_subcommands().empty()) {
    verb = verb->get_subcommands().front();
    path += verb->get_name() + " ";
  }
  std::string message = error.what();
  const std::vector<std::string> unknown = program->remaining(/*recurse=*/true);
  const auto is = [&](CLI::ExitCodes code) {
    return error.get_exit_code() == static_cast<int>(code);
  };
  // What is missing may be there, misspelt.
  if (!unknown.empty() && (is(CLI::ExitCodes::ExtrasError) || is(CLI::ExitCodes::RequiredError))) {
    const bool option = unknown.front().starts_with("-");
    const bool names_verb = !option && !names_of(verb, false).empty();
    message =
        fmt::format("unknown {}: {}", names_verb ? "verb" : "argument", fmt::join(unknown, " "));
    const std::string meant = similar_name(unknown.front(), names_of(verb, !names_verb));
    if (!meant.empty()) message += fmt::format("; did you mean {}?", meant);
  }
  return fmt::format("error: {}\n'dragoman {}--help' shows what there is.\n", message, path);
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

// Where a shell has closed one of them, a file that is opened would take its number, and get what
// is printed. They are filled so that their use fails.
void fill_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const int mode = descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) ::open("/dev/null", mode);
  }
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
    if (app.exit(error) != 0) return kWrongUsage;
    Output("").finish();  // help that could not be written is an error
    return 0;
  }
  if (!app.get_subcommands().empty()) return 0;
  std::cerr << app.help();
  return kWrongUsage;
}

}  // namespace
}  // namespace dragoman

int main(int argc, char** argv) {
  dragoman::fill_standard_descriptors();
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is told as a full disk is
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
