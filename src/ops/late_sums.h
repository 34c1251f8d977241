// Sums of columns that nobody reads before backward has ended: the gradients of biases and gains.
// On a GPU the launch of one takes longer than its sums, so several are made together.
#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "autograd/tape.h"
#include "tensor/launch.h"

namespace dragoman {

/// The sums of one tape that are made by functors of the types F.
template <class... F>
class LateSums {
 public:
  using Parameters = std::array<Variable, sizeof...(F)>;

  /// Those of the tape; null where they are better made at once. To be called by the operation
  /// that will add some, before it is recorded.
  static std::shared_ptr<LateSums> of(Tape& tape, const Parameters& parameters) {
    for (const Variable& parameter : parameters) {
      if (!tape.recording() || !parameter.needs_gradient()) return nullptr;
      if (!parameter.sink()->device.on_gpu()) return nullptr;
    }
    static constexpr char kOne = 0;
    return tape.shared<LateSums>({&kOne},
                                 [&] { return std::make_shared<LateSums>(tape, parameters[0]); });
  }

  // Recorded before all operations that add sums, and so run after them.
  LateSums(Tape& tape, const Variable& parameter) : device_(parameter.sink()->device) {
    const Tensor none = Tensor::zeros({1}, DType::kReal, device_);
    end_ = tape.record("late sums", none, {parameter}, [this](Tensor&) { make(); });
  }
  ~LateSums() {
    for (const Pending& sum : pending_) forget(sum);
  }
  LateSums(const LateSums&) = delete;
  LateSums& operator=(const LateSums&) = delete;

  /// Adds the sums of the columns of each f to the gradient of its parameter; `read` is what the
  /// functors read.
  void add(int64_t rows, int64_t columns, const Parameters& parameters, std::vector<Tensor> read,
           const F&... f) {
    size_t next = 0;
    const auto sums_of = [&]<class One>(const One& one) {
      const GradientWriter to = parameters[next++].gradient();
      return launch::ColumnSums<One>{to.data(), to.accumulate(), one};
    };
    Pending sum{{rows, columns, std::tuple{sums_of(f)...}}, parameters, std::move(read)};
    for (const Variable& parameter : parameters) parameter.sink()->settle = [this] { make(); };
    pending_.push_back(std::move(sum));
    end_.zeroed_gradient();
    if (pending_.size() == launch::kMostMatrices) make();
  }

 private:
  struct Pending {
    launch::MatrixSums<F...> sums;
    Parameters parameters;
    std::vector<Tensor> read;
  };

  static void forget(const Pending& sum) {
    for (const Variable& parameter : sum.parameters) parameter.sink()->settle = nullptr;
  }

  void make() {
    std::vector<launch::MatrixSums<F...>> sums;
    for (const Pending& sum : pending_) {
      sums.push_back(sum.sums);
      forget(sum);
    }
    launch::sum_rows_of_each(device_, std::span<const launch::MatrixSums<F...>>(sums));
    pending_.clear();
  }

  Device device_;
  Variable end_;
  std::vector<Pending> pending_;
};

}  // namespace dragoman
