// What one field's rule cannot say: settings that must fit together.
#include <fmt/ranges.h>

#include <algorithm>

#include "config/config.h"
#include "core/check.h"

namespace dragoman {
namespace {

class Validator {
 public:
  explicit Validator(std::string origin) : origin_(std::move(origin)) {}

  template <class... Args>
  void require(bool ok, fmt::format_string<Args...> format, Args&&... args) {
    if (!ok) problems_.push_back(origin_ + ": " + fmt::format(format, std::forward<Args>(args)...));
  }

  void finish() const {
    if (!problems_.empty()) fail_usage("{}", fmt::join(problems_, "\n"));
  }

 private:
  std::string origin_;
  std::vector<std::string> problems_;
};

// `longest`: the most positions that a training pair or a translation can ask for.
void validate_stack(const StackConfig& stack, const std::string& key, int64_t longest,
                    Validator& v) {
  if (!stack.is_transformer()) return;
  v.require(stack.dim % stack.heads == 0,
            "{0}.dim ({1}) must be a multiple of {0}.heads ({2}): choose heads that divide it", key,
            stack.dim, stack.heads);
  v.require(stack.positions != PositionKind::kSinusoidal || stack.dim % 2 == 0,
            "{0}.dim ({1}) must be even for sinusoidal positions", key, stack.dim);
  v.require(stack.positions != PositionKind::kLearned || stack.max_positions >= longest,
            "{}.max_positions ({}) is too few: data.max_length and decoding.max_length ask for {}",
            key, stack.max_positions, longest);
}

void validate_model(const Config& config, Validator& v) {
  const EncoderConfig& encoder = config.model.encoder;
  const DecoderConfig& decoder = config.model.decoder;
  // One more than the pieces, for the end of the sentence.
  validate_stack(encoder, "model.encoder", int64_t{1} + config.data.max_length, v);
  validate_stack(decoder, "model.decoder",
                 int64_t{1} + std::max(config.data.max_length, config.decoding.max_length), v);
  v.require(!(decoder.is_recurrent() && decoder.attention == AttentionKind::kDot) ||
                decoder.dim == encoder.memory_width(),
            "model.decoder.attention: dot compares vectors of one width, but model.decoder.dim is "
            "{} and the encoder's states have {}: make them equal or choose general",
            decoder.dim, encoder.memory_width());
  if (config.model.tie_source_target) {
    v.require(config.vocabulary.shared,
              "model.tie_source_target needs vocabulary.shared: true; set one of them otherwise");
    v.require(encoder.embedding_width() == decoder.embedding_width(),
              "model.tie_source_target needs embeddings of one width, but the encoder's have {} "
              "and the decoder's {}: make them equal or set it to false",
              encoder.embedding_width(), decoder.embedding_width());
  }
  v.require(!config.model.tie_output || decoder.output_width() == decoder.embedding_width(),
            "model.tie_output needs model.decoder.readout_dim ({}) equal to "
            "model.decoder.embedding_dim ({}): make them equal or set it to false",
            decoder.output_width(), decoder.embedding_width());
}

void validate_training(const TrainingConfig& training, Validator& v) {
  const bool ends = training.schedule_ends();
  const bool by_warmup =
      training.schedule == ScheduleKind::kInverseSqrt || training.schedule == ScheduleKind::kNoam;
  const int64_t end = training.schedule_end();
  v.require(training.max_steps > 0 || training.max_epochs > 0 || training.max_minutes > 0 ||
                training.stop_patience > 0,
            "training would never end: set training.max_steps, max_epochs, max_minutes or "
            "stop_patience");
  v.require(!by_warmup || training.warmup_steps > 0,
            "training.schedule: {} needs training.warmup_steps of at least 1", training.schedule);
  v.require(!ends || end > 0,
            "training.schedule: {} needs training.schedule_steps or training.max_steps",
            training.schedule);
  v.require(!ends || end <= 0 || end > training.warmup_steps,
            "training.schedule: {} ends at step {}, which must come after training.warmup_steps "
            "({})",
            training.schedule, end, training.warmup_steps);
  v.require(training.schedule == ScheduleKind::kNoam ||
                training.schedule == ScheduleKind::kConstant ||
                training.minimum_learning_rate <= training.learning_rate,
            "training.minimum_learning_rate ({}) is above training.learning_rate ({})",
            training.minimum_learning_rate, training.learning_rate);
}

}  // namespace

void validate(const Config& config, const std::string& origin) {
  Validator v(origin);
  v.require(config.data.source != config.data.target,
            "data.source and data.target are both '{}': a corpus has one file a language",
            config.data.source);
  validate_model(config, v);
  validate_training(config.training, v);
  v.require(config.decoding.n_best <= config.decoding.beam_size,
            "decoding.n_best ({}) is above decoding.beam_size ({})", config.decoding.n_best,
            config.decoding.beam_size);
  v.require(config.decoding.min_length_ratio <= config.decoding.max_length_ratio,
            "decoding.min_length_ratio ({}) is above decoding.max_length_ratio ({})",
            config.decoding.min_length_ratio, config.decoding.max_length_ratio);
  v.finish();
}

}  // namespace dragoman
