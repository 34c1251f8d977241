#include "train/benchmark.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/check.h"
#include "core/files.h"
#include "core/rng.h"
#include "data/prepare.h"
#include "data/stream.h"
#include "models/model.h"
#include "tensor/cpu/threads.h"
#include "tensor/gemm.h"
#include "train/schedule.h"
#include "train/updater.h"

namespace dragoman {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// What is measured: the batches, and the vocabularies' sizes.
struct Workload {
  std::vector<Batch> batches;
  int64_t source_vocabulary = 0;
  int64_t target_vocabulary = 0;
};

// What training on the batches took.
struct Pass {
  double seconds = 0, target_tokens = 0, source_tokens = 0;
};

// A directory that is gone after use.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "dragoman-bench-XXXXXX").string();
    check(::mkdtemp(name.data()) != nullptr, "cannot make a temporary directory {}", name);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

Workload workload_of_training_text(const Config& config, int64_t steps) {
  std::optional<TemporaryDirectory> temporary;
  if (config.data.cache.empty()) temporary.emplace();
  const TrainingData data = prepare_training_data(
      config.data, config.vocabulary,
      temporary ? temporary->path() : std::filesystem::path(config.data.cache), thread_count());
  BatchStream stream(data.dataset, data.vocabularies,
                     {.batch_tokens = config.training.batch_tokens,
                      .seed = static_cast<uint64_t>(config.seed),
                      .sampling = config.vocabulary.sampling,
                      .sampling_nbest = config.vocabulary.sampling_nbest});
  Workload workload{{}, data.vocabularies.source.size(), data.vocabularies.target.size()};
  while (std::ssize(workload.batches) < steps) workload.batches.push_back(stream.next());
  return workload;
}

nlohmann::json as_lists(const Sentences& sentences) {
  nlohmann::json lists = nlohmann::json::array();
  for (int32_t i = 0; i < sentences.size(); ++i) lists.push_back(sentences[i]);
  return lists;
}

void write_batches(const std::string& path, const std::vector<Batch>& batches) {
  std::string text;
  for (const Batch& batch : batches) {
    text += nlohmann::json{{"source", as_lists(batch.source)},
                           {"target_input", as_lists(batch.target_input)},
                           {"target_output", as_lists(batch.target_output)}}
                .dump() +
            "\n";
  }
  write_atomically(path, text);
}

Tensor random_numbers(int64_t rows, int64_t columns, Device device) {
  Random random(1, 0);
  std::vector<real> numbers(static_cast<size_t>(rows * columns));
  for (real& number : numbers) number = static_cast<real>(random.uniform() - 0.5);
  return Tensor::from(numbers, {rows, columns}, device);
}

// What large products reach, in GFLOP/s: cubes, or of the depth of a layer, whichever is faster. Of
// each measurement the fastest of a few, and of all measurements the median, since the machine's
// speed changes as its neighbours work.
class Ceiling {
 public:
  Ceiling(Precision precision, Device device) : precision_(precision), device_(device) {
    // As large, or as many at once, as keeps the device busy for a while.
    constexpr int64_t kSmallest = 128, kLargest = 4096;
    constexpr double kLongEnough = 4e-3;  // seconds
    double seconds = 0;
    for (edge_ = kSmallest;; edge_ *= 2) {
      // A processor multiplies zeros faster.
      a_ = convert(random_numbers(2 * edge_, edge_, device), precision.products);
      b_ = a_.clone();
      c_ = Tensor::zeros({2 * edge_, 2 * edge_}, DType::kReal, device);
      time(edge_, edge_, edge_);  // once for the library to choose how
      seconds = time(edge_, edge_, edge_);
      if (edge_ == kLargest || seconds > kLongEnough) break;
    }
    at_once_ = std::clamp(static_cast<int>(kLongEnough / seconds), 1, 10);
  }

  void measure() {
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 5; ++i) {
      best = std::min({best, time(edge_, edge_, edge_), time(2 * edge_, 2 * edge_, edge_ / 4)});
    }
    const auto edge = static_cast<double>(edge_);
    speeds_.push_back(2e-9 * edge * edge * edge / best);
  }
  double gflops() {
    std::ranges::sort(speeds_);
    return speeds_[speeds_.size() / 2];
  }

 private:
  // Seconds of a product.
  double time(int64_t m, int64_t n, int64_t k) const {
    synchronize(device_);
    const Clock::time_point begin = Clock::now();
    for (int i = 0; i < at_once_; ++i) {
      gemm(device_, {.m = m,
                     .n = n,
                     .k = k,
                     .inputs = precision_.products,
                     .tf32 = precision_.tf32,
                     .a = a_.address(),
                     .lda = k,
                     .b = b_.address(),
                     .ldb = n,
                     .c = c_.data(),
                     .ldc = n});
    }
    synchronize(device_);
    return seconds_since(begin) / at_once_;
  }

  Precision precision_;
  Device device_;
  int64_t edge_ = 0;
  int at_once_ = 1;
  Tensor a_, b_, c_;
  std::vector<double> speeds_;
};

}  // namespace

std::vector<Batch> random_batches(const Config& config, int64_t steps, int64_t length) {
  const int64_t sentences = std::max<int64_t>(1, config.training.batch_tokens / (length + 1));
  Random random(static_cast<uint64_t>(config.seed), 0);
  const auto pieces = [&] {
    std::vector<int32_t> ids(static_cast<size_t>(length));
    for (int32_t& id : ids) {  // the first three are <unk>, <s> and </s>
      id =
          static_cast<int32_t>(3 + random.below(static_cast<uint64_t>(config.vocabulary.size) - 3));
    }
    return ids;
  };
  std::vector<Batch> batches(static_cast<size_t>(steps));
  for (Batch& batch : batches) {
    for (int64_t i = 0; i < sentences; ++i) batch.append(pieces(), pieces(), i);
  }
  return batches;
}

BenchmarkResult benchmark_training(const Config& config, const BenchmarkOptions& options) {
  const Device device = find_device(config.training.device, "training.device");
  set_thread_count(config.training.threads);
  const Workload workload = options.length > 0
                                ? Workload{random_batches(config, options.steps, options.length),
                                           config.vocabulary.size, config.vocabulary.size}
                                : workload_of_training_text(config, options.steps);
  if (!options.batches.empty()) write_batches(options.batches, workload.batches);
  Allocator& allocator = Allocator::of(device);
  allocator.reset_peak();
  Model model(config.model, workload.source_vocabulary, workload.target_vocabulary,
              static_cast<uint64_t>(config.seed), device);
  Updater updater(config, model);
  const Schedule schedule(config.training, config.model.decoder.dim);
  int64_t step = 0;
  std::optional<Updater::Begun> last;
  // Over the batches, so many times.
  const auto run_pass = [&](int64_t rounds) {
    Pass pass;
    synchronize(device);
    const Clock::time_point begin = Clock::now();
    for (int64_t round = 0; round < rounds; ++round) {
      for (const Batch& batch : workload.batches) {
        ++step;
        last = updater.update(step, schedule.learning_rate(step, 0), [&] { return batch; });
        pass.target_tokens += static_cast<double>(last->target_tokens);
        pass.source_tokens += static_cast<double>(last->source_tokens);
      }
    }
    synchronize(device);
    pass.seconds = seconds_since(begin);
    return pass;
  };

  Pass warm = run_pass(1);  // makes the primitives, and the memory that is kept
  if (device.on_gpu()) {
    run_pass(1);  // makes the graphs: see StepGraphs
    warm = run_pass(1);
  }
  // A fast device comes to its speed only after a while.
  constexpr double kShortestPass = 0.3;  // seconds
  const auto rounds = static_cast<int64_t>(std::ceil(kShortestPass / warm.seconds));
  BenchmarkResult result;
  result.device = device;
  result.peak_memory_bytes = peak_memory_of_process();
  result.peak_tensor_bytes = static_cast<int64_t>(allocator.statistics().peak);
  result.peak_device_bytes = static_cast<int64_t>(allocator.statistics().peak_reserved);
  Ceiling ceiling(updater.precision(), device);
  std::vector<Pass> passes;
  for (int64_t pass = 0; pass < options.passes; ++pass) {
    ceiling.measure();
    passes.push_back(run_pass(rounds));
  }
  ceiling.measure();
  const Updater::Update update = last->finish();
  result.loss = update.totals.loss / static_cast<double>(update.totals.target_tokens);
  check(std::isfinite(result.loss) && std::isfinite(update.gradient_norm),
        "step {}: the loss is {} and the norm of its gradient {}: what was measured is no training",
        step, result.loss, update.gradient_norm);
  {
    const Profile profile([device] { synchronize(device); });
    run_pass(1);
    result.lines = profile.lines();
  }
  result.profiled_steps = options.steps;
  double flops_per_round = 0;
  for (const Profile::Line& line : result.lines) flops_per_round += line.flops;
  std::ranges::sort(passes, {}, &Pass::seconds);
  const auto speed_of = [](const Pass& pass) { return pass.target_tokens / pass.seconds; };
  const Pass& median = passes[passes.size() / 2];
  result.target_tokens_per_second = speed_of(median);
  result.slowest = speed_of(passes.back());
  result.fastest = speed_of(passes.front());
  result.source_tokens_per_second = median.source_tokens / median.seconds;
  result.gflops = 1e-9 * flops_per_round * static_cast<double>(rounds) / median.seconds;
  result.gflop_per_step = 1e-9 * flops_per_round / static_cast<double>(options.steps);
  result.ceiling_gflops = ceiling.gflops();
  result.parameters = model.parameters().count();
  result.threads = thread_count();
  result.precision = to_string(updater.precision());
  return result;
}

}  // namespace dragoman
