#include "cli/score.h"

#include <memory>
#include <string>
#include <vector>

#include "cli/machine_options.h"
#include "cli/output.h"
#include "core/progress.h"
#include "data/text.h"
#include "decode/scoring.h"
#include "models/model_file.h"

namespace dragoman {
namespace {

constexpr int64_t kWindow = 4096;  // pairs read and scored together

struct ScoreOptions {
  std::string model;
  std::string device = "auto";
  CorpusFiles files;
  std::string output;  // empty: standard output
  bool normalize = false;
};

ParallelText read_window(ParallelReader& reader) {
  ParallelText text;
  for (std::string source, target; std::ssize(text.source) < kWindow;) {
    if (!reader.next(source, target)) break;
    text.source.push_back(source);
    text.target.push_back(target);
  }
  return text;
}

void score(const ScoreOptions& options) {
  keep_apart({{"--output", options.output}}, {{"--source", options.files.source},
                                              {"--target", options.files.target},
                                              {"MODEL", find_model(options.model).string()}});
  const LoadedModel loaded = load_model(options.model, find_device(options.device, "--device"));
  ParallelReader reader(options.files);
  LineProgress progress("scored", count_lines(options.files.source));
  Output output(options.output);
  for (int64_t line = 1;;) {
    const ParallelText text = read_window(reader);
    if (text.source.empty()) break;
    const std::vector<PairScore> pairs =
        score_pairs(*loaded.model, loaded.vocabularies, text.source, text.target, line);
    progress.finish();  // the scores may be written to the same terminal
    for (const PairScore& pair : pairs) {
      const double divisor = options.normalize ? static_cast<double>(pair.tokens) : 1;
      output.stream() << fmt::format("{:.4f}\n", pair.log_probability / divisor);
    }
    output.flush();
    line += std::ssize(text.source);
    progress.update(line - 1);
  }
  output.finish();
}

}  // namespace

void add_score(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("score", "Say how probable a model finds translations");
  verb->footer(
      "Examples:\n"
      "  dragoman score runs/my-model --source test.en --target test.de\n"
      "  dragoman score runs/my-model --source test.en --target test.de --normalize\n\n"
      "Prints a line for each pair of lines: the natural logarithm of the probability of the "
      "target and its\nend, given the source. Its exponential, negated and normalised, is the "
      "perplexity of a piece.");
  auto options = std::make_shared<ScoreOptions>();
  verb->add_option("MODEL", options->model, "A run directory (its best checkpoint) or a checkpoint")
      ->required()
      ->type_name("PATH");
  verb->add_option("-s,--source", options->files.source, "Source text, plain or gzip")
      ->required()
      ->type_name("FILE");
  verb->add_option("-t,--target", options->files.target,
                   "Its translation, line by line, plain or gzip")
      ->required()
      ->type_name("FILE");
  verb->add_option("-o,--output", options->output, "Where scores go (standard output if left out)")
      ->type_name("FILE");
  verb->add_flag("--normalize", options->normalize,
                 "Divide by the number of target pieces, the end of the sentence counted");
  add_device_option(*verb, options->device, "auto");
  add_threads_option(*verb);
  verb->callback([options] { score(*options); });
}

}  // namespace dragoman
