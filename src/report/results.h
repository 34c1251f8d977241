// What a comparison measured, and the numbers that follow from it: the one structure that the page,
// results.json, results.csv and the tables are written from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dragoman {

/// A range that holds a number with a confidence of 95%.
struct ConfidenceInterval {
  double low = 0;
  double high = 0;
};

/// Mean and spread of one number over seeds.
struct Summary {
  std::vector<double> values;  ///< One a run, in the order of the seeds.
  double mean = 0;
  std::optional<double> deviation;  ///< The sample standard deviation; needs two runs.
};
/// The summary of at least one value.
Summary summarize(std::vector<double> values);
/// The summary of those that are there; nothing where one is missing.
std::optional<Summary> summarize_all(const std::vector<std::optional<double>>& values);

/// A point of a learning curve.
struct CurvePoint {
  int64_t step = 0;
  double minutes = 0;
  double value = 0;
};
using Curve = std::vector<CurvePoint>;

/// One run's translations of one test corpus.
struct TestOutput {
  std::vector<std::string> hypotheses;
  double seconds = 0;         ///< Translating.
  int64_t target_tokens = 0;  ///< Pieces, `</s>` counted.
};

/// One trained model.
struct MeasuredRun {
  int64_t seed = 0;
  std::string directory;
  int64_t steps = 0;
  double minutes = 0;  ///< Trained for, validations included.
  Curve training_loss;
  Curve validation_loss;
  Curve validation_bleu;
  std::optional<double> minutes_to_best;
  double best_validation_bleu = 0;
  std::optional<double> target_tokens_per_second;  ///< In training; the median of the log's lines.
  std::optional<double> peak_bytes;  ///< Of memory in training: the process, or a GPU's tensors.
  std::vector<TestOutput> outputs;   ///< One a test corpus.

  /// The time at which validation BLEU first reached `bleu`.
  std::optional<double> minutes_to(double bleu) const;
};

/// What one layer attended to in one sentence.
struct AttentionView {
  std::string kind;  ///< "cross", "encoder" or "decoder": see decode/observation.h
  int64_t layer = 0;
  std::vector<std::vector<std::vector<double>>> heads;  ///< [head][query][key]
};

/// A test sentence as one system translates it.
struct AttentionSentence {
  int64_t line = 0;  ///< In the first test corpus, from 0.
  std::vector<std::string> source;
  std::vector<std::string> target;
  std::vector<AttentionView> views;
};

/// The runs of one configuration, which differ in their seeds.
struct MeasuredSystem {
  std::string name;
  std::string description;  ///< "gru encoder, gru decoder with additive attention"
  int64_t parameters = 0;
  std::vector<MeasuredRun> runs;
  std::vector<AttentionSentence> attention;  ///< Of the first run.
};

struct TestCorpus {
  std::string name;
  std::vector<std::string> source;
  std::vector<std::string> reference;
};

/// What was measured.
struct Measurements {
  std::string title;
  std::string source_language, target_language;
  size_t baseline = 0;  ///< Of the systems.
  double target_bleu = 0;
  std::vector<TestCorpus> tests;
  std::vector<MeasuredSystem> systems;
};

/// How one system does by one metric on one test corpus.
struct SystemScore {
  Summary score;
  ConfidenceInterval interval;       ///< Of the mean over seeds: bootstrap over sentences.
  std::optional<double> difference;  ///< From the baseline's mean; nothing for itself.
  std::optional<ConfidenceInterval> difference_interval;
  std::optional<double> p_value;  ///< That the baseline is as good; paired bootstrap.
};

struct MetricResults {
  std::string name;  ///< "BLEU"
  std::string signature;
  bool lower_is_better = false;
  std::vector<SystemScore> systems;
};

/// Sentences of like length and how good their translations are.
struct LengthBin {
  int64_t shortest = 0, longest = 0;  ///< Source words, both counted in.
  int64_t sentences = 0;
  double mean_length = 0;
};

/// BLEU of one system in each bin, the mean over seeds.
struct LengthCurve {
  std::vector<double> bleu;
  std::vector<ConfidenceInterval> intervals;
  double short_bleu = 0;  ///< On LengthResult::short_sentences.
  double long_bleu = 0;   ///< On LengthResult::long_sentences.
  double change = 0;      ///< From the short to the long ones.
  ConfidenceInterval change_interval;
  /// The long ones' share of the short ones' BLEU, in percent: what tells systems apart of which
  /// one is bad at all lengths. Nothing where there is no BLEU to keep.
  std::optional<double> kept;
  std::optional<ConfidenceInterval> kept_interval;
  std::optional<double> beyond_baseline;  ///< How many points of percent more it keeps.
  std::optional<ConfidenceInterval> beyond_baseline_interval;
};

struct LengthResult {
  std::vector<LengthBin> bins;
  LengthBin short_sentences;         ///< The shorter half of the corpus, ties counted in.
  LengthBin long_sentences;          ///< Its longest tenth, ties counted in.
  std::vector<LengthCurve> systems;  ///< Empty without two bins.
};

struct TestResult {
  std::vector<MetricResults> metrics;  ///< The first is BLEU.
  LengthResult lengths;
  std::vector<Summary> sentences_per_second;   ///< One a system.
  std::vector<Summary> tokens_per_second;      ///< Target pieces.
  std::string sentence_metric;                 ///< "chrF2"
  std::vector<std::vector<double>> sentences;  ///< [system][line]: of each one's first run.
};

/// What follows from the measurements.
struct Results {
  Measurements measured;
  int resamples = 0;  ///< Bootstrap samples behind every interval and p-value.
  std::vector<TestResult> tests;
};

/// Scores all translations by BLEU, chrF and TER. Intervals and significance come from `resamples`
/// bootstrap samples of the sentences of a test corpus, the same for all systems (Koehn 2004); the
/// score of a sample is the mean over a system's seeds.
Results score(Measurements measured, int threads = 1, int resamples = 1000);

/// The results for programs, described in report/README.md.
std::string results_json(const Results& results);

}  // namespace dragoman
