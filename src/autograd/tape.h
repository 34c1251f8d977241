// Automatic differentiation. The tape is a list: each operation appends one closure, and `backward`
// pops them in reverse, which frees each step's tensors as it goes. There is no graph to sort: the
// order of creation is an order in which every gradient is complete before it is used.
#pragma once

#include <array>
#include <bit>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "autograd/precision.h"
#include "core/rng.h"
#include "tensor/tensor.h"

namespace dragoman {

/// Where the gradient of one variable gathers: assigned at the first write, added to after, so that
/// nothing need be filled with zeros first.
struct Sink {
  Sink(const Shape& of, Device on) : shape(of), device(on) {}

  Shape shape;  ///< Of the variable.
  Device device;
  Tensor gradient;
  bool written = false;
  bool shared = false;  ///< Others may read the gradient: it is copied before it is added to.
  /// As what the operation that made the variable would best have its gradient: kBf16 where it
  /// reads it so, as matrix products do. A gradient may be kReal all the same.
  DType preferred = DType::kReal;
  /// Where that operation would have it, beside the gradients of others: memory of the preferred
  /// type. Undefined where it does not matter.
  std::function<Tensor()> place;
  /// Writes what is still to be written of a gradient that counts as written (ops/batched_sums.h).
  std::function<void()> settle;

  /// Does so.
  void settled() {
    if (settle) std::exchange(settle, nullptr)();
  }
};

/// A place that a backward function writes a gradient to, element by element.
class GradientWriter {
 public:
  GradientWriter() = default;
  DRAGOMAN_HOST_DEVICE GradientWriter(real* data, bool accumulate)
      : data_(data), kept_(accumulate ? ~Bits{0} : 0) {}

  DRAGOMAN_HOST_DEVICE void operator()(int64_t i, real value) const {
#if defined(__CUDA_ARCH__)
    data_[i] = kept_ ? data_[i] + value : value;  // nothing is read in vain
#else
    data_[i] = std::bit_cast<real>(std::bit_cast<Bits>(data_[i]) & kept_) + value;
#endif
  }
  DRAGOMAN_HOST_DEVICE real* data() const { return data_; }
  DRAGOMAN_HOST_DEVICE bool accumulate() const { return kept_ != 0; }
  /// False where no gradient is wanted.
  DRAGOMAN_HOST_DEVICE explicit operator bool() const { return data_ != nullptr; }

 private:
  using Bits = std::conditional_t<sizeof(real) == 4, uint32_t, uint64_t>;

  real* data_ = nullptr;
  // Which bits of the old number count: all or none. A condition instead would keep the compiler
  // from making vector code of the loops that write gradients.
  Bits kept_ = 0;
};

/// A value, and where its gradient goes if one is wanted. Copies are the same variable.
class Variable {
 public:
  Variable() = default;
  /// A constant.
  explicit Variable(Tensor value) : value_(std::move(value)) {}
  Variable(Tensor value, std::shared_ptr<Sink> sink)
      : value_(std::move(value)), sink_(std::move(sink)) {}

  /// A variable whose gradient is wanted: a leaf, for tests and parameters.
  static Variable leaf(Tensor value) {
    auto sink = std::make_shared<Sink>(value.shape(), value.device());
    return {std::move(value), std::move(sink)};
  }

  bool defined() const { return value_.defined(); }
  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  int64_t rows() const { return value_.rows(); }
  int64_t columns() const { return value_.columns(); }
  real* data() const { return value_.data(); }
  bool needs_gradient() const { return sink_ != nullptr; }
  const std::shared_ptr<Sink>& sink() const { return sink_; }

  /// The same variable with a bf16 copy of its value, for matrix products, which its owner keeps up
  /// to date: weights have one.
  Variable with_bf16_copy(Tensor bf16_copy) const {
    Variable copy = *this;
    copy.bf16_copy_ = std::move(bf16_copy);
    return copy;
  }
  /// That copy, or undefined.
  const Tensor& bf16_copy() const { return bf16_copy_; }

  /// What a backward function keeps of an input whose value it does not read: the way to its
  /// gradient, so that the value's memory is free.
  Variable gradient_only() const { return {Tensor(), sink_}; }

  /// Sets Sink::preferred, where a gradient is wanted.
  const Variable& prefers(DType type) const {
    if (sink_) sink_->preferred = type;
    return *this;
  }

  /// Unwritten memory for a gradient that is to be handed to add_gradient: where it would be put
  /// in any case, if it is the first and of that type.
  Tensor new_gradient(DType type, const Shape& shape, Device device) const;

  /// For a backward function that writes every element: opens the sink. False if none is wanted.
  GradientWriter gradient() const;
  /// For one that adds to some elements: opens the sink with the rest at zero.
  GradientWriter zeroed_gradient() const;
  /// Adds a whole tensor of the value's size. The first is not copied: others may hold it, but must
  /// not write to it any more.
  void add_gradient(Tensor gradient) const;
  /// The same for a part of a larger tensor whose other parts are others' own: if it is the first,
  /// it may be written to.
  void add_own_part(Tensor gradient) const;

 private:
  void add(Tensor gradient, bool shared) const;

  Tensor value_;
  Tensor bf16_copy_;
  std::shared_ptr<Sink> sink_;
};

/// Objects by the addresses, up to four, that they were made from.
class SharedObjects {
 public:
  using Key = std::array<const void*, 4>;
  /// The object that `make` returned at the first call with this key.
  template <class T, class Make>
  std::shared_ptr<T> find(const Key& key, Make make) {
    std::shared_ptr<void>& object = objects_[key];
    if (!object) object = make();
    return std::static_pointer_cast<T>(object);
  }
  void clear() { objects_.clear(); }

 private:
  std::map<Key, std::shared_ptr<void>> objects_;
};

/// What tapes made of parameters alone. The tapes may be those of several threads: each object is
/// made once, while the others wait, and must be one that threads may read together.
class PreparedObjects {
 public:
  template <class T, class Make>
  std::shared_ptr<T> find(const SharedObjects::Key& key, Make make) {
    const std::lock_guard lock(mutex_);
    return objects_.find<T>(key, make);
  }

 private:
  std::mutex mutex_;
  SharedObjects objects_;
};

/// The list of what was computed, for going back over it. One training step uses one tape. A tape
/// is for one thread; threads that compute with the same parameters have a tape each.
class Tape {
 public:
  /// Computes the gradients of an operation's inputs from that of its output.
  using Backward = std::function<void(Tensor& output_gradient)>;
  /// The same for several outputs; a gradient that nobody wrote is undefined.
  using BackwardMany = std::function<void(std::span<Tensor> output_gradients)>;

  /// With `recording` off nothing is kept, and no gradient can be had: translation, validation.
  explicit Tape(bool recording = true) : recording_(recording) {}
  /// Such a tape, which finds what others before it made of parameters alone (`prepared`), and adds
  /// to it. It must have the same products as they, and no parameter may change in between.
  explicit Tape(std::shared_ptr<PreparedObjects> prepared)
      : recording_(false), prepared_(std::move(prepared)) {}

  /// Turns dropout on, its masks drawn from (`seed`, `step`, places in the model from `site` on).
  void set_training(uint64_t seed, DeviceValue<uint32_t> step, uint32_t site = 0);
  bool training() const { return training_; }
  bool recording() const { return recording_; }
  /// The key of the next dropout mask. The n-th call of a step always gives the same key.
  RandomKey next_random_key();
  /// The place that the next mask will have, which may be changed to one that none has had.
  uint32_t next_site() const { return key_.site; }
  void set_next_site(uint32_t site) { key_.site = site; }

  /// What matrix products read. What only they read is best written as this type.
  DType products() const { return precision_.products; }
  bool tf32() const { return precision_.tf32; }
  void set_products(Precision precision) { precision_ = precision; }

  /// Checks every value and gradient as it is made; the first one that is not finite throws an
  /// Error naming the operation, shapes and inputs.
  void set_check_finite(bool check_finite) { check_finite_ = check_finite; }

  /// Ends an operation: wraps its value, and keeps `backward` if an input wants a gradient.
  Variable record(std::string_view operation, Tensor value, std::initializer_list<Variable> inputs,
                  Backward backward);
  /// The same for any number of outputs and inputs.
  std::vector<Variable> record(std::string_view operation, std::vector<Tensor> values,
                               const std::vector<Variable>& inputs, BackwardMany backward);

  /// Goes back from `root`, whose gradient is set to one, to every leaf. Empties the tape.
  void backward(const Variable& root);

  /// What calls of an operation with the same parameters share, by their addresses: the object that
  /// `make` returns at the first call. It lives until the tape is gone back over; until then no
  /// parameter may change.
  using Key = SharedObjects::Key;
  template <class T, class Make>
  std::shared_ptr<T> shared(const Key& key, Make make) {
    return shared_.find<T>(key, make);
  }
  /// The same for what depends on parameters alone, and on no batch: other tapes may have made it.
  template <class T, class Make>
  std::shared_ptr<T> prepared(const Key& key, Make make) {
    return prepared_ ? prepared_->find<T>(key, make) : shared_.find<T>(key, make);
  }

  /// Operations kept.
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string_view operation;  // a literal
    std::vector<std::shared_ptr<Sink>> outputs;
    std::vector<std::shared_ptr<Sink>> inputs;  // only kept when checking
    BackwardMany backward;
  };
  void check_values(std::string_view operation, std::span<const Tensor> values,
                    const std::vector<Variable>& inputs) const;
  void run(Entry& entry);
  void check_gradient(std::string_view operation, const std::shared_ptr<Sink>& sink);

  bool recording_;
  bool training_ = false;
  bool check_finite_ = false;
  Precision precision_;
  RandomKey key_;
  std::vector<Entry> entries_;
  SharedObjects shared_;
  std::shared_ptr<PreparedObjects> prepared_;  // null: what is prepared is this tape's alone
  // Gradients that are checked when backward has ended, and whose they are.
  std::vector<std::pair<std::string_view, std::shared_ptr<Sink>>> unsettled_;
};

/// Like GradientWriter, for a fresh gradient of bf16.
struct Bf16Writer {
  Bf16* data;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i, real value) const { data[i] = value; }
};

/// Calls write(to), which must give every element of x's gradient by to(i, value) once. Unlike
/// Variable::gradient, it writes in the type that is preferred where x has no gradient yet. Does
/// nothing if none is wanted. What `write` launches must be a named functor: CUDA takes no lambda
/// of a device inside a generic one.
template <class F>
void write_gradient(const Variable& x, F write) {
  if (!x.needs_gradient()) return;
  Sink& sink = *x.sink();
  if (sink.preferred == DType::kBf16 && !sink.written && !sink.gradient.defined()) {
    sink.gradient = x.new_gradient(DType::kBf16, sink.shape, sink.device);
    sink.written = true;
    write(Bf16Writer{sink.gradient.data<Bf16>()});
  } else {
    write(x.gradient());
  }
}

/// Whether every element is finite.
bool all_finite(const Tensor& tensor);

}  // namespace dragoman
