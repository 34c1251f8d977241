// Learns from one sentence which letter follows which, then writes a line in its style.
#include <fmt/format.h>

#include <random>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "ops/ops.h"
#include "train/optimizer.h"

using namespace dragoman;

int main() {
  const std::string text = "the cat that sat on the mat saw the rat that ate the oats in the hat ";
  const std::vector<int32_t> letters(text.begin(), text.end());
  const Tensor first = Tensor::from(std::vector(letters.begin(), letters.end() - 1));
  const Tensor second = Tensor::from(std::vector(letters.begin() + 1, letters.end()));

  // Each letter of ASCII is a vector; another one's product with it says how well they go together.
  constexpr int64_t kLetters = 128, kWidth = 16;
  Parameters parameters;
  const Parameter table = parameters.add("table", {kLetters, kWidth}, Start::kWeights);
  const Parameter weight = parameters.add("weight", {kLetters, kWidth}, Start::kWeights);
  const Parameter bias = parameters.add("bias", {kLetters}, Start::kZeros);
  parameters.allocate(Device{}, /*seed=*/1, Initializer{});

  Optimizer adam(parameters, TrainingConfig{});
  const Record<StepInputs> inputs(Device{});
  const Record<StepResult> result(Device{});
  for (int64_t step = 1; step <= 200; ++step) {
    Tape tape;
    const Variable x = embedding(tape, *table, first);
    const Variable loss = cross_entropy(tape, x, *weight, *bias, second, /*smoothing=*/0).loss;
    if (step % 50 == 1)
      fmt::print("step {}: loss {:.3f} a letter\n", step, loss.data()[0] / real(second.size()));
    parameters.begin_gradients();
    tape.backward(loss);
    inputs.write(adam.inputs(step, /*learning_rate=*/0.03, second.size()));
    adam.update(inputs, result);
  }

  // What follows each letter, as probabilities.
  Tape tape(/*recording=*/false);
  const Variable next = softmax(tape, linear(tape, *table, *weight, *bias));
  std::mt19937 random(1);
  std::string line;
  for (int letter = ' '; line.size() < 60; line += static_cast<char>(letter)) {
    const real* const row = next.data() + letter * kLetters;
    letter = std::discrete_distribution<int>(row, row + kLetters)(random);
  }
  fmt::print("{}\n", line);
}
