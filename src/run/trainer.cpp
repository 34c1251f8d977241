#include "run/trainer.h"

#include <fmt/ranges.h>

#include <array>
#include <cmath>

#include "core/check.h"
#include "core/files.h"
#include "core/log.h"
#include "run/limits.h"
#include "tensor/allocator.h"

namespace dragoman {
namespace {

// Steps of a session before those that are profiled, which warm it up, and the profiled ones.
constexpr int64_t kStepsBeforeProfile = 10;
constexpr int64_t kProfiledSteps = 10;

int64_t mebibytes(int64_t bytes) { return bytes >> 20; }

}  // namespace

Trainer::Trainer(const Config& config, const TrainingData& data, RunDirectory& directory,
                 ShowProgress show_progress)
    : config_(config),
      data_(data),
      directory_(directory),
      model_(config.model, data.vocabularies.source.size(), data.vocabularies.target.size(),
             static_cast<uint64_t>(config.seed),
             find_device(config.training.device, "training.device")),
      updater_(config, model_),
      schedule_(config.training, config.model.decoder.dim),
      validator_(config, data.vocabularies, model_),
      show_progress_(std::move(show_progress)) {
  if (!show_progress_) {
    show_progress_ = [this](double fraction, std::string_view text, double seconds_left) {
      progress_.update(fraction, text, seconds_left);
    };
  }
  state_.training_text = data.dataset->description().inputs;
}

void Trainer::resume(const CheckpointReader& checkpoint) {
  check(checkpoint.state().has_value(), "{}: holds no state of a training run to continue from",
        checkpoint.path().string());
  check(
      checkpoint.state()->training_text == state_.training_text,
      "{}: the training text is not the one that this run was begun with; it was made from\n{}and "
      "now it is made from\n{}train in another directory (--output)",
      checkpoint.path().string(), checkpoint.state()->training_text, state_.training_text);
  state_ = *checkpoint.state();
  saved_step_ = state_.step;
  // From best.h5 where the process ended before last.h5 was written: that is made up for.
  unsaved_ = checkpoint.path() != directory_.last();
  const Parameters& parameters = model_.parameters();
  checkpoint.read(kParametersGroup, parameters, parameters.values());
  updater_.refresh();
  const Optimizer& optimizer = updater_.optimizer();
  checkpoint.read(kMeanGroup, parameters, optimizer.mean());
  checkpoint.read(kVarianceGroup, parameters, optimizer.variance());
  if (optimizer.average().defined())
    checkpoint.read(kAverageGroup, parameters, optimizer.average());
}

std::optional<std::string> Trainer::train(const StopRequested& stop) {
  const TrainingConfig& training = config_.training;
  directory_.open_logs(state_, !unsaved_, training.tensorboard);
  lap_begin_ = Clock::now();
  first_step_ = state_.step;
  stream_.emplace(data_.dataset, data_.vocabularies,
                  BatchOptions{.batch_tokens = training.batch_tokens,
                               .seed = static_cast<uint64_t>(config_.seed),
                               .sampling = config_.vocabulary.sampling,
                               .sampling_nbest = config_.vocabulary.sampling_nbest},
                  state_.position);
  while (true) {
    // Here rather than after the step, so that a validation that was cut short is made up for.
    const bool ends = !reason_to_stop(training, state_).empty();
    const bool due = state_.step > 0 && (ends || state_.step % training.validate_every == 0);
    if (due && state_.latest.step != state_.step && !stop()) validate(stop);
    const std::string reason = reason_to_stop(training, state_);
    const bool leaves = stop() || !reason.empty();
    const bool validated = state_.latest.step == state_.step, ended = validated && !reason.empty();
    if (leaves) {
      finish_profile();
      progress_.finish();
    }
    // Before the end is saved: nobody goes on with the run then, to tell what was not told.
    if (ended) report_end(reason);
    if (unsaved_ && (leaves || validated || state_.step % training.save_every == 0)) save();
    if (leaves) return ended ? std::optional(reason) : std::nullopt;
    const int64_t done = state_.step - first_step_;
    if (training.profile && done == kStepsBeforeProfile)
      profile_.emplace([this] { synchronize(model_.device()); });
    step();
    if (done + 1 == kStepsBeforeProfile + kProfiledSteps) finish_profile();
    if (state_.step % training.log_every == 0) log_steps();
    report_progress();
  }
}

void Trainer::step() {
  const int64_t step = state_.step + 1;
  Updater::Begun begun =
      updater_.update(step, learning_rate(step), [this] { return next_batch(); });
  finish_update();  // the one before: a GPU has its next work already
  begun_.emplace(std::move(begun));
  if (!model_.device().on_gpu() || config_.training.debug_nan) finish_update();
  state_.step = step;
  unsaved_ = true;
}

// Waits for the last update, looks whether it went well and counts it.
void Trainer::finish_update() {
  if (!begun_) return;
  const int64_t step = begun_->step;
  const auto [totals, norm] = begun_->finish();
  begun_.reset();
  check(std::isfinite(totals.loss) && std::isfinite(norm),
        "step {}: the loss is {} and the norm of its gradient {}. The checkpoints are from before: "
        "{} is of step {}. Lower training.learning_rate, or run the same again with --debug-nan to "
        "learn which operation it came from",
        step, totals.loss / static_cast<double>(totals.target_tokens), norm,
        directory_.last().string(), saved_step_);
  check(!config_.training.debug_nan || all_finite(model_.parameters().values()),
        "step {}: the operation 'adam_update' produced NaN or infinity in the parameters, with the "
        "learning rate {}",
        step, learning_rate(step));
  state_.window.add(totals, norm, lap());
}

Batch Trainer::next_batch() {
  Batch batch = stream_->next();
  state_.position = batch.next;
  state_.epochs =
      static_cast<double>(batch.epoch) + static_cast<double>(batch.sentences_done) /
                                             static_cast<double>(stream_->sentences_per_epoch());
  return batch;
}

void Trainer::validate(const StopRequested& stop) {
  finish_update();
  std::optional<Validation> validation;
  with_average(model_.parameters(), updater_.optimizer(),
               [&] { validation = validator_.run(state_.step, stop); });
  const double seconds = lap();
  if (!validation) return;
  const Scores& scores = validation->scores;
  check(std::isfinite(scores.loss), "step {}: the loss on the validation corpus is {}", state_.step,
        scores.loss);
  const int64_t plateaus = state_.plateaus;
  const bool best = record_scores(config_.training, scores, state_);
  unsaved_ = true;
  log::info(
      "validation at step {}: loss {:.4f}, perplexity {:.2f}, BLEU {:.2f}{} ({})", scores.step,
      scores.loss, scores.perplexity, scores.bleu,
      best ? ", the best so far"
           : fmt::format(", no better than step {} (wait {})", state_.best.step, state_.waited),
      format_duration(seconds));
  if (state_.plateaus > plateaus)
    log::info("a plateau: the learning rate is now {:.3g}", learning_rate(state_.step + 1));
  show_samples(validation->hypotheses);
  directory_.write_translations("validation", fmt::format("step-{}", scores.step),
                                config_.data.target, validation->hypotheses);
  directory_.log_validation(state_, best);
  directory_.log({{"type", "validation"},
                  {"step", scores.step},
                  {"epoch", state_.epochs},
                  {"minutes", state_.seconds / 60},
                  {"loss", scores.loss},
                  {"perplexity", scores.perplexity},
                  {"bleu", scores.bleu},
                  {"best", best},
                  {"seconds", seconds}});
  if (!best) return;
  // Behind the logs, which a run that goes on from there keeps up to its step. A first best.h5
  // comes after a last.h5: alone it would be taken for what is left of another run.
  if (!std::filesystem::exists(directory_.last())) save_to(directory_.last());
  save_to(directory_.best());
}

void Trainer::save() {
  finish_update();
  const bool numbered = config_.training.keep > 0 && state_.step > 0 &&
                        state_.step % config_.training.save_every == 0;
  if (numbered) save_to(directory_.numbered(state_.step));
  save_to(directory_.last());
  if (numbered) directory_.prune_numbered(config_.training.keep);
  saved_step_ = state_.step;
  unsaved_ = false;
  lap();
}

void Trainer::save_to(const std::filesystem::path& path) const {
  const Parameters& parameters = model_.parameters();
  const Optimizer& optimizer = updater_.optimizer();
  std::vector<StoredBuffer> buffers = {{kParametersGroup, parameters.values()},
                                       {kMeanGroup, optimizer.mean()},
                                       {kVarianceGroup, optimizer.variance()}};
  if (optimizer.average().defined()) buffers.push_back({kAverageGroup, optimizer.average()});
  save_checkpoint(path, config_, data_.vocabularies, parameters, buffers, state_);
}

void Trainer::log_steps() {
  finish_update();
  const double rate = learning_rate(state_.step);
  log::info("step {}  epoch {:.2f}  {}  {} left", state_.step, state_.epochs,
            state_.window.line(rate), format_duration(seconds_left()));
  nlohmann::ordered_json entry = {{"type", "train"},
                                  {"step", state_.step},
                                  {"epoch", state_.epochs},
                                  {"minutes", state_.seconds / 60}};
  entry.update(state_.window.json(rate));
  directory_.log(entry);
  state_.window = {};
}

void Trainer::report_end(const std::string& reason) {
  const Device device = model_.device();
  const int64_t process = peak_memory_of_process();
  const auto tensors = static_cast<int64_t>(Allocator::of(device).statistics().peak);
  log::info("training ended at step {} after {} ({})", state_.step, format_duration(state_.seconds),
            reason);
  log::info("peak memory: {} MiB, {} {} MiB", mebibytes(process),
            device.on_gpu() ? "and of tensors on " + to_string(device) : "of which tensors",
            mebibytes(tensors));
  directory_.log({{"type", "end"},
                  {"step", state_.step},
                  {"minutes", state_.seconds / 60},
                  {"reason", reason},
                  {"device", to_string(device)},
                  {"peak_bytes", process},
                  {"peak_tensor_bytes", tensors}});
}

void Trainer::finish_profile() {
  if (!profile_) return;
  const int64_t steps = state_.step - first_step_ - kStepsBeforeProfile;
  write_atomically(directory_.trace(), profile_->chrome_trace());
  log::info("profile of the {} steps before step {}, a step, with what was done between them:\n{}",
            steps, state_.step + 1, profile_table(profile_->lines(), steps));
  profile_.reset();
}

void Trainer::report_progress() {
  show_progress_(fraction_done(config_.training, state_),
                 fmt::format("step {}  epoch {:.2f}", state_.step, state_.epochs), seconds_left());
}

void Trainer::show_samples(const std::vector<std::string>& hypotheses) {
  const ParallelText& text = validator_.text();
  const size_t samples = std::min(static_cast<size_t>(config_.training.samples), hypotheses.size());
  for (size_t i = 0; i < samples; ++i) {
    const size_t line = i * hypotheses.size() / samples;  // spread over the corpus, always the same
    const std::array lines = {"source       " + text.source[line],
                              "reference    " + text.target[line],
                              "translation  " + hypotheses[line]};
    log::info("  {}", fmt::join(lines, "\n  "));
    // In Markdown what is indented by four is shown as it is.
    directory_.log_text(state_.step, fmt::format("validation/sample_{}", i + 1),
                        fmt::format("    {}", fmt::join(lines, "\n    ")));
  }
}

double Trainer::learning_rate(int64_t step) const {
  return schedule_.learning_rate(step, state_.plateaus);
}

double Trainer::seconds_left() const {
  const double fraction = fraction_done(config_.training, state_);
  return fraction > 0 ? state_.seconds * (1 - fraction) / fraction : -1;
}

double Trainer::lap() {
  const Clock::time_point now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - lap_begin_).count();
  lap_begin_ = now;
  state_.seconds += seconds;
  return seconds;
}

}  // namespace dragoman
