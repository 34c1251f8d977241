// What the table of op_cases.cpp does not say of the operations: errors, dropout's statistics, and
// numbers at the edges.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "core/check.h"
#include "ops/ops.h"

namespace dragoman {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::StartsWith;
using testing::ThrowsMessage;

Variable zeros(const Shape& shape, Device device = {}) {
  return Variable::leaf(Tensor::zeros(shape, DType::kReal, device));
}
Tensor ids(std::vector<int32_t> values) { return Tensor::from(values); }

// Uses that do not fit: each must throw an Error that begins with the operation's name.
struct Misfit {
  std::string name;
  std::function<void(Tape&)> use;
};

class OpErrors : public testing::TestWithParam<Misfit> {};

void PrintTo(const Misfit& misfit, std::ostream* out) { *out << misfit.name; }

const Misfit kMisfits[] = {
    {"add",
     [](Tape& t) {
       add(t, zeros({2, 3}), zeros({3, 2}));
     }},
    {"subtract",
     [](Tape& t) {
       subtract(t, zeros({2, 3}), zeros({2, 4}));
     }},
    {"multiply",
     [](Tape& t) {
       multiply(t, zeros({2, 3}), zeros({6}));
     }},
    {"add_bias",
     [](Tape& t) {
       add_bias(t, zeros({2, 3}), zeros({2}));
     }},
    {"glu",
     [](Tape& t) {
       glu(t, zeros({2, 3}));
     }},
    {"swiglu",
     [](Tape& t) {
       swiglu(t, zeros({2, 3}));
     }},
    {"geglu",
     [](Tape& t) {
       geglu(t, zeros({2, 3}));
     }},
    {"maxout",
     [](Tape& t) {
       maxout(t, zeros({2, 3}));
     }},
    {"dropout",
     [](Tape& t) {
       dropout(t, zeros({2, 3}), 1);
     }},
    {"dropout",
     [](Tape& t) {
       dropout(t, zeros({2, 3}), real(-0.1));
     }},
    {"concat_columns",
     [](Tape& t) {
       concat_columns(t, {zeros({2, 3}), zeros({3, 3})});
     }},
    {"concat_columns", [](Tape& t) { concat_columns(t, {}); }},
    {"slice_columns",
     [](Tape& t) {
       slice_columns(t, zeros({2, 3}), 2, 2);
     }},
    {"slice_columns",
     [](Tape& t) {
       slice_columns(t, zeros({2, 3}), -1, 2);
     }},
    {"concat_rows",
     [](Tape& t) {
       concat_rows(t, {zeros({2, 3}), zeros({2, 4})});
     }},
    {"concat_rows", [](Tape& t) { concat_rows(t, {}); }},
    {"slice_rows",
     [](Tape& t) {
       slice_rows(t, zeros({2, 3}), 1, 3);
     }},
    {"split_rows",
     [](Tape& t) {
       split_rows(t, zeros({2, 3}), {1, 2});
     }},
    {"gather_rows",
     [](Tape& t) {
       gather_rows(t, zeros({2, 3}), Tensor::zeros({2}));
     }},
    {"permute_rows",
     [](Tape& t) {
       permute_rows(t, {zeros({2, 3})}, {{ids({1, 0}), ids({1})}});
     }},
    {"permute_rows",
     [](Tape& t) {
       const Permutation order{ids({1, 0}), ids({1, 0})}, shorter{ids({1}), ids({-1, 0})};
       permute_rows(t, {zeros({2, 3}), zeros({2, 3})}, {order, shorter});
     }},
    {"permute_rows",
     [](Tape& t) {
       const Permutation order{ids({1, 0}), ids({1, 0})};
       permute_rows(t, {zeros({2, 3}), zeros({3, 3})}, {order, order});
     }},
    {"permute_rows",
     [](Tape& t) {
       permute_rows(t, {zeros({2, 3})}, {});
     }},
    {"scatter_rows",
     [](Tape& t) {
       scatter_rows(t, zeros({2, 3}), ids({0}), 5);
     }},
    {"mean_rows",
     [](Tape& t) {
       mean_rows(t, zeros({2, 3}), Tensor::zeros({2}));
     }},
    {"matmul",
     [](Tape& t) {
       matmul(t, zeros({2, 3}), zeros({2, 3}));
     }},
    {"matmul",
     [](Tape& t) {
       matmul(t, zeros({2, 3}), zeros({3, 2}), true, false);
     }},
    {"linear",
     [](Tape& t) {
       linear(t, zeros({2, 3}), zeros({3, 4}));
     }},
    {"linear",
     [](Tape& t) {
       linear(t, zeros({2, 3}), zeros({4, 3}), zeros({3}));
     }},
    {"layer_norm",
     [](Tape& t) {
       layer_norm(t, zeros({2, 3}), zeros({2}), zeros({3}), 1);
     }},
    {"layer_norm",
     [](Tape& t) {
       layer_norm(t, zeros({2, 3}), zeros({3}), zeros({2}), 1);
     }},
    {"rms_norm",
     [](Tape& t) {
       rms_norm(t, zeros({2, 3}), zeros({2}), 1);
     }},
    {"softmax",
     [](Tape& t) {
       softmax(t, zeros({2, 3}), ids({1}));
     }},
    {"log_softmax",
     [](Tape& t) {
       log_softmax(t, zeros({2, 3}), ids({1, 2, 3}));
     }},
    {"cross_entropy",
     [](Tape& t) {
       cross_entropy(t, zeros({2, 4}), zeros({3, 4}), zeros({3}), ids({1}), 0);
     }},
    {"cross_entropy",
     [](Tape& t) {
       cross_entropy(t, zeros({2, 4}), zeros({3, 4}), zeros({3}), ids({1, 2}), 1);
     }},
    {"cross_entropy",
     [](Tape& t) {
       cross_entropy(t, zeros({2, 4}), zeros({3, 5}), zeros({3}), ids({1, 2}), 0);
     }},
    {"cross_entropy",
     [](Tape& t) {
       cross_entropy(t, zeros({2, 4}), zeros({3, 4}), zeros({2}), ids({1, 2}), 0);
     }},
    {"embedding",
     [](Tape& t) {
       embedding(t, zeros({2, 3}), Tensor::zeros({2}));
     }},
    {"add_rows",
     [](Tape& t) {
       add_rows(t, zeros({2, 3}), zeros({4, 2}), ids({0, 1}));
     }},
    {"add_rows",
     [](Tape& t) {
       add_rows(t, zeros({2, 3}), zeros({4, 3}), ids({0, 1, 2}));
     }},
    {"attention",
     [](Tape& t) {
       const AttentionLayout layout{ids({0, 2}), ids({0, 2}), {}, {}, 2};
       attention(t, zeros({2, 3}), zeros({2, 3}), zeros({2, 3}), layout, {.heads = 2});
     }},
    {"attention",
     [](Tape& t) {
       const AttentionLayout layout{ids({0, 2}), ids({0, 2}), {}, {}, 2};
       attention(t, zeros({2, 3}), zeros({2, 4}), zeros({2, 3}), layout, {});
     }},
    {"attention",
     [](Tape& t) {
       const AttentionLayout layout{ids({0, 1, 2}), ids({0, 2}), {}, {}, 2};
       attention(t, zeros({2, 3}), zeros({2, 3}), zeros({2, 3}), layout, {});
     }},
    {"additive_attention",
     [](Tape& t) {
       const AttentionLayout layout{ids({0, 1}), ids({0, 2}), {}, {}, 2};
       additive_attention(t, zeros({1, 3}), zeros({2, 4}), zeros({3}), zeros({2, 5}), layout);
     }},
    {"additive_attention",
     [](Tape& t) {
       const AttentionLayout layout{ids({0, 1}), ids({0, 2}), {}, {}, 2};
       additive_attention(t, zeros({2, 3}), zeros({2, 3}), zeros({3}), zeros({2, 5}), layout);
     }},
    {"gru_cell",
     [](Tape& t) {
       gru_cell(t, zeros({2, 9}), zeros({2, 9}), zeros({2, 4}));
     }},
    {"gru_cell",
     [](Tape& t) {
       gru_cell(t, zeros({2, 9}), zeros({2, 9}), zeros({1, 3}));
     }},
    {"lstm_cell",
     [](Tape& t) {
       lstm_cell(t, zeros({2, 8}), zeros({2, 9}), zeros({2, 2}));
     }},
    {"lstm_cell",
     [](Tape& t) {
       lstm_cell(t, zeros({2, 9}), zeros({2, 9}), zeros({2, 3}));
     }},
};

INSTANTIATE_TEST_SUITE_P(, OpErrors, testing::ValuesIn(kMisfits));

TEST_P(OpErrors, BeginWithTheOperation) {
  Tape tape;
  EXPECT_THAT([&] { GetParam().use(tape); },
              ThrowsMessage<Error>(StartsWith(GetParam().name + ":")));
}

// Dropout -----------------------------------------------------------------------------------------

TEST(Dropout, ZeroesTheShareAskedForAndKeepsTheMean) {
  const int64_t n = 1'000'000;
  Tensor ones = Tensor::empty({n});
  std::fill_n(ones.data(), n, real{1});
  for (const double probability : {0.1, 0.5, 0.9}) {
    Tape tape;
    tape.set_training(1, 1);
    const auto y = dropout(tape, Variable(ones), static_cast<real>(probability)).value().to_host();
    const double kept = 1 / (1 - static_cast<double>(static_cast<real>(probability)));
    const auto zeroed = static_cast<double>(std::count(y.begin(), y.end(), real{0}));
    const double deviation = std::sqrt(probability * (1 - probability) / double(n));
    EXPECT_NEAR(zeroed / double(n), probability, 5 * deviation);
    for (const real value : y) ASSERT_TRUE(value == 0 || std::abs(value - kept) < 1e-5);
  }
}

TEST(Dropout, DiffersByStepAndPlaceAndNotByRun) {
  const Tensor x = Tensor::empty({1000});
  std::fill_n(x.data(), 1000, real{1});
  const auto masks = [&](uint32_t step) {
    Tape tape;
    tape.set_training(1, step);
    std::vector<std::vector<real>> result;
    for (int i = 0; i < 2; ++i)
      result.push_back(dropout(tape, Variable(x), 0.5f).value().to_host());
    return result;
  };
  const auto first = masks(1);
  EXPECT_NE(first[0], first[1]);
  EXPECT_NE(first[0], masks(2)[0]);
  EXPECT_EQ(first, masks(1));
}

// Numbers at the edges ----------------------------------------------------------------------------

TEST(Softmax, OfHugeNumbersIsFinite) {
  Tape tape;
  const Variable x = Variable::leaf(Tensor::from(std::vector<real>{1e30f, 0, -1e30f}, {1, 3}));
  EXPECT_THAT(softmax(tape, x).value().to_host(), ElementsAre(1, 0, 0));
  EXPECT_THAT(log_softmax(tape, x).value().to_host(), ElementsAre(0, -1e30f, -2e30f));
  const Variable identity(Tensor::from(std::vector<real>{1, 0, 0, 0, 1, 0, 0, 0, 1}, {3, 3}));
  const CrossEntropy result = cross_entropy(tape, x, identity, zeros({3}), ids({1}), 0);
  EXPECT_THAT(result.loss.value().to_host(), ElementsAre(1e30f));
  tape.backward(result.loss);
  EXPECT_TRUE(all_finite(x.sink()->gradient));
}

TEST(Attention, DropsNoWeightsOfSharedSegments) {
  Tape tape;
  tape.set_training(1, 1);
  const Variable x = zeros({1, 4});
  const AttentionLayout layout{.query_offsets = ids({0, 1}),
                               .key_offsets = ids({0, 1}),
                               .key_segments = ids({0}),
                               .longest_key = 1};
  EXPECT_THAT(
      [&] {
        attention(tape, {x, 0, 4}, {x, 0, 4}, {x, 0, 4}, layout, {.dropout = 0.5f});
      },
      ThrowsMessage<Error>(StartsWith("attention: no dropout")));
}

TEST(Attention, OfHugeNumbersIsFinite) {
  Tape tape;
  const Variable q = Variable::leaf(Tensor::from(std::vector<real>{1e10f, 1, -1e10f, 1}, {4, 1}));
  const AttentionLayout layout{ids({0, 4}), ids({0, 4}), {}, {}, 4};
  const Variable y = attention(tape, q, q, q, layout, {});
  EXPECT_TRUE(all_finite(y.value()));
  tape.backward(sum(tape, y));
  EXPECT_TRUE(all_finite(q.sink()->gradient));
}

TEST(Linear, OfOneWeightMayHaveManyBiases) {
  const Variable x(Tensor::from(std::vector<real>{1, 2}, {1, 2}));
  const Variable weight(Tensor::from(std::vector<real>{3, 4}, {1, 2}));
  const Variable one(Tensor::from(std::vector<real>{1})), ten(Tensor::from(std::vector<real>{10}));
  Tape tape(/*recording=*/false);
  EXPECT_THAT(linear(tape, x, weight, one).value().to_host(), ElementsAre(12));
  EXPECT_THAT(linear(tape, x, weight, ten).value().to_host(), ElementsAre(21));
  EXPECT_THAT(linear(tape, x, weight).value().to_host(), ElementsAre(11));
}

TEST(StepLinear, SharesItsWeightWithOtherBiases) {
  const Variable x(Tensor::from(std::vector<real>{1, 2}, {1, 2}));
  const Variable weight = Variable::leaf(Tensor::from(std::vector<real>{3, 4}, {1, 2}));
  const Variable one = Variable::leaf(Tensor::from(std::vector<real>{1}));
  const Variable ten = Variable::leaf(Tensor::from(std::vector<real>{10}));
  Tape tape;
  const Variable sum =
      add(tape, step_linear(tape, x, weight, one), step_linear(tape, x, weight, ten));
  EXPECT_THAT(sum.value().to_host(), ElementsAre(33));
  tape.backward(sum);
  EXPECT_THAT(weight.sink()->gradient.to_host(), ElementsAre(2, 4));
  EXPECT_THAT(one.sink()->gradient.to_host(), ElementsAre(1));
  EXPECT_THAT(ten.sink()->gradient.to_host(), ElementsAre(1));
}

// e^2x of either is near the ends of what a float holds, and their product beyond.
TEST(AdditiveAttention, OfLargeNumbersIsThatOfTheirSums) {
  const auto weights_of = [](real query, real first, real second) {
    Tape tape;
    const auto matrix = [](const std::vector<real>& x) {
      return Variable(Tensor::from(x, {std::ssize(x), 1}));
    };
    const AttentionLayout layout{
        .query_offsets = ids({0, 1}), .key_offsets = ids({0, 2}), .longest_key = 2};
    const Variable weight(Tensor::from(std::vector<real>{1}));
    Tensor weights;
    additive_attention(tape, matrix({query}), matrix({first, second}), weight, matrix({0, 0}),
                       layout, DType::kReal, &weights);
    return weights.to_host();
  };
  const auto expected = [](double first, double second) {
    const auto share = static_cast<real>(1 / (1 + std::exp(std::tanh(second) - std::tanh(first))));
    return ElementsAre(testing::FloatNear(share, 1e-5f), testing::FloatNear(1 - share, 1e-5f));
  };
  EXPECT_THAT(weights_of(40, -38, -42), expected(2, -2));
  EXPECT_THAT(weights_of(-40, 41, 40), expected(1, 0));
  EXPECT_THAT(weights_of(40, 40, -100), expected(80, -3)) << "-100 counts as -43";
  EXPECT_THAT(weights_of(-1000, -1000, 1000), expected(-86, 0));
}

TEST(Norms, OfConstantRowsAreFinite) {
  Tape tape;
  const Variable x = zeros({2, 4}), gain = zeros({4}), bias = zeros({4});
  const Variable y =
      add(tape, layer_norm(tape, x, gain, bias, 1e-5f), rms_norm(tape, x, gain, 1e-5f));
  EXPECT_THAT(y.value().to_host(), Each(0));
  tape.backward(sum(tape, y));
  EXPECT_TRUE(all_finite(x.sink()->gradient));
}

// Such a row is a whole block's on a GPU, and not one that the kernels of norms hold.
TEST(Norms, OfLongRowsHaveMeanZeroAndVarianceOne) {
  const int64_t n = 5, d = 1301;
  std::vector<real> numbers(static_cast<size_t>(n * d));
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<real>(i * i % 89) + 3;
  for (const Device device : all_devices()) {
    Tape tape;
    const Tensor gain = Tensor::empty({d}, DType::kReal, device);
    gain.fill(1);
    const Variable y = layer_norm(tape, Variable(Tensor::from(numbers, {n, d}, device)),
                                  Variable(gain), zeros({d}, device), 1e-5f);
    const std::vector<real> made = y.value().to_host();
    for (auto row = made.begin(); row != made.end(); row += d) {
      double sum = 0, squares = 0;
      for (auto x = row; x != row + d; ++x) sum += *x, squares += double{*x} * *x;
      EXPECT_NEAR(sum / d, 0, 1e-5) << to_string(device);
      EXPECT_NEAR(squares / d, 1, 1e-4) << to_string(device);
    }
  }
}

// What went wrong must stay visible.
TEST(NaN, PassesThroughEveryActivation) {
  using Activation = Variable (*)(Tape&, const Variable&, const Epilogue&);
  const Activation activations[] = {relu, gelu, silu, tanh, sigmoid};
  Tape tape;
  const Variable nan(Tensor::from(std::vector<real>{std::numeric_limits<real>::quiet_NaN()}));
  for (const Activation& activation : activations) {
    EXPECT_TRUE(std::isnan(activation(tape, nan, {}).value().to_host()[0]))
        << (&activation - activations);
  }
  EXPECT_TRUE(std::isnan(sum(tape, nan).value().to_host()[0]));
  const Variable x(
      Tensor::from(std::vector<real>{0, std::numeric_limits<real>::quiet_NaN()}, {1, 2}));
  EXPECT_FALSE(all_finite(softmax(tape, x).value()));
  const CrossEntropy result = cross_entropy(tape, x, zeros({2, 2}), zeros({2}), ids({0}), 0);
  EXPECT_FALSE(all_finite(result.loss.value()));
  const AttentionLayout layout{
      .query_offsets = ids({0, 1, 2}), .key_offsets = ids({0, 1, 2}), .longest_key = 1};
  const Variable ones(Tensor::from(std::vector<real>{1, 1}, {2, 1}));
  const Variable weight(Tensor::from(std::vector<real>{1}));
  const Variable column(x.value().reshape({2, 1}));
  for (const auto& [query, key] : {std::pair{column, ones}, {ones, column}}) {
    const Tensor read = additive_attention(tape, query, key, weight, ones, layout).value();
    EXPECT_EQ(read.to_host()[0], 1);
    EXPECT_TRUE(std::isnan(read.to_host()[1]));
  }
}

// A batch without a token, as at the last step of a search.
TEST(EmptyBatch, GoesThrough) {
  Tape tape;
  const Variable x = zeros({0, 4});
  Variable y = linear(tape, x, zeros({6, 4}), zeros({6}));
  EXPECT_EQ(y.rows(), 0);
  y = layer_norm(tape, gelu(tape, y), zeros({6}), zeros({6}), 1e-5f);
  const AttentionLayout layout{ids({0, 0}), ids({0, 0}), {}, {}, 0};
  y = attention(tape, y, y, y, layout, {.heads = 2});
  y = gather_rows(tape, softmax(tape, y), ids({}));
  EXPECT_TRUE((y.shape() == Shape{0, 6}));
}

// On a GPU some rows are a warp's, others a block's, and what few threads can hold at a time.
TEST(Embedding, AddsUpTheGradientsOfAnyNumberOfRows) {
  const int64_t n = 20000, d = 130, classes = 300;
  std::vector<int32_t> words(static_cast<size_t>(n), 0);  // most rows are of the first
  std::vector<real> numbers(static_cast<size_t>(n * d));
  for (size_t row = 0; row < words.size(); row += 3) {
    const auto id = static_cast<int32_t>(row * 7 % 1000);
    words[row] = id < classes ? id : 0;
  }
  for (size_t row = 0; row < 33; ++row) words[100 * row + 1] = 298;
  for (size_t row = 0; row < 32; ++row) words[100 * row + 2] = 299;
  std::vector<real> expected(static_cast<size_t>(classes * d));
  for (size_t row = 0; row < words.size(); ++row) {
    for (size_t c = 0; c < static_cast<size_t>(d); ++c) {
      const auto number = static_cast<real>((row * 13 + c * 5) % 17);
      numbers[row * static_cast<size_t>(d) + c] = number;
      expected[static_cast<size_t>(words[row] * d) + c] += number;
    }
  }
  for (const Device device : all_devices()) {
    const Variable table = Variable::leaf(Tensor::zeros({classes, d}, DType::kReal, device));
    Tape tape;
    const Variable x = embedding(tape, table, Tensor::from(words, {n}, device));
    tape.backward(sum(tape, multiply(tape, x, Variable(Tensor::from(numbers, {n, d}, device)))));
    EXPECT_EQ(table.sink()->gradient.to_host(), expected) << to_string(device);
  }
}

// Also where gradients of weights are made when all else is done.
TEST(Linear, IsNamedWhereTheGradientOfItsWeightIsNotFinite) {
  for (const Device device : all_devices()) {
    const auto numbers = [&](real number) {
      return Tensor::from(std::vector<real>(16, number), {4, 4}, device);
    };
    const Variable weight = Variable::leaf(numbers(0));
    Tape tape;
    tape.set_check_finite(true);
    const Variable y = linear(tape, Variable(numbers(1e30f)), weight);
    const Variable root = sum(tape, multiply(tape, y, Variable(numbers(1e30f))));
    EXPECT_THAT([&] { tape.backward(root); },
                ThrowsMessage<Error>(testing::HasSubstr("the operation 'linear'")))
        << to_string(device);
  }
}

}  // namespace
}  // namespace dragoman
