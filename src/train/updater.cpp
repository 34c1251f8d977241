#include "train/updater.h"

#include "core/check.h"
#include "core/profile.h"
#include "tensor/gemm.h"

namespace dragoman {

namespace {

DType products_of(const std::string& precision, Device device) {
  const bool fast = has_bf16_products(device);
  check(precision != "bf16" || fast,
        "training.precision: this processor has no bf16 products (AVX512_BF16 or AMX); use fp32, "
        "or auto, which takes the faster of the two");
  return precision != "fp32" && fast ? DType::kBf16 : DType::kReal;
}

}  // namespace

Updater::Updater(const Config& config, Model& model)
    : model_(model),
      products_(products_of(config.training.precision, model.device())),
      seed_(static_cast<uint64_t>(config.seed)),
      training_(config.training),
      optimizer_(model.parameters(), config.training) {
  refresh();
}

void Updater::refresh() {
  if (products_ == DType::kBf16) model_.parameters().make_low();
}

Updater::Update Updater::update(int64_t step, double learning_rate,
                                const std::function<Batch()>& next_batch) {
  Update update;
  try {
    update.totals = compute_gradients(step, next_batch);
  } catch (const Error& error) {
    fail("step {}: {}", step, error.what());
  }
  update.gradient_norm = optimizer_.update(step, learning_rate, update.totals.target_tokens);
  Profile::mark("optimizer");
  return update;
}

Totals Updater::compute_gradients(int64_t step, const std::function<Batch()>& next_batch) const {
  Tape tape;
  tape.set_training(seed_, static_cast<uint32_t>(step));
  tape.set_products(products_);
  tape.set_check_finite(training_.debug_nan);
  model_.parameters().begin_gradients();
  Totals totals;
  bool ends_epoch = false;  // an update does not reach into the next epoch
  for (int i = 0; i < training_.accumulate && !ends_epoch; ++i) {
    const Batch batch = next_batch();
    Profile::mark("next batch");
    const CrossEntropy result =
        model_.loss(tape, batch, static_cast<real>(training_.label_smoothing));
    tape.backward(result.loss);
    totals.add(batch, result);
    ends_epoch = batch.ends_epoch;
  }
  model_.parameters().complete_gradients();
  return totals;
}

}  // namespace dragoman
