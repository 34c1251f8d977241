#include "cli/bench.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/config.h"
#include "cli/machine_options.h"
#include "cli/output.h"
#include "cli/whole_number.h"
#include "train/benchmark.h"

namespace dragoman {
namespace {

struct BenchOptions {
  std::string config;
  std::vector<std::string> sets;
  std::string device;
  std::optional<int> threads;
  BenchmarkOptions benchmark;
  bool json = false;
};

std::string json_of(const BenchmarkResult& result) {
  auto operations = nlohmann::ordered_json::array();
  for (const Profile::Line& line : result.lines) {
    const auto steps = static_cast<double>(result.profiled_steps);
    operations.push_back({{"operation", line.name},
                          {"calls_per_step", static_cast<double>(line.calls) / steps},
                          {"seconds_per_step", line.seconds / steps},
                          {"gflop_per_step", 1e-9 * line.flops / steps}});
  }
  return nlohmann::ordered_json{{"target_tokens_per_second", result.target_tokens_per_second},
                                {"slowest_target_tokens_per_second", result.slowest},
                                {"fastest_target_tokens_per_second", result.fastest},
                                {"source_tokens_per_second", result.source_tokens_per_second},
                                {"gflops", result.gflops},
                                {"gflop_per_step", result.gflop_per_step},
                                {"loss", result.loss},
                                {"ceiling_gflops", result.ceiling_gflops},
                                {"ceiling_fraction", result.ceiling_fraction()},
                                {"device", to_string(result.device)},
                                {"device_name", describe(result.device)},
                                {"peak_memory_bytes", result.peak_memory_bytes},
                                {"peak_tensor_bytes", result.peak_tensor_bytes},
                                {"peak_device_bytes", result.peak_device_bytes},
                                {"parameters", result.parameters},
                                {"threads", result.threads},
                                {"precision", result.precision},
                                {"operations", operations}}
             .dump(2) +
         "\n";
}

std::string text_of(const BenchmarkResult& result) {
  constexpr double kMebibyte = 1 << 20;
  return profile_table(result.lines, result.profiled_steps) +
         fmt::format(
             "\n"
             "target tokens/s   {:.0f} ({:.0f} to {:.0f}); source {:.0f}\n"
             "products          {:.1f} GFLOP/s, {:.1f} GFLOP a step\n"
             "ceiling           {:.1f} GFLOP/s, that of one large product\n"
             "of the ceiling    {:.3f}\n"
             "device            {}\n"
             "peak memory       {:.0f} MiB of the process; tensors {:.0f} MiB, {:.0f} MiB with "
             "what is kept for reuse\n"
             "model             {} parameters, {}, {} threads\n",
             result.target_tokens_per_second, result.slowest, result.fastest,
             result.source_tokens_per_second, result.gflops, result.gflop_per_step,
             result.ceiling_gflops, result.ceiling_fraction(), describe(result.device),
             static_cast<double>(result.peak_memory_bytes) / kMebibyte,
             static_cast<double>(result.peak_tensor_bytes) / kMebibyte,
             static_cast<double>(result.peak_device_bytes) / kMebibyte, result.parameters,
             result.precision, result.threads);
}

void bench(const BenchOptions& options) {
  Config config = load_config(options.config, options.sets);
  if (!options.device.empty()) config.training.device = options.device;
  if (options.threads) config.training.threads = *options.threads;
  const BenchmarkResult result = benchmark_training(config, options.benchmark);
  Output output("");
  output.stream() << (options.json ? json_of(result) : text_of(result));
  output.finish();
}

constexpr const char* kFooter =
    "Examples:\n"
    "  dragoman bench train my.yaml\n"
    "  dragoman bench train my.yaml --set training.batch_tokens=8000 --json\n"
    "  dragoman bench train my.yaml --length 256\n\n"
    "Some batches are trained on again and again; no run directory is made. Of each operation it "
    "tells the\ncalls and milliseconds a step, and the speed of its matrix products, whose bound "
    "is measured between\nthe passes as the speed of one large product. The table is of one more "
    "pass, on a GPU with a wait after\neach operation.";

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("bench", "Measure how fast this machine is");
  verb->require_subcommand(1);
  CLI::App* train = verb->add_subcommand("train", "Measure the speed of training");
  train->footer(kFooter);
  auto options = std::make_shared<BenchOptions>();
  BenchmarkOptions& benchmark = options->benchmark;
  train->add_option("CONFIG", options->config, "A YAML file")->required()->type_name("FILE");
  add_set_option(*train, options->sets);
  add_device_option(*train, options->device, "training.device");
  add_threads_option(*train, options->threads);
  train->add_option("--steps", benchmark.steps, "Batches, one a step")
      ->check(whole_number_from(1))
      ->type_name("N")
      ->capture_default_str();
  train
      ->add_option("--passes", benchmark.passes,
                   "Passes over them, of which the median is told, after a warm-up; each is over "
                   "them as often as takes 0.3 s")
      ->check(whole_number_from(1))
      ->type_name("N")
      ->capture_default_str();
  train
      ->add_option("--length", benchmark.length,
                   "Sentences of N random pieces in place of the training text")
      ->check(whole_number_from(1))
      ->type_name("N");
  train
      ->add_option("--batches", benchmark.batches,
                   "Write the batches there, a JSON object a line, for other programs to train on")
      ->type_name("FILE");
  train->add_flag("--json", options->json, "Print JSON");
  train->callback([options] { bench(*options); });
}

}  // namespace dragoman
