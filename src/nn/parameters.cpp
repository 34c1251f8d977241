#include "nn/parameters.h"

#include <cmath>

#include "core/hash.h"
#include "core/rng.h"

namespace dragoman {
namespace {

// Parameters begin at multiples of a cache line of floats.
constexpr int64_t kAlignment = 16;

std::vector<real> initial_values(const Parameters::Entry& entry, uint64_t seed,
                                 const Initializer& initializer) {
  std::vector<real> values(static_cast<size_t>(entry.shape.size()),
                           entry.start == Start::kOnes ? real{1} : real{0});
  if (entry.start != Start::kWeights) return values;
  Random random(seed, Fnv1a().add(entry.name).value());
  // Weights are [out, in]; a vector of weights maps to one number.
  const bool matrix = entry.shape.rank() == 2;
  const double fan_out = matrix ? static_cast<double>(entry.shape[0] / entry.parts) : 1;
  const double fan_in = static_cast<double>(entry.shape[matrix ? 1 : 0]);
  const double xavier = std::sqrt(2.0 / (fan_in + fan_out));
  for (real& value : values) {
    switch (initializer.kind) {
      case Initializer::Kind::kXavierUniform:
        value = static_cast<real>((2 * random.uniform() - 1) * std::sqrt(3.0) * xavier);
        break;
      case Initializer::Kind::kXavierNormal:
        value = static_cast<real>(random.normal() * xavier);
        break;
      case Initializer::Kind::kNormal:
        value = static_cast<real>(random.normal() * initializer.scale);
        break;
      case Initializer::Kind::kUniform:
        value = static_cast<real>((2 * random.uniform() - 1) * initializer.scale);
        break;
    }
  }
  return values;
}

}  // namespace

Parameter Parameters::add(const std::string& name, const Shape& shape, Start start, int64_t parts) {
  for (const Entry& entry : entries_) {
    check(entry.name != name, "there are two parameters of the name '{}'", name);
  }
  Entry entry{name, shape, start, parts, 0, {}};
  if (!entries_.empty()) {
    const Entry& last = entries_.back();
    entry.offset = (last.offset + last.shape.size() + kAlignment - 1) / kAlignment * kAlignment;
  }
  entry.parameter.variable_ = std::make_shared<Variable>();
  entries_.push_back(entry);
  return entry.parameter;
}

void Parameters::allocate(Device device, uint64_t seed, const Initializer& initializer) {
  const int64_t size = entries_.back().offset + entries_.back().shape.size();
  values_ = Tensor::zeros({size}, DType::kReal, device);
  gradients_ = Tensor::zeros({size}, DType::kReal, device);
  for (Entry& entry : entries_) {
    const Tensor value = part(values_, entry);
    value.copy_from(Tensor::from(initial_values(entry, seed, initializer), entry.shape));
    auto sink = std::make_shared<Sink>(entry.shape, device);
    sink->gradient = part(gradients_, entry);
    *entry.parameter.variable_ = Variable(value, sink);
  }
}

void Parameters::make_bf16_copy() {
  if (bf16_copy_.defined())
    return convert(values_, bf16_copy_);  // what holds its address goes on doing so
  bf16_copy_ = convert(values_, DType::kBf16);
  for (Entry& entry : entries_) {
    Variable& variable = *entry.parameter.variable_;
    variable = variable.with_bf16_copy(part(bf16_copy_, entry));
  }
}

int64_t Parameters::count() const {
  int64_t count = 0;
  for (const Entry& entry : entries_) count += entry.shape.size();
  return count;
}

void Parameters::begin_gradients(bool add) const {
  for (const Entry& entry : entries_) (*entry.parameter).sink()->written = add;
}

void Parameters::complete_gradients() const {
  for (const Entry& entry : entries_) {
    Sink& sink = *(*entry.parameter).sink();
    if (!sink.written) sink.gradient.clear();
    sink.written = true;
  }
}

}  // namespace dragoman
