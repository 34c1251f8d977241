#include "cli/metrics.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "cli/machine_options.h"
#include "cli/output.h"
#include "core/check.h"
#include "core/log.h"
#include "data/text.h"
#include "eval/unicode.h"
#include "tensor/cpu/threads.h"

namespace dragoman {
namespace {

constexpr int kResamples = 1000;  // where the user does not say

/// The lines without white space at their ends.
std::vector<std::string> rest_of(LineReader reader) {
  std::vector<std::string> lines;
  for (std::string line; reader.next(line);) lines.emplace_back(strip_right(line));
  return lines;
}

/// What is scored.
struct Texts {
  std::vector<std::string> names;                    ///< of the systems
  std::vector<std::vector<std::string>> systems;     ///< [system][segment]
  std::vector<std::vector<std::string>> references;  ///< [reference set][segment]
};

/// Adds a system. The baseline may be given again, as `--input a.txt *.txt` does.
void add_system(Texts& texts, const std::string& name, LineReader reader, bool paired) {
  if (std::ranges::count(texts.names, name) > 0) {
    if (paired && name == texts.names.front()) return;
    fail_usage("{} is given twice with --input", name);
  }
  texts.names.push_back(name);
  texts.systems.push_back(rest_of(std::move(reader)));
  const auto& first = texts.systems.front();
  check(!first.empty(), "{} has no line, so there is nothing to score", name);
  check(texts.systems.back().size() == first.size(),
        "{} has {} lines and {} has {}: line n of both must translate the same line", name,
        texts.systems.back().size(), texts.names.front(), first.size());
}

Texts read_texts(const MetricsOptions& options) {
  Texts texts;
  for (const std::string& path : options.inputs)
    add_system(texts, path, LineReader(path), !options.paired.empty());
  if (options.inputs.empty()) {
    LineReader input = LineReader::standard_input();
    const std::string name = input.name();
    add_system(texts, name, std::move(input), false);
  }
  const size_t segments = texts.systems.front().size();
  for (const std::string& path : options.references) {
    texts.references.push_back(rest_of(LineReader(path)));
    check(texts.references.back().size() == segments,
          "{} has {} lines and the hypotheses in {} have {}: line n of one must translate what "
          "line n of the other does; check that no line was lost or split",
          path, texts.references.back().size(), texts.names.front(), segments);
  }
  return texts;
}

/// Scores are defined on text as people write it. Tokenised output scores differently, and it
/// shows.
void warn_if_tokenized(const std::string& name, const std::vector<std::string>& hypotheses) {
  constexpr int kSuspicious = 100;
  const auto tokenized =
      std::count_if(hypotheses.begin(), hypotheses.end(),
                    [](const std::string& line) { return line.ends_with(" ."); });
  if (tokenized < kSuspicious) return;
  log::warn(
      "{} hypotheses in {} end in a full stop after a space, so they seem to be tokenised; BLEU is "
      "comparable on detokenised text only (--force silences this warning)",
      tokenized, name);
}

Sampling sampling_of(const MetricsOptions& options) {
  Sampling sampling;
  sampling.seed = options.seed;
  sampling.threads = thread_count();
  const bool bootstrap = options.paired == "bs";
  const bool randomization = options.paired == "ar";
  if (options.paired_bs_n && !bootstrap) fail_usage("--paired-bs-n is for --paired bs only");
  if (options.paired_ar_n && !randomization) fail_usage("--paired-ar-n is for --paired ar only");
  if (options.confidence && bootstrap)
    fail_usage("--paired bs gives confidence intervals anyway; leave --confidence out");
  if (bootstrap) {
    sampling.test = PairedTest::kBootstrap;
    sampling.resamples = options.paired_bs_n.value_or(kResamples);
  }
  if (randomization) {
    sampling.test = PairedTest::kRandomization;
    sampling.trials = options.paired_ar_n.value_or(sampling.trials);
  }
  if (options.confidence) sampling.resamples = options.confidence_n.value_or(kResamples);
  return sampling;
}

void check_usage(const MetricsOptions& options, const Sampling& sampling, size_t systems,
                 size_t metrics) {
  if (sampling.test != PairedTest::kNone && systems < 2)
    fail_usage("a paired test compares systems: give several with --input, the baseline first");
  if (!options.sentence_level) return;
  if (systems > 1) fail_usage("--sentence-level scores one system; {} are given", systems);
  if (metrics > 1) fail_usage("--sentence-level takes one metric; {} are given", metrics);
  if (sampling.resamples > 0) fail_usage("--sentence-level has no confidence intervals");
}

std::string sentence_report(const Metric& metric, const Texts& texts, const Sampling& sampling,
                            const ReportFormat& format) {
  const Signature signature = metric.signature(texts.references.size());
  const SampleScore score = metric.read(texts.systems, texts.references, sampling.threads);
  std::string report;
  for (uint32_t i = 0; i < texts.systems.front().size(); ++i)
    report += sentence_line(score(std::array{i}), signature, format);
  return report;
}

void add_files(CLI::App& verb, MetricsOptions& options) {
  verb.add_option("REFERENCE", options.references,
                  "Reference translations, one a line; several files give several references for "
                  "each line. They come first. Plain text or gzip.")
      ->required()
      ->type_name("FILE");
  verb.add_option("-i,--input", options.inputs,
                  "The translations to score, one a line (standard input if left out); several "
                  "files, or --input several times, are several systems")
      ->type_name("FILE");
}

void add_metric_options(CLI::App& verb, MetricsOptions& options) {
  const std::string group = "What is computed";
  add_metric_names(verb, options.metrics)->group(group);
  verb.add_flag("--sentence-level", options.sentence_level,
                "Score each line by itself and print a line for each; BLEU then leaves out n-gram "
                "lengths that a sentence is too short for (effective order)")
      ->group(group);
  add_threads_option(verb);
}

void add_bleu_options(CLI::App& verb, MetricsOptions& options) {
  const std::string group = "BLEU";
  BleuOptions& bleu = options.settings.bleu;
  verb.add_option("--tokenize,--tok", bleu.tokenizer,
                  "How lines become words: 13a splits off punctuation as at WMT, intl does so in "
                  "any script, zh takes single Chinese characters, char single characters, none "
                  "splits at spaces only")
      ->check(CLI::IsMember(tokenizer_names()))
      ->type_name("NAME")
      ->capture_default_str()
      ->group(group);
  verb.add_flag("--lowercase,--lc", bleu.lowercase, "Compare without regard to case")->group(group);
  verb.add_option_function<std::string>(
          "-s,--smooth-method",
          [&bleu](const std::string& name) { bleu.smoothing = find_smoothing(name); },
          "What is done about n-gram lengths without a match: exp (each counts half of the one "
          "before), floor, add-k or none")
      ->check(CLI::IsMember(smoothing_names()))
      ->type_name("NAME")
      ->default_str("exp")
      ->group(group);
  verb.add_option("--smooth-value", bleu.smooth_value,
                  "The value that floor (0.1 by default) and add-k (1 by default) use")
      ->type_name("NUMBER")
      ->group(group);
  verb.add_option("--max-ngram-order", bleu.max_ngram_order, "The longest n-grams")
      ->check(CLI::Range(1, 100))
      ->type_name("N")
      ->capture_default_str()
      ->group(group);
  verb.add_flag("--force", options.force, "Do not warn about translations that look tokenised")
      ->group(group);
}

void add_chrf_options(CLI::App& verb, ChrfOptions& chrf) {
  const std::string group = "chrF";
  const auto add_number = [&](const char* name, int& value, const char* doc) {
    verb.add_option(name, value, doc)
        ->check(CLI::Range(0, 100))
        ->type_name("N")
        ->capture_default_str()
        ->group(group);
  };
  add_number("--chrf-char-order", chrf.char_order, "The longest character n-grams");
  add_number("--chrf-word-order", chrf.word_order, "The longest word n-grams; 2 makes it chrF++");
  add_number("--chrf-beta", chrf.beta, "How much more recall counts than precision");
  verb.add_flag("--chrf-whitespace", chrf.whitespace, "White space counts as characters")
      ->group(group);
  verb.add_flag("--chrf-lowercase", chrf.lowercase, "Compare without regard to case")->group(group);
  verb.add_flag("--chrf-eps-smoothing", chrf.eps_smoothing,
                "Average the F-scores of all n-gram lengths, as chrF++.py, NLTK and Moses do")
      ->group(group);
}

void add_ter_options(CLI::App& verb, TercomOptions& ter) {
  const std::string group = "TER";
  verb.add_flag("--ter-case-sensitive", ter.case_sensitive, "Compare with regard to case")
      ->group(group);
  verb.add_flag("--ter-normalized", ter.normalized, "Split punctuation from words")->group(group);
  verb.add_flag("--ter-no-punct", ter.no_punct, "Leave punctuation out")->group(group);
  verb.add_flag("--ter-asian-support", ter.asian_support,
                "Do these two for Chinese and Japanese as well, and split Chinese characters")
      ->group(group);
}

void add_sampling_options(CLI::App& verb, MetricsOptions& options) {
  const std::string group = "How far to trust it";
  const auto add_count = [&](const char* name, std::optional<int>& value, const std::string& doc) {
    return verb.add_option(name, value, doc)
        ->check(CLI::Range(1, 10000000))
        ->type_name("N")
        ->group(group);
  };
  verb.add_option("--paired", options.paired,
                  "Test whether each system differs from the first one: bs (paired bootstrap "
                  "resampling, with confidence intervals) or ar (approximate randomisation); "
                  "--paired-bs and --paired-ar say the same")
      ->check(CLI::IsMember({"bs", "ar"}))
      ->type_name("NAME")
      ->group(group);
  add_count("--paired-bs-n", options.paired_bs_n, "Resamples for --paired bs [1000]");
  add_count("--paired-ar-n", options.paired_ar_n, "Trials for --paired ar [10000]");
  auto* confidence = verb.add_flag("--confidence", options.confidence,
                                   "95 % confidence intervals by bootstrap resampling")
                         ->group(group);
  add_count("--confidence-n", options.confidence_n, "Resamples for --confidence [1000]")
      ->needs(confidence);
  verb.add_option("--seed", options.seed, "Of the random samples; the same seed, the same result")
      ->type_name("N")
      ->capture_default_str()
      ->group(group);
}

void add_output_options(CLI::App& verb, ReportFormat& format) {
  const std::string group = "How it is printed";
  auto* option =
      verb.add_option_function<std::string>(
              "-f,--format", [&format](const std::string& name) { format.json = name == "json"; },
              "The form of the result")
          ->check(CLI::IsMember({"text", "json"}))
          ->type_name("NAME")
          ->default_str("text")
          ->group(group);
  verb.add_flag("--json", format.json,
                "The same as --format json, with the keys that sacrebleu uses")
      ->excludes(option)
      ->group(group);
  verb.add_option("-w,--width", format.width, "Decimals of the score")
      ->check(CLI::Range(0, 15))
      ->type_name("N")
      ->capture_default_str()
      ->group(group);
  verb.add_flag("-b,--score-only", format.score_only, "Print the number alone")->group(group);
}

constexpr const char* kFooter =
    "Examples:\n"
    "  dragoman metrics reference.de --input output.de\n"
    "  dragoman translate runs/my-model < source.en | dragoman metrics reference.de\n"
    "  dragoman metrics reference.1.de reference.2.de --input output.de --json\n"
    "  dragoman metrics reference.de --input output.de --metrics chrf --chrf-word-order 2\n"
    "  dragoman metrics reference.de --input baseline.de mine.de --metrics bleu chrf ter "
    "--paired bs\n\n"
    "Give detokenised text: the metrics tokenise both sides themselves. The first part of a result "
    "is its\nsignature, which says how the score was computed; publish it with the score. For BLEU "
    "follow the score,\nthe share of words, pairs, triples and quadruples found in a reference, "
    "the brevity penalty BP for\noutput that is too short, and the lengths in words. BLEU and chrF "
    "go up to 100; TER is an error rate.";

}  // namespace

std::string metrics_report(const MetricsOptions& options) {
  const Sampling sampling = sampling_of(options);
  MetricOptions settings = options.settings;
  settings.bleu.effective_order = options.sentence_level;
  const std::vector<Metric> metrics = find_metrics(options.metrics, settings);
  Texts texts = read_texts(options);
  check_usage(options, sampling, texts.systems.size(), metrics.size());
  if (!options.force && std::ranges::count(options.metrics, "bleu") > 0) {
    for (size_t i = 0; i < texts.systems.size(); ++i)
      warn_if_tokenized(texts.names[i], texts.systems[i]);
  }
  if (options.sentence_level)
    return sentence_report(metrics.front(), texts, sampling, options.format);

  std::vector<MetricResult> results;
  for (const Metric& metric : metrics) {
    results.push_back({with_sampling(metric.signature(texts.references.size()), sampling),
                       compare_systems(metric, texts.systems, texts.references, sampling)});
  }
  if (texts.systems.size() == 1) return system_report(results, options.format);
  if (sampling.test != PairedTest::kNone) texts.names[0] = "Baseline: " + texts.names[0];
  return systems_report(texts.names, results, sampling, options.format);
}

std::vector<std::string> expand_short_options(std::vector<std::string> arguments) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 16> kLongForms{{
      {"-tok", "--tokenize"},
      {"-lc", "--lowercase"},
      {"-sl", "--sentence-level"},
      {"-sv", "--smooth-value"},
      {"-cc", "--chrf-char-order"},
      {"-cw", "--chrf-word-order"},
      {"-ci", "--confidence"},
      {"-cin", "--confidence-n"},
      {"-pbs", "--paired=bs"},
      {"--paired-bs", "--paired=bs"},
      {"-pbsn", "--paired-bs-n"},
      {"-par", "--paired=ar"},
      {"--paired-ar", "--paired=ar"},
      {"-parn", "--paired-ar-n"},
      {"-j", "--threads"},
      {"--paired-jobs", "--threads"},
  }};
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    const auto* known =
        std::ranges::find(kLongForms, argument, [](const auto& row) { return row.first; });
    if (known != kLongForms.end()) argument = known->second;
  }
  return arguments;
}

CLI::Option* add_metric_names(CLI::App& verb, std::vector<std::string>& names) {
  return verb.add_option("-m,--metrics", names, "The metrics, one or more")
      ->check(CLI::IsMember(metric_names()))
      ->type_name("NAME")
      ->capture_default_str();
}

std::vector<Metric> find_metrics(const std::vector<std::string>& names,
                                 const MetricOptions& options) {
  std::vector<Metric> metrics;
  for (const std::string& name : metric_names()) {
    if (std::ranges::count(names, name) > 0) metrics.push_back(find_metric(name, options));
  }
  return metrics;
}

void add_metrics(CLI::App& app) {
  CLI::App* verb = app.add_subcommand(
      "metrics",
      "Score translations against references (BLEU, chrF and TER, as sacrebleu computes them)");
  verb->footer(kFooter);
  auto options = std::make_shared<MetricsOptions>();
  add_files(*verb, *options);
  add_metric_options(*verb, *options);
  add_bleu_options(*verb, *options);
  add_chrf_options(*verb, options->settings.chrf);
  add_ter_options(*verb, options->settings.ter);
  add_sampling_options(*verb, *options);
  add_output_options(*verb, options->format);
  verb->callback([options] {
    Output output("");
    output.stream() << metrics_report(*options);
    output.finish();
  });
}

}  // namespace dragoman
