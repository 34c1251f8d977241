#include "autograd/tape.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/profile.h"

namespace dragoman {
void Tape::set_training(uint64_t seed, DeviceValue<uint32_t> step, uint32_t site) {
  training_ = true;
  key_ = {.seed = seed, .step = step, .site = site};
}

RandomKey Tape::next_random_key() {
  const RandomKey key = key_;
  ++key_.site;
  return key;
}

void Tape::check_values(std::string_view operation, std::span<const Tensor> values,
                        const std::vector<Variable>& inputs) const {
  for (const Tensor& value : values) {
    if (value.dtype() == DType::kInt32 || all_finite(value)) continue;
    std::string from;
    for (const Variable& input : inputs) {
      if (!input.defined()) continue;
      const bool finite = all_finite(input.value());
      from += fmt::format("{}{}{}", from.empty() ? "" : ", ", input.shape(),
                          finite ? "" : " (not finite)");
    }
    fail("the operation '{}' produced NaN or infinity in its result {}, from inputs of shapes {}",
         operation, value.shape(), from);
  }
}

Variable Tape::record(std::string_view operation, Tensor value,
                      std::initializer_list<Variable> inputs, Backward backward) {
  std::vector<Tensor> values;
  values.push_back(std::move(value));
  return record(
      operation, std::move(values), inputs,
      [backward = std::move(backward)](std::span<Tensor> gradients) { backward(gradients[0]); })[0];
}

std::vector<Variable> Tape::record(std::string_view operation, std::vector<Tensor> values,
                                   const std::vector<Variable>& inputs, BackwardMany backward) {
  Profile::mark(operation);
  if (check_finite_) check_values(operation, values, inputs);
  const bool wanted =
      recording_ && std::any_of(inputs.begin(), inputs.end(),
                                [](const Variable& input) { return input.needs_gradient(); });
  std::vector<Variable> outputs;
  outputs.reserve(values.size());
  for (Tensor& value : values) {
    outputs.push_back(wanted ? Variable::leaf(std::move(value)) : Variable(std::move(value)));
  }
  if (wanted) {
    Entry entry{operation, {}, {}, std::move(backward)};
    for (const Variable& output : outputs) entry.outputs.push_back(output.sink());
    if (check_finite_) {
      for (const Variable& input : inputs) {
        if (input.needs_gradient()) entry.inputs.push_back(input.sink());
      }
    }
    entries_.push_back(std::move(entry));
  }
  return outputs;
}

void Tape::run(Entry& entry) {
  std::vector<Tensor> gradients;
  bool any = false;
  for (const auto& sink : entry.outputs) {
    // Taken out of the sink: if nobody else reads it, the closure holds the only handle and may
    // reuse the memory.
    gradients.push_back(sink->written ? std::move(sink->gradient) : Tensor());
    sink->gradient = Tensor();
    any = any || sink->written;
  }
  if (!any) return;  // nothing that follows depends on this operation
  entry.backward(gradients);
  Profile::mark(entry.operation, Profile::Pass::kBackward);
  for (const auto& sink : entry.inputs) check_gradient(entry.operation, sink);
}

void Tape::check_gradient(std::string_view operation, const std::shared_ptr<Sink>& sink) {
  if (sink->settle) {  // made earlier, it might be made otherwise
    unsettled_.emplace_back(operation, sink);
    return;
  }
  check(!sink->written || all_finite(sink->gradient),
        "the gradient of the operation '{}' is NaN or infinite (for an input {})", operation,
        sink->gradient.shape());
}

void Tape::backward(const Variable& root) {
  check(root.needs_gradient(), "backward: the result depends on nothing that wants a gradient");
  Tensor ones = empty_like(root.value());
  ones.fill(1);
  root.add_gradient(std::move(ones));
  while (!entries_.empty()) {
    Entry entry = std::move(entries_.back());
    entries_.pop_back();
    run(entry);
  }
  for (const auto& [operation, sink] : std::exchange(unsettled_, {})) {
    check_gradient(operation, sink);
  }
  shared_.clear();
}

}  // namespace dragoman
