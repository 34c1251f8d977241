// How fast a configuration trains on this machine, and how fast the machine is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/profile.h"
#include "data/batch.h"
#include "tensor/device.h"

namespace dragoman {

struct BenchmarkOptions {
  int64_t steps = 20;   ///< Batches, one a step.
  int64_t passes = 5;   ///< Over these batches, as often in each as takes 0.3 s, after a warm-up.
  int64_t length = 0;   ///< Sentences of so many random pieces; 0: those of the training text.
  std::string batches;  ///< File that gets the batches, JSON lines, for other programs; may be "".
};

struct BenchmarkResult {
  double target_tokens_per_second = 0;  ///< Of the pass of median speed, `</s>` counted.
  double slowest = 0, fastest = 0;      ///< The same of these passes.
  double source_tokens_per_second = 0;
  double gflops = 0;              ///< Arithmetic of the matrix products, by all of the time.
  double gflop_per_step = 0;      ///< The mean.
  double loss = 0;                ///< Of the last step that is measured, a target token.
  double ceiling_gflops = 0;      ///< Of large matrix products measured between the passes.
  Device device;                  ///< What training.device came to.
  int64_t peak_memory_bytes = 0;  ///< Of the process, on the host.
  int64_t peak_tensor_bytes = 0;  ///< Of tensors on the device, all in use at one time.
  int64_t peak_device_bytes = 0;  ///< Of the device for tensors: in use, or kept for reuse.
  int64_t parameters = 0;
  int threads = 0;
  std::string precision;
  std::vector<Profile::Line> lines;  ///< Where the time of one more pass went.
  int64_t profiled_steps = 0;        ///< Its steps.
  double ceiling_fraction() const { return gflops / ceiling_gflops; }
};

/// Trains on a few batches again and again, without validation, checkpoints or any file but the
/// prepared corpus, which goes to data.cache (a temporary directory where that is empty). The last
/// pass, which is not among those whose speed is told, is profiled: on a GPU that means to wait for
/// each operation. Throws as training does.
BenchmarkResult benchmark_training(const Config& config, const BenchmarkOptions& options);

/// The batches that benchmark_training measures with `length` > 0: random pieces, as many sentences
/// as training.batch_tokens holds, one at least.
std::vector<Batch> random_batches(const Config& config, int64_t steps, int64_t length);

}  // namespace dragoman
