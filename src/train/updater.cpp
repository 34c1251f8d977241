#include "train/updater.h"

#include <utility>

#include "core/check.h"
#include "core/log.h"
#include "core/profile.h"

namespace dragoman {

namespace {

// Batches of one update that may be left out before it is clear that none will fit.
constexpr int kMostSkipped = 100;

}  // namespace

Updater::Updater(const Config& config, Model& model)
    : model_(model),
      precision_(precision_of(config.training.precision, "training.precision", model.device())),
      seed_(static_cast<uint64_t>(config.seed)),
      training_(config.training),
      optimizer_(model.parameters(), config.training),
      inputs_(model.device()),
      result_(model.device()),
      graphs_(model.device()) {
  refresh();
}

void Updater::refresh() {
  if (precision_.products == DType::kBf16) model_.parameters().make_bf16_copy();
}

Updater::Update Updater::Begun::finish() {
  const StepResult found = result.get();
  return {{.loss = found.loss,
           .log_probability = found.log_probability,
           .source_tokens = source_tokens,
           .target_tokens = target_tokens},
          found.norm};
}

Updater::Begun Updater::update(int64_t step, double learning_rate,
                               const std::function<Batch()>& next_batch) {
  try {
    std::vector<Batch> batches = take(next_batch);
    bool sparing = false;
    int skipped = 0;
    for (;;) {
      size_t number = 0;  // of the batch that is worked on
      try {
        Begun begun = attempt(step, learning_rate, batches, sparing, number);
        threads_.after(static_cast<double>(begun.source_tokens + begun.target_tokens));
        return begun;
      } catch (const OutOfMemory& error) {
        if (number == batches.size()) throw;  // the parameters have been changed
        sparing = true;
        if (graphs_.release()) {
          log::info("{}; the graphs of steps, which hold memory, are made anew", error.what());
          continue;
        }
        check(skipped < kMostSkipped, "{}; {} batches in a row did not fit", error.what(), skipped);
        ++skipped;
        make_fit(error, batches, number);
      }
      if (batches.empty()) batches = take(next_batch);
    }
  } catch (const Error& error) {
    fail("step {}: {}", step, error.what());
  }
}

// Begins the gradients anew, whatever an attempt before has left of them. The last batch changes
// the parameters, when there is nothing left to allocate.
Updater::Begun Updater::attempt(int64_t step, double learning_rate,
                                const std::vector<Batch>& batches, bool sparing, size_t& number) {
  int64_t source_tokens = 0, target_tokens = 0;
  for (const Batch& batch : batches) {
    source_tokens += batch.source.tokens();
    target_tokens += batch.target_output.tokens();
  }
  inputs_.write(optimizer_.inputs(step, learning_rate, target_tokens));
  uint32_t site = 0;
  for (number = 0; number < batches.size(); ++number) {
    site = run_part(batches[number], static_cast<int>(number), number + 1 == batches.size(), site,
                    sparing);
  }
  return {step, source_tokens, target_tokens, result_.fetch()};
}

// The batches of an update, which does not reach into the next epoch.
std::vector<Batch> Updater::take(const std::function<Batch()>& next_batch) const {
  std::vector<Batch> batches;
  while (std::ssize(batches) < training_.accumulate &&
         (batches.empty() || !batches.back().ends_epoch))
    batches.push_back(next_batch());
  Profile::mark("next batch");
  return batches;
}

uint32_t Updater::run_part(const Batch& batch, int number, bool last, uint32_t site, bool sparing) {
  if (!model_.device().on_gpu()) return compute(model_.load(batch), number, last, site);
  const Bucket bucket = model_.rounded_bucket(batch);
  if (!training_.cuda_graphs || training_.debug_nan || Profile::lives())
    return compute(DeviceBatch(batch, bucket, model_.device()), number, last, site);
  const auto work = [&](const DeviceBatch& loaded) { return compute(loaded, number, last, site); };
  return graphs_.run({bucket, number, last}, batch, work, sparing);
}

uint32_t Updater::compute(const DeviceBatch& batch, int number, bool last, uint32_t site) {
  const Parameters& parameters = model_.parameters();
  Tape tape;
  tape.set_training(seed_, inputs_.device_value(&StepInputs::step), site);
  tape.set_products(precision_);
  tape.set_check_finite(training_.debug_nan);
  parameters.begin_gradients(/*add=*/number > 0);
  const CrossEntropy loss = model_.loss(tape, batch, static_cast<real>(training_.label_smoothing));
  add_loss(loss, number == 0, result_);
  tape.backward(loss.loss);
  parameters.complete_gradients();
  if (last) {
    optimizer_.update(inputs_, result_);
    Profile::mark("optimizer");
  }
  return tape.next_site();
}

// Takes from the batches what did not fit, as training.on_out_of_memory says.
void Updater::make_fit(const OutOfMemory& error, std::vector<Batch>& batches, size_t number) const {
  const auto place = batches.begin() + static_cast<std::ptrdiff_t>(number);
  const std::string what = fmt::format("{}; the batch has {}", error.what(), size_text(*place));
  switch (training_.on_out_of_memory) {
    case OnOutOfMemory::kFail:
      fail(
          "{}: lower training.batch_tokens ({}), or set training.on_out_of_memory to skip or split",
          what, training_.batch_tokens);
    case OnOutOfMemory::kSkip:
      log::warn("{}; it is left out", what);
      batches.erase(place);
      return;
    case OnOutOfMemory::kSplit:
      check(place->size() > 1,
            "{}, and one sentence cannot be split: lower data.max_length or the "
            "model's size",
            what);
      log::warn("{}; it is split", what);
      auto [first, second] = halves(*place);
      *place = std::move(first);
      batches.insert(place + 1, std::move(second));
      return;
  }
}

}  // namespace dragoman
