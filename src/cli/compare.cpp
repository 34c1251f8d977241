#include "cli/compare.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/config.h"
#include "cli/machine_options.h"
#include "config/study.h"
#include "run/stop_signals.h"
#include "study/study.h"

namespace dragoman {
namespace {

struct CompareOptions {
  std::string study;
  std::vector<std::string> sets;
  std::optional<std::string> output;
  std::string device;
};

void compare(const CompareOptions& options) {
  StudyConfig study = load_study(options.study, options.sets);
  if (options.output) study.output = *options.output;
  if (!options.device.empty()) {
    for (StudySystem& system : study.systems) system.config.training.device = options.device;
  }
  if (!run_study(study)) StopSignals::end_process();
}

// The keys of a study with what they mean, from its list of fields.
class KeyLister {
 public:
  template <class T, class... Given>
  void operator()(const char* name, const T& field, const char* doc, const Given&... given) {
    const std::string allowed = facts_of(field, given...).rule.text();
    text_ += fmt::format("  {:<18}{}{}\n", prefix_ + name, doc,
                         allowed.empty() ? "" : " (" + allowed + ")");
  }
  template <class Section>
  void section(const char* name, Section& section, const char*) {
    prefix_ = std::string(name) + ".";
    section.fields(*this);
    prefix_.clear();
  }
  const std::string& text() const { return text_; }

 private:
  std::string prefix_;
  std::string text_;
};

constexpr const char* kExample =
    "A study:\n"
    "  name: Attention\n"
    "  base: quickstart.yaml            # beside the study's file\n"
    "  seeds: [1, 2, 3]\n"
    "  tests: [test]\n"
    "  budget: {minutes: 5}             # of each of the 6 runs\n"
    "  settings:                        # of all systems, over the base\n"
    "    training.batch_tokens: 2000\n"
    "  systems:                         # what each has of its own; config: FILE replaces the "
    "base\n"
    "    transformer: {}\n"
    "    gru: {model.encoder.type: gru, model.decoder.type: gru}\n\n"
    "Its keys, besides settings and systems:\n";

constexpr const char* kFooter =
    "\nThe study's directory gets a run directory for each system and seed, runs/SYSTEM/seed-N, "
    "and "
    "report/\nwith index.html (one file: table, learning curves, BLEU by source length, attention, "
    "translations),\nlength-TEST.svg (BLEU by source length), results.json, results.csv, table.md "
    "and "
    "table.tex.\n\n"
    "Ctrl-C ends it with everything saved. The same command goes on: runs that have ended are not "
    "trained\nagain, and what was translated is kept. --set takes keys of the study, settings.KEY "
    "and systems.NAME.KEY:\n"
    "  dragoman compare study.yaml --set budget.minutes=1 --set settings.data.directory=corpora";

}  // namespace

void add_compare(CLI::App& app) {
  CLI::App* verb =
      app.add_subcommand("compare", "Train the systems of a study and report how they compare");
  KeyLister keys;
  StudyConfig().fields(keys);
  verb->footer(kExample + keys.text() + kFooter);
  auto options = std::make_shared<CompareOptions>();
  verb->add_option("STUDY", options->study, "A YAML file that names systems, seeds and tests")
      ->required()
      ->type_name("FILE");
  add_set_option(*verb, options->sets);
  verb->add_option("-o,--output", options->output,
                   "The study's directory (if left out, output in the study)")
      ->type_name("DIR");
  add_device_option(*verb, options->device, "training.device of each system");
  verb->callback([options] { compare(*options); });
}

}  // namespace dragoman
