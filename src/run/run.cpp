#include "run/run.h"

#include <fmt/ranges.h>

#include "core/check.h"
#include "core/files.h"
#include "core/log.h"
#include "core/profile.h"
#include "run/checkpoint.h"
#include "run/evaluation.h"
#include "run/limits.h"
#include "run/run_directory.h"
#include "run/stop_signals.h"
#include "run/trainer.h"
#include "tensor/cpu/threads.h"

namespace dragoman {
namespace {

// The checkpoint that a run goes on from. The best is newer than the last where the process was
// killed between the two.
std::optional<CheckpointReader> find_begun(const Config& config, const RunDirectory& directory) {
  const bool has_best = std::filesystem::exists(directory.best());
  if (!std::filesystem::exists(directory.last())) {
    check(!has_best,
          "{}: there is a best.h5 and no last.h5: a new run would replace it; to go on from there, "
          "copy it to last.h5, else train in another directory (--output)",
          directory.path().string());
    return std::nullopt;
  }
  CheckpointReader last(directory.last());
  if (has_best && last.state()) {
    CheckpointReader best(directory.best());
    if (best.state() && best.state()->step > last.state()->step) last = std::move(best);
  } else if (last.state() && !has_best && last.state()->best.step == last.state()->step &&
             last.state()->step > 0) {
    // Killed before the first best.h5 was whole.
    write_atomically(directory.best(), [&](const std::filesystem::path& temporary) {
      std::filesystem::copy_file(directory.last(), temporary,
                                 std::filesystem::copy_options::overwrite_existing);
    });
  } else if (last.state() && !has_best && last.state()->best.step > 0) {
    log::warn("{}: best.h5, of step {}, is not there any more", directory.path().string(),
              last.state()->best.step);
  }
  const std::vector<std::string> differences = conflicts(last.config(), config);
  if (!differences.empty()) {
    fail_usage(
        "{}: holds a run of another configuration:\n  {}\ntrain in another directory (--output), "
        "or remove this one to begin anew",
        directory.path().string(), fmt::join(differences, "\n  "));
  }
  return last;
}

ParallelText read_corpus(const Config& config, const std::string& name) {
  return read_parallel(
      find_corpus(config.data.directory, name, config.data.source, config.data.target));
}

TrainingData prepare(const Config& config, const RunDirectory& directory,
                     const std::optional<CheckpointReader>& begun) {
  // What is wrong with these should come to light now and not after hours.
  for (const std::string& name : config.data.test) read_corpus(config, name);
  read_corpus(config, config.data.validation);
  const std::filesystem::path cache =
      config.data.cache.empty() ? directory.path() : std::filesystem::path(config.data.cache);
  std::optional<Vocabularies> given;
  if (begun) given = begun->vocabularies();
  TrainingData data =
      prepare_training_data(config.data, config.vocabulary, cache, thread_count(), given);
  const DatasetDescription& description = data.dataset->description();
  log::info("training text: {} sentence pairs, {} source and {} target pieces",
            description.counts.pairs, description.source_tokens, description.target_tokens);
  return data;
}

void describe_model(const Config& config, const TrainingData& data, const Trainer& trainer) {
  log::info("model: {} to {}, {} parameters, {} source and {} target pieces; {}, {} threads",
            config.model.encoder.type, config.model.decoder.type,
            trainer.model().parameters().count(), data.vocabularies.source.size(),
            data.vocabularies.target.size(), to_string(trainer.precision()), thread_count());
  if (config.training.precision == PrecisionSetting::kAuto &&
      trainer.precision().products == DType::kReal)
    log::info("precision: fp32, since this processor has no bf16 products (AVX512_BF16 or AMX)");
}

void describe_device(const Config& config, Device device) {
  const bool in_vain = config.training.device == "auto" && !device.on_gpu();
  log::info("device: {}{}", describe(device), in_vain ? "; " + why_no_gpu() : "");
}

void report_best(const TrainingState& state, const RunDirectory& directory) {
  log::info("best: {} of step {}: loss {:.4f}, perplexity {:.2f}, BLEU {:.2f}",
            directory.best().string(), state.best.step, state.best.loss, state.best.perplexity,
            state.best.bleu);
}

// Makes the peaks of memory this run's, where the process has trained others before.
void reset_peaks(Device device) {
  Allocator& allocator = Allocator::of(device);
  allocator.release_cached();
  allocator.reset_peak();
  reset_peak_memory_of_process();
}

// Trains to a limit; false when a signal ended it before.
bool train_to_limit(const Config& config, const TrainingData& data,
                    std::optional<CheckpointReader> begun, Device device, RunDirectory& directory,
                    const ShowProgress& show_progress) {
  reset_peaks(device);
  Trainer trainer(config, data, directory, show_progress);
  if (begun) trainer.resume(*begun);
  // Not before: it stays as it was if the run cannot be continued so.
  write_atomically(directory.config(), to_yaml(config, /*commented=*/true));
  begun.reset();  // an open file would keep its space on the disk when it is replaced
  describe_model(config, data, trainer);
  std::filesystem::remove(directory.test_scores());  // they will be another model's
  if (!trainer.train(StopSignals::requested)) {
    log::info("stopped by a signal; {} is of step {}: the same command continues there",
              directory.last().string(), trainer.state().step);
    return false;
  }
  report_best(trainer.state(), directory);
  return true;
}

// The test corpora whose scores are there.
std::vector<std::string> tested(const RunDirectory& directory) {
  std::vector<std::string> names;
  if (!std::filesystem::exists(directory.test_scores())) return names;
  for (const auto& scores : nlohmann::json::parse(read_file(directory.test_scores())))
    names.push_back(scores.at("corpus"));
  return names;
}

// Translates the test corpora with the best model, scores them and keeps both; false when a signal
// ended it before.
bool test(const Config& config, Device device, const RunDirectory& directory) {
  const LoadedModel best = load_model(directory.best(), device);
  const Translator translator(*best.model, best.vocabularies, config.decoding);
  const Signature signature = Bleu().signature(1);
  auto results = nlohmann::ordered_json::array();
  for (const std::string& name : config.data.test) {
    const ParallelText text = read_corpus(config, name);
    const std::vector<std::vector<std::string>> references = {text.target};
    const auto evaluation = evaluate(translator, text.source, references, StopSignals::requested);
    if (!evaluation) {
      log::info("stopped by a signal; the same command tests again");
      return false;
    }
    directory.write_translations("test", name, config.data.target, evaluation->hypotheses);
    log::info("test {}: {}", name, evaluation->bleu.line(2, signature));
    results.push_back({{"corpus", name},
                       {"bleu", evaluation->bleu.value},
                       {"signature", to_string(signature)},
                       {"details", evaluation->bleu.details}});
  }
  write_atomically(directory.test_scores(), results.dump(2) + "\n");
  return true;
}

}  // namespace

std::vector<std::string> conflicts(const Config& before, const Config& now) {
  std::vector<std::string> differences;
  for (const Difference& difference : diff(before, now)) {
    if (!difference.free_to_change) differences.push_back(difference.text());
  }
  return differences;
}

bool run_training(const Config& config, const ShowProgress& show_progress) {
  const Device device = find_device(config.training.device, "training.device");
  RunDirectory directory(config.run_directory());
  std::optional<CheckpointReader> begun = find_begun(config, directory);
  log::open_file(directory.train_log());  // and left open, for an error that ends the program
  if (!begun) write_atomically(directory.config(), to_yaml(config, /*commented=*/true));
  set_thread_count(config.training.threads);
  const TrainingState state = begun && begun->state() ? *begun->state() : TrainingState{};
  const std::string reason = begun ? reason_to_stop(config.training, state) : "";
  // Where last.h5 is older, the process ended while it saved the end: that is done again.
  const bool ended =
      !reason.empty() && state.latest.step == state.step && begun->path() == directory.last();
  if (ended) {
    if (config.training.keep > 0) directory.prune_numbered(config.training.keep);
    log::info("{}: the run has ended at step {} ({}); to train on, raise that limit",
              directory.path().string(), state.step, reason);
    report_best(state, directory);
  } else {
    log::info("{}: {} in {}", config.name,
              begun ? fmt::format("continuing from step {}", state.step) : "a new run",
              directory.path().string());
  }
  describe_device(config, device);
  std::optional<TrainingData> data;
  if (!ended) {
    precision_of(config.training.precision, "training.precision", device);  // throws
    data = prepare(config, directory, begun);
  }
  const StopSignals signals;  // from here on there is something to save
  if (!ended &&
      !train_to_limit(config, *data, std::move(begun), device, directory, show_progress)) {
    return false;
  }
  return config.data.test.empty() || tested(directory) == config.data.test ||
         test(config, device, directory);
}

}  // namespace dragoman
