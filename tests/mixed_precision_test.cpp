// Matrix products that read bf16: what is written for them, what they give and what goes back.
// 2^-8 is the distance of a bf16 number from the next.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>

#include <cmath>
#include <functional>

#include "core/rng.h"
#include "ops/ops.h"
#include "random_numbers.h"
#include "tensor/gemm.h"

namespace dragoman {
namespace {

constexpr int64_t kRows = 40, kColumns = 48;

Tensor normal_numbers(const Shape& shape, uint64_t seed, double deviation = 1) {
  Random random(seed);
  std::vector<real> values(static_cast<size_t>(shape.size()));
  for (real& value : values) value = static_cast<real>(deviation * random.normal());
  return Tensor::from(values, shape);
}

std::vector<real> rounded(const Tensor& x) {
  return convert(convert(x, DType::kBf16), DType::kReal).to_host();
}

// An operation that can write its result as bf16.
struct Writer {
  const char* name;
  std::function<Variable(Tape&, const Variable& x, DType type)> run;
};

std::vector<Writer> writers() {
  const auto layout = [] {
    const Tensor offsets = Tensor::from(std::vector<int32_t>{0, 17, kRows});
    return AttentionLayout{.query_offsets = offsets, .key_offsets = offsets, .longest_key = 23};
  };
  const Variable gain(normal_numbers({kColumns}, 5)), bias(normal_numbers({kColumns}, 6));
  std::vector<Writer> list;
  const auto activation = [&](const char* name, auto function) {
    list.push_back({name, [function](Tape& t, const Variable& x, DType type) {
                      return function(t, x, Finish{.dropout = 0.25, .type = type});
                    }});
  };
  activation("relu", relu);
  activation("gelu", gelu);
  activation("silu", silu);
  activation("tanh", dragoman::tanh);
  activation("sigmoid", sigmoid);
  activation("glu", glu);
  activation("swiglu", swiglu);
  activation("geglu", geglu);
  list.push_back({"layer_norm", [=](Tape& t, const Variable& x, DType type) {
                    return layer_norm(t, x, gain, bias, 1e-5f, type);
                  }});
  list.push_back({"rms_norm", [=](Tape& t, const Variable& x, DType type) {
                    return rms_norm(t, x, gain, 1e-5f, type);
                  }});
  list.push_back({"add_layer_norm", [=](Tape& t, const Variable& x, DType type) {
                    return add_layer_norm(t, x, x, 0.25f, gain, bias, 1e-5f, type).normed;
                  }});
  list.push_back({"add_rms_norm", [=](Tape& t, const Variable& x, DType type) {
                    return add_rms_norm(t, x, x, 0.25f, gain, 1e-5f, type).normed;
                  }});
  list.push_back({"gather_rows", [=](Tape& t, const Variable& x, DType type) {
                    const std::vector<int32_t> rows{4, -1, 0, 4, 29};
                    return gather_rows(t, x, Tensor::from(rows), type);
                  }});
  list.push_back(
      {"permute_rows", [=](Tape& t, const Variable& x, DType type) {
         std::vector<int32_t> rows(static_cast<size_t>(kRows));
         std::iota(rows.rbegin(), rows.rend(), 0);
         const Tensor reversed = Tensor::from(rows);
         return permute_rows(t, {x, x}, {{reversed, reversed}, {reversed, reversed}}, type);
       }});
  list.push_back({"concat_rows", [=](Tape& t, const Variable& x, DType type) {
                    const Variable low = x.with_low(convert(x.value(), DType::kBf16));
                    return concat_rows(t, {x, low}, type);
                  }});
  list.push_back({"attention", [=](Tape& t, const Variable& x, DType type) {
                    return attention(t, x, x, x, layout(),
                                     {.heads = 3, .scale = 0.25, .type = type});
                  }});
  return list;
}

// Writes, multiplies and goes back: the result and the gradient of x.
struct Outcome {
  Tensor written;
  std::vector<real> result, gradient, weight_gradient, bias_gradient;
};

Outcome run(const Writer& writer, DType products, bool low_weight) {
  Tape tape;
  tape.set_training(1, 2);
  tape.set_products(products);
  const Variable x = Variable::leaf(normal_numbers({kRows, kColumns}, 1));
  const Variable w = writer.run(tape, x, products);
  const Variable value = Variable::leaf(normal_numbers({32, w.columns()}, 2));
  const Variable weight = low_weight ? value.with_low(convert(value.value(), DType::kBf16)) : value;
  const Variable bias = Variable::leaf(normal_numbers({32}, 3));
  const Variable y = linear(tape, w, weight, bias);
  Tensor projection = normal_numbers(y.shape(), 4);
  const Outcome outcome{w.value(), y.value().to_host(), {}, {}, {}};
  tape.backward(sum(tape, multiply(tape, y, Variable(projection))));
  return {outcome.written, outcome.result, x.sink()->gradient.to_host(),
          value.sink()->gradient.to_host(), bias.sink()->gradient.to_host()};
}

#define NEEDS_BF16_PRODUCTS()       \
  if (!has_bf16_products(Device{})) \
  GTEST_SKIP() << "this processor multiplies no bf16 numbers, and training makes none"

class WrittenForProducts : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(, WrittenForProducts, testing::Range(size_t{0}, writers().size()),
                         [](const auto& number) { return writers()[number.param].name; });

TEST_P(WrittenForProducts, IsThatOfFloatButForTheRoundingOfWhatProductsRead) {
  NEEDS_BF16_PRODUCTS();
  const Writer writer = writers()[GetParam()];
  const Outcome full = run(writer, DType::kReal, false);
  for (const bool low_weight : {false, true}) {
    const Outcome low = run(writer, DType::kBf16, low_weight);
    EXPECT_EQ(low.written.dtype(), DType::kBf16);
    EXPECT_EQ(convert(low.written, DType::kReal).to_host(), rounded(full.written));
    EXPECT_LT(distance(low.result, full.result), 0x1p-8);
    EXPECT_GT(distance(low.result, full.result), 0) << "a float product was made";
    EXPECT_LT(distance(low.gradient, full.gradient), 0x1p-7);
    EXPECT_LT(distance(low.weight_gradient, full.weight_gradient), 0x1p-8);
    EXPECT_LT(distance(low.bias_gradient, full.bias_gradient), 1e-5) << "summed before rounding";
  }
}

// An operation that reads what a product wrote as bf16.
struct Reader {
  const char* name;
  std::function<Variable(Tape&, const Variable& x, DType type)> run;
};

std::vector<Reader> readers() {
  std::vector<Reader> list;
  for (const Writer& writer : writers()) {
    const std::string name = writer.name;
    if (name == "attention" || name.ends_with("lu") || name == "tanh" || name == "sigmoid") {
      list.push_back({writer.name, writer.run});
    }
  }
  const Variable x(normal_numbers({kRows, kColumns}, 7)), gain(normal_numbers({kColumns}, 5)),
      bias(normal_numbers({kColumns}, 6));
  list.push_back({"add_layer_norm", [=](Tape& t, const Variable& added, DType type) {
                    return add_layer_norm(t, x, added, 0.25f, gain, bias, 1e-5f, type).normed;
                  }});
  list.push_back({"add_rms_norm", [=](Tape& t, const Variable& added, DType type) {
                    return add_rms_norm(t, x, added, 0.25f, gain, 1e-5f, type).normed;
                  }});
  return list;
}

class ReadFromProducts : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(, ReadFromProducts, testing::Range(size_t{0}, readers().size()),
                         [](const auto& number) { return readers()[number.param].name; });

TEST_P(ReadFromProducts, AreBf16BothWays) {
  NEEDS_BF16_PRODUCTS();
  const Reader reader = readers()[GetParam()];
  // Between two products, with one reader and with another beside it.
  const auto run = [&](DType products, bool two_readers) {
    Tape tape;
    tape.set_training(1, 2);
    tape.set_products(products);
    const Variable x = Variable::leaf(normal_numbers({kRows, kColumns}, 1)),
                   first = Variable::leaf(normal_numbers({kColumns, kColumns}, 2, 0.15)),
                   bias = Variable::leaf(normal_numbers({kColumns}, 3));
    const Variable y = linear(tape, x, first, bias, products);
    EXPECT_EQ(y.value().dtype(), products);
    const Variable z = reader.run(tape, y, products);
    const Variable second = Variable::leaf(normal_numbers({16, z.columns()}, 4));
    Variable loss = sum(
        tape, multiply(tape, linear(tape, z, second), Variable(normal_numbers({kRows, 16}, 8))));
    if (two_readers) loss = add(tape, loss, sum(tape, relu(tape, y)));
    // Where the reader's result and its gradient have been made, this is what product writes.
    EXPECT_EQ(z.sink()->preferred, products);
    EXPECT_EQ(y.sink()->preferred, products);
    tape.backward(loss);
    std::vector<std::vector<real>> found;
    for (const Variable& leaf : {x, first, bias, second}) {
      found.push_back(leaf.sink()->gradient.to_host());
    }
    return found;
  };
  for (const bool two_readers : {false, true}) {
    const auto full = run(DType::kReal, two_readers), low = run(DType::kBf16, two_readers);
    for (size_t i = 0; i < full.size(); ++i) {
      EXPECT_LT(distance(low[i], full[i]), 0x1p-6) << i;
      EXPECT_GT(distance(low[i], full[i]), 0) << i;
    }
  }
}

// As the layers of a decoder do with the keys and values of the memory.
TEST(MixedPrecision, AttentionsReadColumnsOfTheirOwnOfOneMatrix) {
  NEEDS_BF16_PRODUCTS();
  constexpr int64_t kWidth = kColumns / 4;
  const Tensor offsets = Tensor::from(std::vector<int32_t>{0, 17, kRows});
  const AttentionLayout layout{.query_offsets = offsets, .key_offsets = offsets, .longest_key = 23};
  const auto run = [&](DType products, int layers) {
    Tape tape;
    tape.set_products(products);
    const Variable x = Variable::leaf(normal_numbers({kRows, kColumns}, 1)),
                   weight = Variable::leaf(normal_numbers({kColumns, kColumns}, 2, 0.15)),
                   queries = Variable::leaf(normal_numbers({kWidth, kColumns}, 3, 0.15));
    const Variable memory = linear(tape, x, weight, {}, products);
    const Variable query = linear(tape, x, queries, {}, products);
    Variable loss;
    for (int layer = 0; layer < layers; ++layer) {
      const int64_t begin = 2 * layer * kWidth;
      const Variable y = attention(tape, query, {memory, begin, kWidth},
                                   {memory, begin + kWidth, kWidth}, layout, {.scale = 0.3f});
      const Variable mine = sum(
          tape, multiply(tape, y, Variable(normal_numbers({kRows, kWidth}, 4 + uint64_t(layer)))));
      loss = loss.defined() ? add(tape, loss, mine) : mine;
    }
    tape.backward(loss);
    return std::vector{x.sink()->gradient.to_host(), weight.sink()->gradient.to_host()};
  };
  for (const int layers : {1, 2}) {  // with one, half of the memory's columns have no reader
    const auto full = run(DType::kReal, layers), low = run(DType::kBf16, layers);
    for (size_t i = 0; i < full.size(); ++i) EXPECT_LT(distance(low[i], full[i]), 0x1p-6) << i;
  }
}

// A cell hands one gradient to both parts of its gates; attention, which reads one of them as well,
// must not add to the other's.
TEST(MixedPrecision, AttentionAddsToNoGradientThatOthersHold) {
  NEEDS_BF16_PRODUCTS();
  const Tensor offsets = Tensor::from(std::vector<int32_t>{0, kRows});
  const AttentionLayout layout{
      .query_offsets = offsets, .key_offsets = offsets, .longest_key = kRows};
  const auto gradient = [&](bool attends) {
    Tape tape;
    tape.set_products(DType::kBf16);
    const Variable x(normal_numbers({kRows, kColumns}, 1));
    const Variable other = Variable::leaf(normal_numbers({24, kColumns}, 2, 0.15));
    const auto made = [&](const Variable& weight) {
      return linear(tape, x, weight, {}, DType::kBf16);
    };
    const auto leaf = [&](uint64_t seed) {
      return Variable::leaf(normal_numbers({24, kColumns}, seed, 0.15));
    };
    const Variable part = made(leaf(3)), context = made(other), from_state = made(leaf(4));
    Variable loss;
    if (attends) loss = sum(tape, attention(tape, part, part, part, layout, {}));
    const Variable state(normal_numbers({kRows, 8}, 5));
    const Variable cell = sum(tape, gru_cell(tape, part, from_state, state, context));
    tape.backward(attends ? add(tape, loss, cell) : cell);
    return other.sink()->gradient.to_host();
  };
  EXPECT_EQ(gradient(true), gradient(false));
}

// Hypotheses that share the keys of a sentence, as when translating.
TEST(MixedPrecision, AttentionOfStepsReadsBf16) {
  const AttentionLayout layout{.query_offsets = Tensor::from(std::vector<int32_t>{0, 1, 2, 3}),
                               .key_offsets = Tensor::from(std::vector<int32_t>{0, 5, 12}),
                               .key_segments = Tensor::from(std::vector<int32_t>{1, 0, 1}),
                               .longest_key = 7};
  const auto run = [&](DType type) {
    Tape tape(/*recording=*/false);
    const auto numbers = [&](int64_t rows, uint64_t seed) {
      return Variable(convert(convert(normal_numbers({rows, 24}, seed), DType::kBf16), type));
    };
    const Variable query = numbers(3, 1), key = numbers(12, 2), value = numbers(12, 3);
    return attention(tape, query, key, value, layout, {.heads = 2, .scale = 0.3f})
        .value()
        .to_host();
  };
  EXPECT_LT(distance(run(DType::kBf16), run(DType::kReal)), 1e-6);
}

TEST(MixedPrecision, AttentionWantsQueriesKeysAndValuesOfOneType) {
  Tape tape;
  const Tensor offsets = Tensor::from(std::vector<int32_t>{0, 4});
  const AttentionLayout layout{.query_offsets = offsets, .key_offsets = offsets, .longest_key = 4};
  const Variable x(normal_numbers({4, 8}, 1)), low(convert(x.value(), DType::kBf16));
  EXPECT_THROW(attention(tape, x, low, low, layout, {}), Error);
}

TEST(MixedPrecision, ProductsReadTheCopyOfAWeight) {
  NEEDS_BF16_PRODUCTS();
  Tape tape;
  tape.set_products(DType::kBf16);
  const Variable x(normal_numbers({4, 8}, 1));
  const Variable weight =
      Variable(normal_numbers({8, 8}, 2)).with_low(Tensor::zeros({8, 8}, DType::kBf16));
  EXPECT_THAT(linear(tape, x, weight).value().to_host(), testing::Each(0));
  tape.set_products(DType::kReal);
  EXPECT_THAT(linear(tape, x, weight).value().to_host(), testing::Contains(testing::Ne(0)));
}

TEST(MixedPrecision, AWeightIsPreparedForOneTypeOfProducts) {
  const auto prepared = std::make_shared<SharedObjects>();
  const Variable x(normal_numbers({4, 8}, 1)), weight(normal_numbers({8, 8}, 2));
  const auto multiply_in = [&](DType products) {
    Tape tape(prepared);
    tape.set_products(products);
    return linear(tape, x, weight).value().to_host();
  };
  EXPECT_EQ(multiply_in(DType::kReal), multiply_in(DType::kReal));
  EXPECT_THROW(multiply_in(DType::kBf16), Error);
}

// Rows that are bf16 already stay what they are.
TEST(MixedPrecision, GathersRowsOfBf16) {
  const Variable x(normal_numbers({kRows, kColumns}, 1));
  const Variable low(convert(x.value(), DType::kBf16));
  const Tensor rows = Tensor::from(std::vector<int32_t>{7, 0, -1, 39, 7});
  for (const DType type : {DType::kReal, DType::kBf16}) {
    Tape tape(/*recording=*/false);
    EXPECT_EQ(convert(gather_rows(tape, low, rows, type).value(), DType::kReal).to_host(),
              convert(gather_rows(tape, x, rows, DType::kBf16).value(), DType::kReal).to_host());
  }
}

TEST(MixedPrecision, AdditiveAttentionReadsKeysAndValuesAsProductsDo) {
  NEEDS_BF16_PRODUCTS();
  const AttentionLayout layout{.query_offsets = Tensor::from(std::vector<int32_t>{0, 1, 2}),
                               .key_offsets = Tensor::from(std::vector<int32_t>{0, 5, 12}),
                               .longest_key = 7};
  const auto run = [&](DType products) {
    Tape tape;
    tape.set_products(products);
    const Variable query = Variable::leaf(normal_numbers({2, 40}, 1)),
                   key = Variable::leaf(normal_numbers({12, 40}, 2)),
                   weight = Variable::leaf(normal_numbers({40}, 3)),
                   value = Variable::leaf(normal_numbers({12, 24}, 4));
    const Variable y = additive_attention(tape, query, key, weight, value, layout, tape.products());
    EXPECT_EQ(y.value().dtype(), products);
    std::vector<std::vector<real>> numbers = {convert(y.value(), DType::kReal).to_host()};
    tape.backward(sum(tape, linear(tape, y, Variable(normal_numbers({8, 24}, 5)))));
    for (const Variable& x : {query, key, weight, value}) {
      numbers.push_back(x.sink()->gradient.to_host());
    }
    return numbers;
  };
  const auto full = run(DType::kReal), low = run(DType::kBf16);
  for (size_t i = 0; i < full.size(); ++i) {
    EXPECT_LT(distance(low[i], full[i]), 0x1p-6) << i;
    EXPECT_GT(distance(low[i], full[i]), 0) << i;
  }
}

TEST(MixedPrecision, PermutedRowsComeWithTheCopyThatProductsRead) {
  NEEDS_BF16_PRODUCTS();
  Tape tape;
  tape.set_products(DType::kBf16);
  const Tensor order = Tensor::from(std::vector<int32_t>{2, 1, 0});
  const Variable y = permute_rows(tape, {Variable(normal_numbers({3, 8}, 1))}, {{order, order}});
  EXPECT_EQ(convert(y.low(), DType::kReal).to_host(), rounded(y.value()));
}

TEST(MixedPrecision, OperationsThatFeedAProductWriteItsGradientAsBf16) {
  NEEDS_BF16_PRODUCTS();
  // relu and dropout stand behind a product; its gradient can also come in parts.
  const auto gradient = [](DType products, bool two_readers) {
    Tape tape;
    tape.set_training(1, 2);
    tape.set_products(products);
    const Variable x(normal_numbers({kRows, kColumns}, 1));
    const Variable weight = Variable::leaf(normal_numbers({30, kColumns}, 2));
    const Variable y = linear(tape, x, weight);
    Variable loss = sum(tape, relu(tape, y, {.dropout = 0.5}));
    if (two_readers) loss = add(tape, loss, sum(tape, scale(tape, dropout(tape, y, 0.25), 0.5)));
    tape.backward(loss);
    return weight.sink()->gradient.to_host();
  };
  for (const bool two_readers : {false, true}) {
    EXPECT_LT(distance(gradient(DType::kBf16, two_readers), gradient(DType::kReal, two_readers)),
              0x1p-7);
  }
}

// Cells keep what backward needs as bf16, and write their gradients so, where products read them.
TEST(MixedPrecision, CellsBetweenProducts) {
  NEEDS_BF16_PRODUCTS();
  const auto gradients = [](DType products, int64_t gates, bool context) {
    Tape tape;
    tape.set_products(products);
    std::vector<Variable> leaves;
    const auto leaf = [&](const Shape& shape) {
      leaves.push_back(Variable::leaf(normal_numbers(shape, leaves.size())));
      return leaves.back();
    };
    const Variable x = leaf({2 * kRows, kColumns});
    const std::vector<Variable> inputs =
        split_rows(tape, linear(tape, x, leaf({gates * 8, kColumns})), {kRows, kRows});
    const Variable state = leaf({gates * 8, 8}), from_context = leaf({gates * 8, 8});
    LstmState now{leaf({kRows, 8}), leaf({kRows, 8})};
    for (const Variable& input : inputs) {
      const Variable more = context ? step_linear(tape, now.hidden, from_context) : Variable();
      const Variable from_state = step_linear(tape, now.hidden, state);
      if (gates == 3) {
        now.hidden = gru_cell(tape, input, from_state, now.hidden, more);
      } else {
        now = lstm_cell(tape, input, from_state, now.cell, more);
      }
      EXPECT_EQ(now.hidden.low().defined(), products == DType::kBf16);
    }
    tape.backward(sum(tape, now.hidden));
    std::vector<std::vector<real>> found;
    for (const Variable& made : leaves) {
      if (made.sink()->gradient.defined()) found.push_back(made.sink()->gradient.to_host());
    }
    return found;
  };
  for (const int64_t gates : {3, 4}) {
    for (const bool context : {false, true}) {
      const auto full = gradients(DType::kReal, gates, context),
                 low = gradients(DType::kBf16, gates, context);
      ASSERT_EQ(full.size(), low.size());
      EXPECT_EQ(full.size(), (gates == 3 ? 4u : 5u) + (context ? 1u : 0u));
      for (size_t i = 0; i < full.size(); ++i) {
        EXPECT_LT(distance(low[i], full[i]), 0x1p-4) << gates << " gates, leaf " << i;
        EXPECT_GT(distance(low[i], full[i]), 0) << gates << " gates, leaf " << i;
      }
    }
  }
}

// Of every type, and where some parameters want no gradient.
TEST(MixedPrecision, FeedForwardIsItsThreeOperations) {
  NEEDS_BF16_PRODUCTS();
  const auto run = [](DType products, bool together, bool frozen) {
    Tape tape;
    tape.set_products(products);
    const Variable x = Variable::leaf(normal_numbers({kRows, kColumns}, 1)),
                   in = Variable::leaf(normal_numbers({64, kColumns}, 2)),
                   in_bias = Variable::leaf(normal_numbers({64}, 3)),
                   out = Variable::leaf(normal_numbers({kColumns, 64}, 4));
    Variable out_bias(normal_numbers({kColumns}, 5));
    if (!frozen) out_bias = Variable::leaf(out_bias.value());
    const Variable y =
        together
            ? feed_forward(tape, x, in, in_bias, out, out_bias, products)
            : linear(tape, relu(tape, linear(tape, x, in, in_bias, products), {.type = products}),
                     out, out_bias, products);
    std::vector<std::vector<real>> found{convert(y.value(), DType::kReal).to_host()};
    tape.backward(sum(tape, relu(tape, y)));
    for (const Variable& leaf : {x, in, in_bias, out, out_bias}) {
      if (leaf.needs_gradient()) found.push_back(leaf.sink()->gradient.to_host());
    }
    return found;
  };
  for (const DType products : {DType::kReal, DType::kBf16}) {
    for (const bool frozen : {false, true}) {
      EXPECT_EQ(run(products, true, frozen), run(products, false, frozen)) << to_string(products);
    }
  }
}

// Of vocabularies that a GPU holds in other ways, or not at all (30, 70000).
TEST(MixedPrecision, CrossEntropy) {
  const auto outcome = [](Device device, DType products, int64_t classes, real factor) {
    Tape tape;
    tape.set_products(products);
    const auto leaf = [&](const Shape& shape, uint64_t seed) {
      return Variable::leaf(Tensor::from(normal_numbers(shape, seed).to_host(), shape, device));
    };
    const Variable x = leaf({3, kColumns}, 1), weight = leaf({classes, kColumns}, 2),
                   bias = leaf({classes}, 3);
    const auto last = static_cast<int32_t>(classes - 1);
    const Tensor targets = Tensor::from(std::vector<int32_t>{last, -1, 7}, {3}, device);
    const CrossEntropy result =
        cross_entropy(tape, x, weight, bias, targets, static_cast<real>(0.1));
    std::vector<std::vector<real>> found = {result.loss.value().to_host(),
                                            result.log_probabilities.to_host()};
    tape.backward(scale(tape, result.loss, factor));
    for (const Variable& made : {x, weight, bias}) found.push_back(made.sink()->gradient.to_host());
    return found;
  };
  for (const int64_t classes : {30, 4096, 8000, 32000, 40000, 70000}) {
    const real factor = classes < 5000 ? 3 : 1;
    const auto exact = outcome(Device{}, DType::kReal, classes, factor);
    for (const Device device : all_devices()) {
      for (const DType products : {DType::kReal, DType::kBf16}) {
        const bool low = products == DType::kBf16;
        if (low && !has_bf16_products(device)) continue;
        const auto found = outcome(device, products, classes, factor);
        for (size_t i = 0; i < exact.size(); ++i) {
          const double far = distance(found[i], exact[i]);
          EXPECT_LT(far, low ? 0x1p-6 : 1e-4) << i << " of " << classes << " classes in "
                                              << to_string(products) << " on " << to_string(device);
          EXPECT_TRUE(!low || far > 0) << "a float product was made";
        }
      }
    }
  }
}

// Both kinds of layers, forwards and back, with TF32 and without.
TEST(MixedPrecision, ATapeCanMultiplyInTf32OnAGpu) {
  const auto outcome = [](Device device, bool tf32) {
    Tape tape;
    tape.set_products({DType::kReal, tf32});
    const auto leaf = [&](const Shape& shape, uint64_t seed) {
      return Variable::leaf(Tensor::from(normal_numbers(shape, seed).to_host(), shape, device));
    };
    const Variable x = leaf({kRows, kColumns}, 1), a = leaf({32, kColumns}, 2),
                   b = leaf({8, 32}, 3);
    const Variable y = step_linear(tape, linear(tape, x, a), b);
    const Variable z = matmul(tape, y, leaf({8, 8}, 4));
    std::vector<std::vector<real>> found = {y.value().to_host(), z.value().to_host()};
    tape.backward(sum(tape, multiply(tape, z, leaf({kRows, 8}, 5))));
    for (const Variable& made : {x, a, b}) found.push_back(made.sink()->gradient.to_host());
    return found;
  };
  EXPECT_THROW(outcome(Device{}, true), Error);
  if (!why_no_gpu().empty()) GTEST_SKIP() << why_no_gpu();
  const Device gpu = find_device("cuda");
  const auto full = outcome(gpu, false), short_fractions = outcome(gpu, true);
  for (size_t i = 0; i < full.size(); ++i) {
    EXPECT_GT(distance(short_fractions[i], full[i]), 1e-5) << i << ": a float product was made";
    EXPECT_LT(distance(short_fractions[i], full[i]), 0x1p-9) << i;
  }
}

TEST(MixedPrecision, WhatIsNotFiniteIsFound) {
  Tape tape;
  tape.set_check_finite(true);
  const Variable x = Variable::leaf(Tensor::from(std::vector<real>{1, NAN}, {1, 2}));
  EXPECT_THROW(relu(tape, x, {.type = DType::kBf16}), Error);
}

}  // namespace
}  // namespace dragoman
