// The table of operations: one row an operation and way of using it, at any size. Every row is run
// through the checks of op_reference_test.cpp and op_gradient_test.cpp and timed by
// bench/op_bench.cpp. To add an operation, add its row in op_cases.cpp; a test holds that every
// function of ops/ops.h has one.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "number.h"

namespace dragoman {

using Variables = std::vector<Variable>;
using Matrices = std::vector<Matrix>;

struct OpCase {
  std::string name;           ///< The function in ops/ops.h.
  std::string variant;        ///< What this row tries; empty for the plain use.
  std::vector<Shape> inputs;  ///< Of the Variable arguments, filled with normal numbers.
  /// The operation. Outputs that carry no gradient (attention weights) are constants.
  std::function<Variables(Tape&, const Variables&)> run;
  /// The same, unfused, in plain loops. The gradient follows by itself: see number.h.
  std::function<Matrices(const Matrices&)> reference;
  bool differentiable = true;

  std::string title() const { return variant.empty() ? name : name + "_" + variant; }
};

/// What the shapes of the rows are made from.
struct Sizes {
  std::string name;
  std::vector<int32_t> source;  ///< Lengths of the source sentences, none empty.
  std::vector<int32_t> target;  ///< And of as many target sentences.
  int64_t dim;                  ///< Features; even, and a multiple of `heads`.
  int64_t heads;
  int64_t classes;  ///< The vocabulary.
};

/// The table.
std::vector<OpCase> op_cases(const Sizes& sizes);

/// The sizes that the tests run: one of each; small and odd; every sentence length from 1 to 70,
/// past the blocks of the kernels; and large enough for several threads.
std::vector<Sizes> test_sizes();

}  // namespace dragoman
