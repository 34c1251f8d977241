// Everything that can be set. What a field means stands in the list below the fields, once, where
// `dragoman config` and the error messages find it too (config/fields.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/choices.h"
#include "config/fields.h"

namespace dragoman {

class Settings;

struct DataConfig {
  std::string directory = "data";
  std::string source = "en";
  std::string target = "de";
  std::vector<std::string> train = {"train"};
  std::string validation = "validation";
  std::vector<std::string> test;
  int max_length = 128;
  std::string cache;

  template <class Visitor>
  void fields(Visitor& v) {
    v("directory", directory, "a corpus NAME is the files <directory>/NAME.<language>[.gz]",
      filled(), free_to_change());
    v("source", source, "language translated from: the ending of its files", filled());
    v("target", target, "language translated into", filled());
    v("train", train, "corpora trained on, one after the other", filled());
    v("validation", validation, "corpus validated on", filled());
    v("test", test, "corpora translated and scored after training", free_to_change());
    v("max_length", max_length, "training pairs with more pieces on a side are left out",
      at_least(1));
    v("cache", cache, "directory of the prepared corpora; empty: the run directory",
      free_to_change());
  }
};

struct VocabularyConfig {
  VocabularyType type = VocabularyType::kUnigram;
  int size = 8000;
  bool shared = true;
  double character_coverage = 1.0;
  double sampling = 0;
  int sampling_nbest = 64;

  bool can_sample() const {
    return type == VocabularyType::kUnigram || type == VocabularyType::kBpe;
  }

  template <class Visitor>
  void fields(Visitor& v) {
    v("type", type, "what a sentence is cut into");
    v("size", size, "number of pieces, special ones included", between(8, 1000000));
    v("shared", shared, "one vocabulary for both languages");
    v("character_coverage", character_coverage,
      "share of the text's characters that become pieces; the rest is unknown",
      Rule{.low = 0, .high = 1, .low_open = true});
    v("sampling", sampling,
      "subword sampling in training, 0 for none: unigram, smoothing alpha; bpe, merge dropout",
      between(0, 1), only_if(can_sample(), "type is unigram or bpe"));
    v("sampling_nbest", sampling_nbest, "segmentations sampled from; -1: all", at_least(-1),
      only_if(type == VocabularyType::kUnigram, "type is unigram"));
  }
};

/// What encoders and decoders have in common.
struct StackConfig {
  StackType type = StackType::kTransformer;
  int layers = 3;
  int dim = 256;
  // Transformer.
  int heads = 4;
  int ffn_dim = 1024;
  NormPlacement norm = NormPlacement::kPre;
  NormalizationKind normalization = NormalizationKind::kLayerNorm;
  Activation activation = Activation::kRelu;
  PositionKind positions = PositionKind::kSinusoidal;
  int max_positions = 512;
  // LSTM and GRU.
  int embedding_dim = 256;
  bool residual = false;
  bool layer_norm = false;

  double dropout = 0.1;
  double embedding_dropout = 0.1;
  double attention_dropout = 0;
  double activation_dropout = 0;

  bool is_transformer() const { return type == StackType::kTransformer; }
  bool is_recurrent() const { return type == StackType::kLstm || type == StackType::kGru; }
  /// Width of a token's embedding.
  int embedding_width() const { return is_transformer() ? dim : embedding_dim; }

  Condition transformer() const { return only_if(is_transformer(), "type is transformer"); }
  Condition recurrent() const { return only_if(is_recurrent(), "type is lstm or gru"); }

  template <class Visitor>
  void fields(Visitor& v) {
    v("type", type, "architecture");
    v("layers", layers, "number of layers", at_least(1));
    v("dim", dim, "width of a layer; lstm, gru: hidden units of a direction", at_least(1));
    v("heads", heads, "attention heads; must divide dim", at_least(1), transformer());
    v("ffn_dim", ffn_dim, "inner width of the feed-forward blocks", at_least(1), transformer());
    v("norm", norm, "normalise before a block, or after its residual sum", transformer());
    v("normalization", normalization, "kind of normalisation", transformer());
    v("activation", activation, "activation of the feed-forward blocks; the last three are gated",
      transformer());
    v("positions", positions, "how positions are told apart", transformer());
    v("max_positions", max_positions, "longest sequence, in pieces, that has learned positions",
      at_least(2),
      only_if(is_transformer() && positions == PositionKind::kLearned,
              "type is transformer and positions is learned"));
    v("embedding_dim", embedding_dim, "width of the embeddings", at_least(1), recurrent());
    v("residual", residual, "add a layer's input to its output from the second layer on",
      recurrent());
    v("layer_norm", layer_norm, "layer normalisation inside the cells", recurrent());
    v("dropout", dropout,
      "dropout of each block's output; lstm, gru: between layers and before the output", fraction(),
      in_training_only());
    v("embedding_dropout", embedding_dropout, "dropout of the embeddings", fraction(),
      in_training_only());
    v("attention_dropout", attention_dropout, "dropout of the attention weights", fraction(),
      transformer(), in_training_only());
    v("activation_dropout", activation_dropout, "dropout inside the feed-forward blocks",
      fraction(), transformer(), in_training_only());
  }
};

struct EncoderConfig : StackConfig {
  bool bidirectional = true;

  /// Width of the encoder's states, which the decoder attends to.
  int64_t memory_width() const { return (is_recurrent() && bidirectional ? 2 : 1) * int64_t{dim}; }

  template <class Visitor>
  void fields(Visitor& v) {
    StackConfig::fields(v);
    v("bidirectional", bidirectional, "read in both directions", recurrent());
  }
};

struct DecoderConfig : StackConfig {
  AttentionKind attention = AttentionKind::kAdditive;
  int attention_dim = 256;
  bool input_feeding = false;
  ReadoutKind readout = ReadoutKind::kTanh;
  int readout_dim = 256;

  /// Width of the vector that the output layer multiplies.
  int output_width() const { return is_transformer() ? dim : readout_dim; }

  template <class Visitor>
  void fields(Visitor& v) {
    StackConfig::fields(v);
    v("attention", attention,
      "none: one fixed vector; additive: Bahdanau et al. 2015; dot, general: Luong et al. 2015",
      recurrent());
    v("attention_dim", attention_dim, "hidden units of additive attention", at_least(1),
      only_if(is_recurrent() && attention == AttentionKind::kAdditive,
              "type is lstm or gru and attention is additive"));
    v("input_feeding", input_feeding, "feed the last readout into the next step",
      only_if(is_recurrent() && attention != AttentionKind::kNone,
              "type is lstm or gru and attention is not none"));
    v("readout", readout, "layer from state, embedding and context to the output layer",
      recurrent());
    v("readout_dim", readout_dim, "width of the readout", at_least(1), recurrent());
  }
};

struct ModelConfig {
  bool tie_source_target = true;
  bool tie_output = true;
  bool scale_embeddings = true;
  InitializerKind initializer = InitializerKind::kXavierUniform;
  double init_scale = 0.02;
  EncoderConfig encoder;
  DecoderConfig decoder;

  template <class Visitor>
  void fields(Visitor& v) {
    v("tie_source_target", tie_source_target, "source and target share their embeddings");
    v("tie_output", tie_output, "the output layer is the target embeddings");
    v("scale_embeddings", scale_embeddings, "multiply embeddings by the root of their width");
    v("initializer", initializer, "distribution of the initial weights", in_training_only());
    v("init_scale", init_scale, "standard deviation (normal) or limit (uniform)", positive(),
      only_if(initializer == InitializerKind::kNormal || initializer == InitializerKind::kUniform,
              "initializer is normal or uniform"),
      in_training_only());
    v.section("encoder", encoder, "reads the source");
    v.section("decoder", decoder, "writes the target");
  }
};

struct TrainingConfig {
  std::string device = "auto";
  PrecisionSetting precision = PrecisionSetting::kAuto;
  int threads = 0;

  int batch_tokens = 4096;
  int accumulate = 1;
  OnOutOfMemory on_out_of_memory = OnOutOfMemory::kFail;

  OptimizerKind optimizer = OptimizerKind::kAdam;
  double learning_rate = 5e-4;
  double beta1 = 0.9;
  double beta2 = 0.98;
  double epsilon = 1e-9;
  double weight_decay = 0.01;
  ScheduleKind schedule = ScheduleKind::kInverseSqrt;
  int64_t warmup_steps = 4000;
  int64_t schedule_steps = 0;
  double minimum_learning_rate = 0;
  double plateau_factor = 0.5;
  int plateau_patience = 3;
  double label_smoothing = 0.1;
  double clip_norm = 1.0;
  double ema_decay = 0;

  int64_t max_steps = 100000;
  int64_t max_epochs = 0;
  double max_minutes = 0;
  StopMetric stop_metric = StopMetric::kBleu;
  int stop_patience = 10;

  int64_t validate_every = 1000;
  int64_t save_every = 1000;
  int64_t log_every = 100;
  int keep = 0;
  int samples = 3;
  bool cuda_graphs = true;
  bool debug_nan = false;
  bool tensorboard = false;
  bool profile = false;

  /// Whether the learning rate reaches its lowest at a step that is known before.
  bool schedule_ends() const {
    return schedule == ScheduleKind::kLinear || schedule == ScheduleKind::kCosine;
  }
  /// That step.
  int64_t schedule_end() const { return schedule_steps != 0 ? schedule_steps : max_steps; }

  template <class Visitor>
  void fields(Visitor& v) {
    v("device", device, "where the arithmetic is done; auto: the first GPU if there is one",
      one_of({"auto", "cuda", "cuda:N", "cpu"}), free_to_change());
    v("precision", precision,
      "what matrix products read; bf16: twice as fast where the device has it; auto: bf16 there; "
      "tf32: on a GPU, fp32 with shorter fractions");
    v("threads", threads, "processor cores used; 0: all", between(0, 1024), free_to_change());
    v("batch_tokens", batch_tokens, "real target tokens in a batch", at_least(1));
    v("accumulate", accumulate, "batches whose gradients make one step", at_least(1));
    v("on_out_of_memory", on_out_of_memory,
      "when a batch does not fit into memory: end, leave it out, or halve it until it fits",
      free_to_change());
    v("optimizer", optimizer, "how gradients move the weights; adamw adds weight decay");
    v("learning_rate", learning_rate,
      "the highest; noam: factor of dim^-0.5 min(step^-0.5, step warmup_steps^-1.5)", positive());
    v("beta1", beta1, "decay of the mean of gradients", fraction());
    v("beta2", beta2, "decay of the mean of their squares", fraction());
    v("epsilon", epsilon, "added to the root of the mean of squares", positive());
    v("weight_decay", weight_decay, "share of a weight removed a step, times the learning rate",
      at_least(0), only_if(optimizer == OptimizerKind::kAdamw, "optimizer is adamw"));
    v("schedule", schedule, "course of the learning rate after the warm-up");
    v("warmup_steps", warmup_steps, "steps in which the learning rate rises linearly from 0",
      at_least(0));
    v("schedule_steps", schedule_steps, "step at which the lowest is reached; 0: max_steps",
      at_least(0), only_if(schedule_ends(), "schedule is linear or cosine"));
    v("minimum_learning_rate", minimum_learning_rate, "the lowest after the warm-up", at_least(0),
      only_if(schedule != ScheduleKind::kConstant, "schedule is not constant"));
    v("plateau_factor", plateau_factor, "multiplies the learning rate on a plateau",
      Rule{.low = 0, .high = 1, .low_open = true, .high_open = true},
      only_if(schedule == ScheduleKind::kPlateau, "schedule is plateau"));
    v("plateau_patience", plateau_patience,
      "validations in a row without a better one that make a plateau", at_least(1),
      only_if(schedule == ScheduleKind::kPlateau, "schedule is plateau"));
    v("label_smoothing", label_smoothing, "probability spread over all pieces", fraction());
    v("clip_norm", clip_norm, "gradients longer than this are scaled down to it; 0: none",
      at_least(0));
    v("ema_decay", ema_decay,
      "decay of a moving average of the weights, which is what is validated; 0: none", fraction());
    v("max_steps", max_steps, "steps to train; 0: no limit", at_least(0),
      free_to_change(!schedule_ends() || schedule_steps != 0));
    v("max_epochs", max_epochs, "passes over the corpus; 0: no limit", at_least(0),
      free_to_change());
    v("max_minutes", max_minutes, "minutes to train; 0: no limit", at_least(0), free_to_change());
    v("stop_metric", stop_metric, "what makes a checkpoint the best, on the validation corpus");
    v("stop_patience", stop_patience,
      "validations in a row without a better one that end training; 0: never", at_least(0),
      free_to_change());
    v("validate_every", validate_every, "steps between validations", at_least(1), free_to_change());
    v("save_every", save_every, "steps between checkpoints", at_least(1), free_to_change());
    v("log_every", log_every, "steps between log lines", at_least(1), free_to_change());
    v("keep", keep, "numbered checkpoints kept besides best and last", at_least(0),
      free_to_change());
    v("samples", samples, "translations shown at a validation", at_least(0), free_to_change());
    v("cuda_graphs", cuda_graphs,
      "on a GPU, repeat the steps for batches of the same rounded shapes as graphs");
    v("debug_nan", debug_nan, "look for the operation that made a NaN first (slower)",
      free_to_change());
    v("tensorboard", tensorboard,
      "write what the log tells as event files too: tensorboard --logdir shows the run directory",
      free_to_change());
    v("profile", profile, "tell where the time of some steps goes, and write it as trace.json",
      free_to_change());
  }
};

struct DecodingConfig {
  int beam_size = 5;
  double length_penalty = 1.0;
  double coverage_penalty = 0;
  int no_repeat_ngram = 0;
  double min_length_ratio = 0;
  double max_length_ratio = 3;
  int max_length = 256;
  int n_best = 1;
  int batch_sentences = 0;
  PrecisionSetting precision = PrecisionSetting::kFp32;

  template <class Visitor>
  void fields(Visitor& v) {
    v("beam_size", beam_size, "hypotheses kept a sentence; 1: greedy", at_least(1));
    v("length_penalty", length_penalty, "A in score = log p / length^A", at_least(0));
    v("coverage_penalty", coverage_penalty, "weight of leaving source words unattended; 0: none",
      at_least(0));
    v("no_repeat_ngram", no_repeat_ngram, "n-grams of this length come up once at most; 0: any",
      at_least(0));
    v("min_length_ratio", min_length_ratio, "fewest target pieces for a source piece", at_least(0));
    v("max_length_ratio", max_length_ratio, "most target pieces for a source piece, plus 10",
      positive());
    v("max_length", max_length, "most target pieces of a sentence", at_least(1));
    v("n_best", n_best, "hypotheses written a sentence; at most beam_size", at_least(1));
    v("batch_sentences", batch_sentences,
      "sentences translated together, fewer where they are long; 0: 64, or 512 on a GPU",
      at_least(0), free_to_change());
    v("precision", precision, "what matrix products read, as training.precision does");
  }
};

struct Config {
  std::string name = "model";
  std::string output;
  int64_t seed = 1;
  DataConfig data;
  VocabularyConfig vocabulary;
  ModelConfig model;
  TrainingConfig training;
  DecodingConfig decoding;

  /// `output`, or runs/<name> where it is empty.
  std::filesystem::path run_directory() const;

  template <class Visitor>
  void fields(Visitor& v) {
    v("name", name, "the run's name, for people", filled(), free_to_change());
    v("output", output, "the run directory; empty: runs/<name>", free_to_change());
    v("seed", seed, "where everything random starts from", at_least(0));
    v.section("data", data, "parallel text: one sentence a line, line by line translations");
    v.section("vocabulary", vocabulary, "pieces, learned from the training text");
    v.section("model", model, "encoder and decoder are chosen independently", shapes_model());
    v.section("training", training, "one step is one update of the weights");
    v.section("decoding", decoding, "how translations are searched for");
  }
};

/// The configuration in a YAML file, over which go `sets` ("key.path=value", YAML after the equals
/// sign) in their order. UsageError with file, line (or the --set text) and key: unknown key, wrong
/// type or range, a setting that has no effect on the chosen type, settings at odds. Error: file
/// missing.
Config load_config(const std::filesystem::path& path, const std::vector<std::string>& sets = {});

/// The same from text, for example from a checkpoint; `origin` stands for the file in messages.
Config parse_config(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& sets = {});

/// The same from what was gathered of several files (config/settings.h).
Config read_config(Settings& settings, const std::string& origin);

/// UsageError, starting with `origin`, when settings are at odds with one another.
void validate(const Config& config, const std::string& origin);

/// The configuration as YAML that parse_config reads back. Has the settings that apply; with
/// comments, what each means, what is allowed, and, commented out, those that do not apply.
std::string to_yaml(const Config& config, bool commented = false);

/// One setting in which two configurations differ; "(none)" where it does not apply.
struct Difference {
  std::string key;  ///< "model.encoder.layers"
  std::string before;
  std::string after;
  bool free_to_change = false;  ///< By the facts of `after`, as the next one.
  bool shapes_model = false;

  std::string text() const { return key + ": " + before + " -> " + after; }
};

/// The settings in which `after` differs from `before`, in the order of the fields.
std::vector<Difference> diff(const Config& before, const Config& after);

}  // namespace dragoman
