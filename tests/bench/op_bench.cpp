// The time of every row of the op table, forward alone and forward with backward, at the sizes of
// training: op_bench --benchmark_filter='attention.*x512'.
#include <benchmark/benchmark.h>

#include "core/math.h"
#include "core/rng.h"
#include "op_cases.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// About 2000 tokens in sentences of the lengths that training sees.
Sizes training_sizes(int64_t dim) {
  Sizes sizes{"2000x" + std::to_string(dim), {}, {}, dim, dim / 64, 8000};
  for (int tokens = 0, length = 10; tokens < 2000; tokens += length, length = length % 40 + 7) {
    sizes.source.push_back(length);
    sizes.target.push_back(length);
  }
  return sizes;
}

Tensor normal_numbers(const Shape& shape) {
  Random random(1);
  Tensor tensor = Tensor::empty(shape);
  for (int64_t i = 0; i < tensor.size(); ++i) {
    tensor.data()[i] = static_cast<real>(random.normal());
  }
  return tensor;
}

void forward(benchmark::State& state, const OpCase& row) {
  Variables inputs;
  for (const Shape& shape : row.inputs) inputs.emplace_back(normal_numbers(shape));
  for (auto _ : state) {
    Tape tape(false);
    benchmark::DoNotOptimize(row.run(tape, inputs));
  }
}

void forward_backward(benchmark::State& state, const OpCase& row) {
  Variables inputs;
  for (const Shape& shape : row.inputs) inputs.push_back(Variable::leaf(normal_numbers(shape)));
  std::vector<Tensor> gradients;
  {
    Tape tape(false);
    for (const Variable& output : row.run(tape, inputs)) {
      gradients.push_back(normal_numbers(output.shape()));
    }
  }
  for (auto _ : state) {
    for (const Variable& input : inputs) input.sink()->written = false;
    Tape tape;
    const Variables outputs = row.run(tape, inputs);
    const auto seed = [&](std::span<Tensor>) {
      for (size_t i = 0; i < outputs.size(); ++i) outputs[i].add_gradient(gradients[i]);
    };
    tape.backward(tape.record("root", {Tensor::zeros({1})}, outputs, seed)[0]);
  }
}

// One elementary function over a million numbers: whether its loop is vector code shows here.
template <real (*kFunction)(real)>
void elementary(benchmark::State& state) {
  const Tensor x = normal_numbers({1 << 20}), y = empty_like(x);
  for (auto _ : state) {
    launch::map(Device{}, x.size(),
                [in = x.data(), out = y.data()](int64_t i) { out[i] = kFunction(in[i]); });
  }
  state.SetItemsProcessed(state.iterations() * x.size());
}
BENCHMARK(elementary<exp_of>)->Name("exp_of")->UseRealTime();
BENCHMARK(elementary<tanh_of>)->Name("tanh_of")->UseRealTime();
BENCHMARK(elementary<erf_of>)->Name("erf_of")->UseRealTime();

void random_words(benchmark::State& state) {
  const Tensor mask = Tensor::empty({1 << 20}, DType::kInt32);
  for (auto _ : state) {
    launch::map_random(Device{}, mask.size(), {1, 2, 3},
                       [out = mask.data<int32_t>()](int64_t i, uint32_t word) {
                         out[i] = static_cast<int32_t>(word);
                       });
  }
  state.SetItemsProcessed(state.iterations() * mask.size());
}
BENCHMARK(random_words)->UseRealTime();

}  // namespace
}  // namespace dragoman

int main(int argc, char** argv) {
  using namespace dragoman;
  for (const int64_t dim : {256, 512, 1024}) {
    const Sizes sizes = training_sizes(dim);
    for (const OpCase& row : op_cases(sizes)) {
      const std::string name = row.title() + "/" + sizes.name;
      benchmark::RegisterBenchmark((name + "/forward").c_str(), forward, row)
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
      if (!row.differentiable) continue;
      benchmark::RegisterBenchmark((name + "/both").c_str(), forward_backward, row)
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
