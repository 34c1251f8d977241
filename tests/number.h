// What the references of the op table are written in: numbers that remember how they came about, so
// that a reference states a value in plain loops and its exact gradient follows by itself.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace dragoman {

/// A double on a list of everything computed since `forget`.
class Number {
 public:
  /// A constant.
  Number(double value = 0) : value_(value) {}
  /// A number to differentiate by.
  static Number input(double value) { return {value, Node{-1, -1, 0, 0}}; }
  static void forget() { trace().clear(); }

  /// The gradient of `root` with respect to `inputs`, one number each.
  static std::vector<double> gradient(const Number& root, const std::vector<Number>& inputs) {
    std::vector<double> slopes(trace().size() + 1, 0.0);  // the last: everything constant
    const auto slope = [&](int32_t node) -> double& {
      return node < 0 ? slopes.back() : slopes[node];
    };
    slope(root.node_) = 1;
    for (int32_t node = root.node_; node >= 0; --node) {
      const Node& step = trace()[node];
      slope(step.left) += slopes[node] * step.by_left;
      slope(step.right) += slopes[node] * step.by_right;
    }
    std::vector<double> result;
    for (const Number& input : inputs) result.push_back(slope(input.node_));
    return result;
  }

  double value() const { return value_; }

  friend Number operator+(Number a, Number b) { return {a.value_ + b.value_, a, 1, b, 1}; }
  friend Number operator-(Number a, Number b) { return {a.value_ - b.value_, a, 1, b, -1}; }
  friend Number operator*(Number a, Number b) {
    return {a.value_ * b.value_, a, b.value_, b, a.value_};
  }
  friend Number operator/(Number a, Number b) {
    const double quotient = a.value_ / b.value_;
    return {quotient, a, 1 / b.value_, b, -quotient / b.value_};
  }
  friend Number operator-(Number a) { return 0 - a; }
  Number& operator+=(Number other) { return *this = *this + other; }
  friend bool operator<(Number a, Number b) { return a.value_ < b.value_; }

  friend Number exp(Number x) { return x.apply(std::exp(x.value_), std::exp(x.value_)); }
  friend Number log(Number x) { return x.apply(std::log(x.value_), 1 / x.value_); }
  friend Number sqrt(Number x) { return x.apply(std::sqrt(x.value_), 0.5 / std::sqrt(x.value_)); }
  friend Number tanh(Number x) {
    const double y = std::tanh(x.value_);
    return x.apply(y, 1 - y * y);
  }
  friend Number erf(Number x) {
    const double slope = 2 / std::sqrt(std::acos(-1.0)) * std::exp(-x.value_ * x.value_);
    return x.apply(std::erf(x.value_), slope);
  }

 private:
  struct Node {
    int32_t left, right;  // the operands' nodes; -1: a constant
    double by_left, by_right;
  };
  Number(double value, const Node& node) : value_(value) {
    node_ = static_cast<int32_t>(trace().size());
    trace().push_back(node);
  }
  Number(double value, Number left, double by_left, Number right, double by_right) : value_(value) {
    if (left.node_ >= 0 || right.node_ >= 0) {
      *this = Number(value, Node{left.node_, right.node_, by_left, by_right});
    }
  }
  Number apply(double value, double slope) const { return {value, *this, slope, Number(), 0}; }
  static std::vector<Node>& trace() {
    static std::vector<Node> nodes;
    return nodes;
  }

  double value_;
  int32_t node_ = -1;
};

/// A matrix of them; a vector is one row.
struct Matrix {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<Number> values;

  Number operator()(int64_t row, int64_t column) const {
    return values[static_cast<size_t>(row * columns + column)];
  }
};

/// The matrix of f(row, column).
template <class F>
Matrix build(int64_t rows, int64_t columns, F f) {
  Matrix matrix{rows, columns, {}};
  matrix.values.reserve(static_cast<size_t>(rows * columns));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) matrix.values.push_back(f(row, column));
  }
  return matrix;
}

/// f(0) + ... + f(n - 1).
template <class F>
Number total(int64_t n, F f) {
  Number result = 0;
  for (int64_t i = 0; i < n; ++i) result += f(i);
  return result;
}

}  // namespace dragoman
