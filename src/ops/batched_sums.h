// Sums of columns of several matrices at once: the gradients of biases and gains.
#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "ops/batched_gradients.h"
#include "tensor/launch.h"

namespace dragoman {

/// The sums of one tape that are made by functors of the types F.
template <class... F>
class BatchedSums : BatchedGradients {
 public:
  using Parameters = std::array<Variable, sizeof...(F)>;

  /// Those of the tape; null where they are better made at once. To be called by the operation
  /// that will add some, before it is recorded.
  static std::shared_ptr<BatchedSums> of(Tape& tape, const Parameters& parameters) {
    for (const Variable& parameter : parameters) {
      if (!can_be_batched(tape, parameter)) return nullptr;
    }
    static constexpr char kOne = 0;
    return tape.shared<BatchedSums>(
        {&kOne}, [&] { return std::make_shared<BatchedSums>(tape, parameters[0].sink()->device); });
  }

  BatchedSums(Tape& tape, Device device)
      : BatchedGradients(tape, "batched sums", device), device_(device) {}
  ~BatchedSums() override {
    for (const Pending& sum : pending_) forget_all(sum);
  }

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
    for (const Variable& parameter : parameters) wait(parameter);
    pending_.push_back(std::move(sum));
    if (pending_.size() == launch::kMostMatrices) make();
  }

 private:
  struct Pending {
    launch::MatrixSums<F...> sums;
    Parameters parameters;
    std::vector<Tensor> read;
  };

  static void forget_all(const Pending& sum) {
    for (const Variable& parameter : sum.parameters) forget(parameter);
  }

  void make() override {
    std::vector<launch::MatrixSums<F...>> sums;
    for (const Pending& sum : pending_) {
      sums.push_back(sum.sums);
      forget_all(sum);
    }
    launch::sum_rows_of_each(device_, std::span<const launch::MatrixSums<F...>>(sums));
    pending_.clear();
  }

  Device device_;
  std::vector<Pending> pending_;
};

}  // namespace dragoman
