#include "cli/translate.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/decoding_options.h"
#include "cli/machine_options.h"
#include "cli/output.h"
#include "cli/whole_number.h"
#include "core/progress.h"
#include "data/text.h"
#include "decode/alignment.h"
#include "decode/translator.h"
#include "models/model_file.h"

namespace dragoman {
namespace {

// Lines of like length are translated together, and this many give batches enough of them.
constexpr int64_t kWindow = 4096;

struct TranslateOptions {
  std::string model;
  std::string device = "auto";
  std::string input;   // empty: standard input
  std::string output;  // empty: standard output
  std::string alignments;
  std::string alignment_format = "soft";
  int64_t window = 0;  // 0: 1 on a terminal, else kWindow
  DecodingSettings settings;
};

// The next lines, at most `window`.
std::vector<std::string> read_window(LineReader& reader, int64_t window) {
  std::vector<std::string> lines;
  for (std::string line; std::ssize(lines) < window && reader.next(line);) lines.push_back(line);
  return lines;
}

std::string soft_alignment(const Translation& translation, const Candidate& candidate) {
  nlohmann::ordered_json weights = nlohmann::ordered_json::array();
  for (const std::vector<real>& row : candidate.attention) {
    nlohmann::ordered_json& numbers = weights.emplace_back(nlohmann::ordered_json::array());
    for (const real weight : row) numbers.push_back(std::round(1e6 * weight) / 1e6);
  }
  return nlohmann::ordered_json{
      {"source", translation.source}, {"target", candidate.pieces}, {"weights", std::move(weights)}}
      .dump();
}

std::string pharaoh_alignment(const Translation& translation, const Candidate& candidate) {
  std::string text;
  for (const auto& [source, target] :
       hard_alignment(translation.source, candidate.pieces, candidate.attention))
    text += fmt::format("{}{}-{}", text.empty() ? "" : " ", source, target);
  return text;
}

// Writes translations, and alignments if there is a place for them.
class Writer {
 public:
  Writer(const TranslateOptions& options, bool n_best)
      : n_best_(n_best), soft_(options.alignment_format == "soft"), text_(options.output) {
    if (!options.alignments.empty()) alignments_.emplace(options.alignments);
  }

  void write(const Translation& translation) {
    for (const Candidate& candidate : translation.candidates) {
      if (n_best_) {
        text_.stream() << fmt::format("{} ||| {} ||| {:.4f}\n", line_, candidate.text,
                                      candidate.score);
      } else {
        text_.stream() << candidate.text << '\n';
      }
      if (alignments_) {
        alignments_->stream() << (soft_ ? soft_alignment(translation, candidate)
                                        : pharaoh_alignment(translation, candidate))
                              << '\n';
      }
    }
    ++line_;
  }

  /// Those of the input that are translated.
  int64_t lines() const { return line_; }

  void flush() {
    text_.flush();
    if (alignments_) alignments_->flush();
  }

  void finish() {
    text_.finish();
    if (alignments_) alignments_->finish();
  }

 private:
  bool n_best_;
  bool soft_;
  Output text_;
  std::optional<Output> alignments_;
  int64_t line_ = 0;
};

void translate(const TranslateOptions& options) {
  keep_apart({{"--output", options.output}, {"--alignments", options.alignments}},
             {{"--input", options.input}, {"MODEL", find_model(options.model).string()}});
  const LoadedModel loaded = load_model(options.model, find_device(options.device, "--device"));
  const DecodingConfig decoding =
      decoding_config(loaded.config, loaded.path.string(), options.settings);
  const Translator translator(*loaded.model, loaded.vocabularies, decoding,
                              !options.alignments.empty());
  const bool from_terminal = options.input.empty() && ::isatty(STDIN_FILENO) == 1;
  const int64_t window = options.window > 0 ? options.window : from_terminal ? 1 : kWindow;
  LineReader reader =
      options.input.empty() ? LineReader::standard_input() : LineReader(options.input);
  // What is wrong with a file comes to light here, and not after hours.
  LineProgress progress("translated", options.input.empty() ? 0 : count_lines(options.input));
  Writer writer(options, decoding.n_best > 1);
  while (true) {
    const std::vector<std::string> lines = read_window(reader, window);
    if (lines.empty()) break;
    const auto translations = translator.translate(lines, [&](int64_t done) {
      if (!from_terminal) progress.update(writer.lines() + done);
      return false;
    });
    progress.finish();  // the translations may be written to the same terminal
    for (const Translation& translation : *translations) writer.write(translation);
    writer.flush();
  }
  writer.finish();
}

constexpr const char* kFooter =
    "Examples:\n"
    "  dragoman translate runs/my-model < source.en > translation.de\n"
    "  dragoman translate runs/my-model --input source.en.gz --output translation.de\n"
    "  dragoman translate runs/my-model --beam-size 10 --n-best 10 --input source.en\n"
    "  dragoman translate runs/my-model/last.h5 --alignments words.txt --alignment-format hard\n\n"
    "Every line of the input, blank ones included, gives one line of output. With --n-best it "
    "gives\nseveral, best first, of the form 'INDEX ||| TRANSLATION ||| SCORE', the index being "
    "that of the input\nline, counted from 0. The score is log p / length^A + B log coverage, with "
    "the length in pieces, the\nend of the sentence counted, A the length penalty and B the "
    "coverage penalty.\n\n"
    "Alignments come a line for each line of output. soft: JSON with the pieces of 'source' and "
    "'target',\nthe end of the sentence among them, and 'weights', a row for each target piece "
    "with its attention to\nevery source piece. hard: pairs I-J of words, as spaces divide them, "
    "counted from 0: a piece of the\ntarget's word J attends most to a piece of the source's word "
    "I.";

}  // namespace

void add_translate(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("translate", "Translate text, line by line");
  verb->footer(kFooter);
  auto options = std::make_shared<TranslateOptions>();
  verb->add_option("MODEL", options->model, "A run directory (its best checkpoint) or a checkpoint")
      ->required()
      ->type_name("PATH");
  verb->add_option("-i,--input", options->input,
                   "Text to translate, plain or gzip (standard input if left out)")
      ->type_name("FILE");
  verb->add_option("-o,--output", options->output,
                   "Where translations go (standard output if left out)")
      ->type_name("FILE");
  CLI::Option* alignments =
      verb->add_option("--alignments", options->alignments,
                       "Write what each word was translated from, by the model's attention")
          ->type_name("FILE");
  verb->add_option("--alignment-format", options->alignment_format,
                   "soft: a matrix of weights as JSON; hard: pairs of words")
      ->check(CLI::IsMember({"soft", "hard"}))
      ->needs(alignments)
      ->type_name("NAME")
      ->capture_default_str();
  verb->add_option("--window", options->window,
                   "Lines read before they are translated together: many are faster, 1 answers "
                   "each at once (1 on a terminal, else 4096)")
      ->check(whole_number_from(1))
      ->type_name("N");
  add_device_option(*verb, options->device, "auto");
  add_threads_option(*verb);
  options->settings = add_decoding_options(*verb);
  verb->callback([options] { translate(*options); });
}

}  // namespace dragoman
