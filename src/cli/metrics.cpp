#include "cli/metrics.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/check.h"
#include "core/log.h"
#include "data/text.h"

namespace dragoman {
namespace {

std::vector<std::string> rest_of(LineReader reader) {
  std::vector<std::string> lines;
  for (std::string line; reader.next(line);) lines.push_back(line);
  return lines;
}

/// Reads a file of references that has to match `hypotheses` line for line.
std::vector<std::string> read_references(const std::string& path, const std::string& input_name,
                                         size_t hypotheses) {
  std::vector<std::string> lines = read_lines(path);
  check(
      lines.size() == hypotheses,
      "{} has {} lines and the hypotheses in {} have {}: line n of one must translate what line n "
      "of the other does; check that no line was lost or split",
      path, lines.size(), input_name, hypotheses);
  return lines;
}

/// Scores are defined on text as people write it. Tokenised output scores differently, and it
/// shows.
void warn_if_tokenized(const std::vector<std::string>& hypotheses) {
  constexpr int kSuspicious = 100;
  const auto tokenized =
      std::count_if(hypotheses.begin(), hypotheses.end(),
                    [](const std::string& line) { return line.ends_with(" ."); });
  if (tokenized < kSuspicious) return;
  log::warn(
      "{} hypotheses end in a full stop after a space, so they seem to be tokenised; BLEU is "
      "comparable on detokenised text only (--force silences this warning)",
      tokenized);
}

std::string sentence_report(const MetricsOptions& options, const Bleu& bleu,
                            const std::vector<BleuStatistics>& segments) {
  const Signature signature = bleu.signature(options.references.size());
  std::string report;
  for (const BleuStatistics& segment : segments) {
    const BleuScore score = bleu.score(segment);
    if (options.score_only) {
      report += score.number(options.width);
    } else if (options.format == "json") {
      report += score_json(score, signature, options.width).dump();
    } else {
      report += score.line(options.width, signature);
    }
    report += '\n';
  }
  return report;
}

std::string corpus_report(const MetricsOptions& options, const Bleu& bleu,
                          const std::vector<BleuStatistics>& segments) {
  const Signature signature = bleu.signature(options.references.size());
  BleuStatistics sum;
  for (const BleuStatistics& segment : segments) sum += segment;
  const BleuScore score = bleu.score(sum);
  if (options.score_only) return score.number(options.width) + '\n';
  if (options.format == "json") return score_json(score, signature, options.width).dump(1) + '\n';
  return score.line(options.width, signature) + '\n';
}

void add_files(CLI::App& verb, MetricsOptions& options) {
  verb.add_option("REFERENCE", options.references,
                  "Reference translations, one a line; several files give several references for "
                  "each line. Plain text or gzip.")
      ->required()
      ->type_name("FILE");
  verb.add_option("-i,--input", options.input,
                  "The translations to score, one a line (standard input if left out)")
      ->type_name("FILE");
}

void add_metric_options(CLI::App& verb, MetricsOptions& options) {
  const std::string group = "What is computed";
  verb.add_option("-m,--metrics", options.metric, "The metric")
      ->check(CLI::IsMember({"bleu"}))
      ->capture_default_str()
      ->group(group);
  verb.add_option("--tokenize,--tok", options.bleu.tokenizer,
                  "How lines become words: 13a splits off punctuation as at WMT, char takes single "
                  "characters, none splits at spaces only")
      ->check(CLI::IsMember(tokenizer_names()))
      ->type_name("NAME")
      ->capture_default_str()
      ->group(group);
  verb.add_flag("--lowercase,--lc", options.bleu.lowercase, "Compare without regard to case")
      ->group(group);
  verb.add_option_function<std::string>(
          "-s,--smooth-method",
          [&options](const std::string& name) { options.bleu.smoothing = find_smoothing(name); },
          "What is done about n-gram lengths without a match: exp (each counts half of the one "
          "before), floor, add-k or none")
      ->check(CLI::IsMember(smoothing_names()))
      ->type_name("NAME")
      ->default_str("exp")
      ->group(group);
  verb.add_option("--smooth-value", options.bleu.smooth_value,
                  "The value that floor (0.1 by default) and add-k (1 by default) use")
      ->type_name("NUMBER")
      ->group(group);
  verb.add_flag("--sentence-level", options.sentence_level,
                "Score each line by itself and print a line for each; n-gram lengths that a "
                "sentence is too short for are left out (effective order)")
      ->group(group);
  verb.add_flag("--force", options.force, "Do not warn about translations that look tokenised")
      ->group(group);
}

void add_output_options(CLI::App& verb, MetricsOptions& options) {
  const std::string group = "How it is printed";
  auto* format = verb.add_option("-f,--format", options.format, "The form of the result")
                     ->check(CLI::IsMember({"text", "json"}))
                     ->type_name("NAME")
                     ->capture_default_str()
                     ->group(group);
  verb.add_flag_callback(
          "--json", [&options] { options.format = "json"; },
          "The same as --format json, with the keys that sacrebleu uses")
      ->excludes(format)
      ->group(group);
  verb.add_option("-w,--width", options.width, "Decimals of the score")
      ->check(CLI::Range(0, 15))
      ->type_name("N")
      ->capture_default_str()
      ->group(group);
  verb.add_flag("-b,--score-only", options.score_only, "Print the number alone")->group(group);
}

}  // namespace

nlohmann::ordered_json score_json(const Score& score, const Signature& signature, int width) {
  nlohmann::ordered_json json{{"name", score.name},
                              {"score", std::stod(score.number(width))},
                              {"signature", to_string(signature)},
                              {"verbose_score", score.details}};
  for (const auto& [name, value] : signature) json[name] = value;
  return json;
}

std::string metrics_report(const MetricsOptions& options, std::istream& standard_input) {
  BleuOptions bleu_options = options.bleu;
  bleu_options.effective_order = options.sentence_level;
  const Bleu bleu(std::move(bleu_options));

  const std::string input_name = options.input.empty() ? "standard input" : options.input;
  const std::vector<std::string> hypotheses = rest_of(
      options.input.empty() ? LineReader(standard_input, input_name) : LineReader(options.input));
  check(!hypotheses.empty(), "{} has no line, so there is nothing to score", input_name);
  if (!options.force) warn_if_tokenized(hypotheses);
  std::vector<std::vector<std::string>> references;
  for (const std::string& path : options.references) {
    references.push_back(read_references(path, input_name, hypotheses.size()));
  }

  const std::vector<BleuStatistics> segments = bleu.segments(hypotheses, references);
  return options.sentence_level ? sentence_report(options, bleu, segments)
                                : corpus_report(options, bleu, segments);
}

std::vector<std::string> expand_short_options(std::vector<std::string> arguments) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kLongForms{{
      {"-tok", "--tokenize"},
      {"-lc", "--lowercase"},
      {"-sl", "--sentence-level"},
      {"-sv", "--smooth-value"},
  }};
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    for (const auto& [short_form, long_form] : kLongForms) {
      if (argument == short_form) argument = long_form;
    }
  }
  return arguments;
}

void add_metrics(CLI::App& app) {
  CLI::App* verb = app.add_subcommand(
      "metrics", "Score translations against references (BLEU, as sacrebleu computes it)");
  verb->footer(
      "Examples:\n"
      "  dragoman metrics reference.de --input output.de\n"
      "  dragoman translate runs/my-model < source.en | dragoman metrics reference.de\n"
      "  dragoman metrics reference.1.de reference.2.de --input output.de --json\n\n"
      "Give detokenised text: the metric tokenises both sides itself. The first part of the result "
      "is its\nsignature, which says how the score was computed; publish it with the score. Then "
      "follow the score,\nthe share of words, pairs, triples and quadruples found in a reference, "
      "the brevity penalty BP for\noutput that is too short, and the lengths in words.");
  auto options = std::make_shared<MetricsOptions>();
  add_files(*verb, *options);
  add_metric_options(*verb, *options);
  add_output_options(*verb, *options);
  verb->callback([options] {
    std::cout << metrics_report(*options, std::cin) << std::flush;
    check(std::cout.good(), "the result could not be written to standard output");
  });
}

}  // namespace dragoman
