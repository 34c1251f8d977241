// Matrix products that read bf16: what is written for them, what they give and what goes back, on
// every device. 2^-8 is the distance of a bf16 number from the next.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>

#include <cmath>
#include <functional>

#include "core/rng.h"
#include "device_names.h"
#include "ops/ops.h"
#include "random_numbers.h"
#include "tensor/gemm.h"

namespace dragoman {
namespace {

constexpr int64_t kRows = 40, kColumns = 48;

// Makes the tensors of a device.
struct Maker {
  Device device;

  Tensor normal(const Shape& shape, uint64_t seed, double deviation = 1) const {
    Random random(seed);
    std::vector<real> values(static_cast<size_t>(shape.size()));
    for (real& value : values) value = static_cast<real>(deviation * random.normal());
    return Tensor::from(values, shape, device);
  }
  Tensor ids(const std::vector<int32_t>& numbers) const {
    return Tensor::from(numbers, {std::ssize(numbers)}, device);
  }
};

std::vector<real> rounded(const Tensor& x) {
  return convert(convert(x, DType::kBf16), DType::kReal).to_host();
}

// An operation that can write its result as bf16.
struct Writer {
  const char* name;
  std::function<Variable(Tape&, const Variable& x, DType type)> run;
};

std::vector<Writer> writers(const Maker& make) {
  const auto layout = [=] {
    const Tensor offsets = make.ids({0, 17, kRows});
    return AttentionLayout{.query_offsets = offsets, .key_offsets = offsets, .longest_key = 23};
  };
  const Variable gain(make.normal({kColumns}, 5)), bias(make.normal({kColumns}, 6));
  std::vector<Writer> list;
  const auto activation = [&](const char* name, auto function) {
    list.push_back({name, [function](Tape& t, const Variable& x, DType type) {
                      return function(t, x, Epilogue{.dropout = 0.25, .type = type});
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
                    return gather_rows(t, x, make.ids({4, -1, 0, 4, 29}), type);
                  }});
  list.push_back(
      {"permute_rows", [=](Tape& t, const Variable& x, DType type) {
         std::vector<int32_t> rows(static_cast<size_t>(kRows));
         std::iota(rows.rbegin(), rows.rend(), 0);
         const Tensor reversed = make.ids(rows);
         return permute_rows(t, {x, x}, {{reversed, reversed}, {reversed, reversed}}, type);
       }});
  list.push_back({"concat_rows", [=](Tape& t, const Variable& x, DType type) {
                    const Variable low = x.with_bf16_copy(convert(x.value(), DType::kBf16));
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

Outcome run(const Maker& make, const Writer& writer, DType products, bool low_weight) {
  Tape tape;
  tape.set_training(1, 2);
  tape.set_products(products);
  const Variable x = Variable::leaf(make.normal({kRows, kColumns}, 1));
  const Variable w = writer.run(tape, x, products);
  const Variable value = Variable::leaf(make.normal({32, w.columns()}, 2));
  const Variable weight =
      low_weight ? value.with_bf16_copy(convert(value.value(), DType::kBf16)) : value;
  const Variable bias = Variable::leaf(make.normal({32}, 3));
  const Variable y = linear(tape, w, weight, bias);
  Tensor projection = make.normal(y.shape(), 4);
  const Outcome outcome{w.value(), y.value().to_host(), {}, {}, {}};
  tape.backward(sum(tape, multiply(tape, y, Variable(projection))));
  return {outcome.written, outcome.result, x.sink()->gradient.to_host(),
          value.sink()->gradient.to_host(), bias.sink()->gradient.to_host()};
}

// For devices that have such products.
template <class P>
class OnDevices : public testing::TestWithParam<P> {
 protected:
  void use(Device device) {
    make.device = device;
    if (!has_bf16_products(device))
      GTEST_SKIP() << "this processor multiplies no bf16 numbers, and training makes none";
  }
  Maker make;
};
using Numbered = std::tuple<Device, size_t>;
class OnDevicesNumbered : public OnDevices<Numbered> {
 protected:
  void SetUp() override { use(std::get<0>(GetParam())); }
  size_t number() const { return std::get<1>(GetParam()); }
};
class MixedPrecision : public OnDevices<Device> {
 protected:
  void SetUp() override { use(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(, MixedPrecision, testing::ValuesIn(all_devices()),
                         [](const auto& test) { return name_of(test.param); });

// Names of tests of what `list` has.
template <class T>
auto named(std::vector<T> (*list)(const Maker&)) {
  return [=](const testing::TestParamInfo<Numbered>& test) {
    const auto& [device, number] = test.param;
    return list({})[number].name + ("_" + name_of(device));
  };
}

class WrittenForProducts : public OnDevicesNumbered {};
INSTANTIATE_TEST_SUITE_P(, WrittenForProducts,
                         testing::Combine(testing::ValuesIn(all_devices()),
                                          testing::Range(size_t{0}, writers({}).size())),
                         named(writers));

TEST_P(WrittenForProducts, IsThatOfFloatButForTheRoundingOfWhatProductsRead) {
  const Writer writer = writers(make)[number()];
  const Outcome full = run(make, writer, DType::kReal, false);
  for (const bool low_weight : {false, true}) {
    const Outcome low = run(make, writer, DType::kBf16, low_weight);
    EXPECT_EQ(low.written.dtype(), DType::kBf16);
    // On a GPU the compiler may join another addition with its product in one of the two kernels.
    EXPECT_LE(distance(convert(low.written, DType::kReal).to_host(), rounded(full.written)),
              make.device.on_gpu() ? 0x1p-10 : 0);
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

std::vector<Reader> readers(const Maker& make) {
  std::vector<Reader> list;
  for (const Writer& writer : writers(make)) {
    const std::string name = writer.name;
    if (name == "attention" || name.ends_with("lu") || name == "tanh" || name == "sigmoid") {
      list.push_back({writer.name, writer.run});
    }
  }
  const Variable x(make.normal({kRows, kColumns}, 7)), gain(make.normal({kColumns}, 5)),
      bias(make.normal({kColumns}, 6));
  list.push_back({"add_layer_norm", [=](Tape& t, const Variable& added, DType type) {
                    return add_layer_norm(t, x, added, 0.25f, gain, bias, 1e-5f, type).normed;
                  }});
  list.push_back({"add_rms_norm", [=](Tape& t, const Variable& added, DType type) {
                    return add_rms_norm(t, x, added, 0.25f, gain, 1e-5f, type).normed;
                  }});
  return list;
}

class ReadFromProducts : public OnDevicesNumbered {};
INSTANTIATE_TEST_SUITE_P(, ReadFromProducts,
                         testing::Combine(testing::ValuesIn(all_devices()),
                                          testing::Range(size_t{0}, readers({}).size())),
                         named(readers));

TEST_P(ReadFromProducts, AreBf16BothWays) {
  const Reader reader = readers(make)[number()];
  // Between two products, with one reader and with another beside it.
  const auto run = [&](DType products, bool two_readers) {
    Tape tape;
    tape.set_training(1, 2);
    tape.set_products(products);
    const Variable x = Variable::leaf(make.normal({kRows, kColumns}, 1)),
                   first = Variable::leaf(make.normal({kColumns, kColumns}, 2, 0.15)),
                   bias = Variable::leaf(make.normal({kColumns}, 3));
    const Variable y = linear(tape, x, first, bias, products);
    EXPECT_EQ(y.value().dtype(), products);
    const Variable z = reader.run(tape, y, products);
    const Variable second = Variable::leaf(make.normal({16, z.columns()}, 4));
    Variable loss =
        sum(tape, multiply(tape, linear(tape, z, second), Variable(make.normal({kRows, 16}, 8))));
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
TEST_P(MixedPrecision, AttentionsReadColumnsOfTheirOwnOfOneMatrix) {
  constexpr int64_t kWidth = kColumns / 4;
  const Tensor offsets = make.ids({0, 17, kRows});
  const AttentionLayout layout{.query_offsets = offsets, .key_offsets = offsets, .longest_key = 23};
  const auto run = [&](DType products, int layers) {
    Tape tape;
    tape.set_products(products);
    const Variable x = Variable::leaf(make.normal({kRows, kColumns}, 1)),
                   weight = Variable::leaf(make.normal({kColumns, kColumns}, 2, 0.15)),
                   queries = Variable::leaf(make.normal({kWidth, kColumns}, 3, 0.15));
    const Variable memory = linear(tape, x, weight, {}, products);
    const Variable query = linear(tape, x, queries, {}, products);
    Variable loss;
    for (int layer = 0; layer < layers; ++layer) {
      const int64_t begin = 2 * layer * kWidth;
      const Variable y = attention(tape, query, {memory, begin, kWidth},
                                   {memory, begin + kWidth, kWidth}, layout, {.scale = 0.3f});
      const Variable mine =
          sum(tape, multiply(tape, y, Variable(make.normal({kRows, kWidth}, 4 + uint64_t(layer)))));
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
TEST_P(MixedPrecision, AttentionAddsToNoGradientThatOthersHold) {
  const Tensor offsets = make.ids({0, kRows});
  const AttentionLayout layout{
      .query_offsets = offsets, .key_offsets = offsets, .longest_key = kRows};
  const auto gradient = [&](bool attends) {
    Tape tape;
    tape.set_products(DType::kBf16);
    const Variable x(make.normal({kRows, kColumns}, 1));
    const Variable other = Variable::leaf(make.normal({24, kColumns}, 2, 0.15));
    const auto made = [&](const Variable& weight) {
      return linear(tape, x, weight, {}, DType::kBf16);
    };
    const auto leaf = [&](uint64_t seed) {
      return Variable::leaf(make.normal({24, kColumns}, seed, 0.15));
    };
    const Variable part = made(leaf(3)), context = made(other), from_state = made(leaf(4));
    Variable loss;
    if (attends) loss = sum(tape, attention(tape, part, part, part, layout, {}));
    const Variable state(make.normal({kRows, 8}, 5));
    const Variable cell = sum(tape, gru_cell(tape, part, from_state, state, context));
    tape.backward(attends ? add(tape, loss, cell) : cell);
    return other.sink()->gradient.to_host();
  };
  EXPECT_EQ(gradient(true), gradient(false));
}

TEST(Precision, AttentionWantsQueriesKeysAndValuesOfOneType) {
  const Maker make{};
  Tape tape;
  const Tensor offsets = make.ids({0, 4});
  const AttentionLayout layout{.query_offsets = offsets, .key_offsets = offsets, .longest_key = 4};
  const Variable x(make.normal({4, 8}, 1)), low(convert(x.value(), DType::kBf16));
  EXPECT_THROW(attention(tape, x, low, low, layout, {}), Error);
}

TEST_P(MixedPrecision, ProductsReadTheCopyOfAWeight) {
  Tape tape;
  tape.set_products(DType::kBf16);
  const Variable x(make.normal({4, 8}, 1));
  const Variable weight = Variable(make.normal({8, 8}, 2))
                              .with_bf16_copy(Tensor::zeros({8, 8}, DType::kBf16, make.device));
  EXPECT_THAT(linear(tape, x, weight).value().to_host(), testing::Each(0));
  tape.set_products(DType::kReal);
  EXPECT_THAT(linear(tape, x, weight).value().to_host(), testing::Contains(testing::Ne(0)));
}

TEST(Precision, AWeightIsPreparedForOneTypeOfProducts) {
  const Maker make{};
  const auto prepared = std::make_shared<PreparedObjects>();
  const Variable x(make.normal({4, 8}, 1)), weight(make.normal({8, 8}, 2));
  const auto multiply_in = [&](DType products) {
    Tape tape(prepared);
    tape.set_products(products);
    return linear(tape, x, weight).value().to_host();
  };
  EXPECT_EQ(multiply_in(DType::kReal), multiply_in(DType::kReal));
  EXPECT_THROW(multiply_in(DType::kBf16), Error);
}

// Rows that are bf16 already stay what they are.
TEST(Precision, GathersRowsOfBf16) {
  const Maker make{};
  const Variable x(make.normal({kRows, kColumns}, 1));
  const Variable low(convert(x.value(), DType::kBf16));
  const Tensor rows = make.ids({7, 0, -1, 39, 7});
  for (const DType type : {DType::kReal, DType::kBf16}) {
    Tape tape(/*recording=*/false);
    EXPECT_EQ(convert(gather_rows(tape, low, rows, type).value(), DType::kReal).to_host(),
              convert(gather_rows(tape, x, rows, DType::kBf16).value(), DType::kReal).to_host());
  }
}

TEST_P(MixedPrecision, AdditiveAttentionReadsKeysAndValuesAsProductsDo) {
  const AttentionLayout layout{
      .query_offsets = make.ids({0, 1, 2}), .key_offsets = make.ids({0, 5, 12}), .longest_key = 7};
  const auto run = [&](DType products) {
    Tape tape;
    tape.set_products(products);
    const Variable query = Variable::leaf(make.normal({2, 40}, 1)),
                   key = Variable::leaf(make.normal({12, 40}, 2)),
                   weight = Variable::leaf(make.normal({40}, 3)),
                   value = Variable::leaf(make.normal({12, 24}, 4));
    const Variable y = additive_attention(tape, query, key, weight, value, layout, tape.products());
    EXPECT_EQ(y.value().dtype(), products);
    std::vector<std::vector<real>> numbers = {convert(y.value(), DType::kReal).to_host()};
    tape.backward(sum(tape, linear(tape, y, Variable(make.normal({8, 24}, 5)))));
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

TEST_P(MixedPrecision, PermutedRowsComeWithTheCopyThatProductsRead) {
  Tape tape;
  tape.set_products(DType::kBf16);
  const Tensor order = make.ids({2, 1, 0});
  const Variable y = permute_rows(tape, {Variable(make.normal({3, 8}, 1))}, {{order, order}});
  EXPECT_EQ(convert(y.bf16_copy(), DType::kReal).to_host(), rounded(y.value()));
}

TEST_P(MixedPrecision, OperationsThatFeedAProductWriteItsGradientAsBf16) {
  // relu and dropout stand behind a product; its gradient can also come in parts.
  const auto gradient = [&](DType products, bool two_readers) {
    Tape tape;
    tape.set_training(1, 2);
    tape.set_products(products);
    const Variable x(make.normal({kRows, kColumns}, 1));
    const Variable weight = Variable::leaf(make.normal({30, kColumns}, 2));
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
TEST_P(MixedPrecision, CellsBetweenProducts) {
  const auto gradients = [&](DType products, int64_t gates, bool context) {
    Tape tape;
    tape.set_products(products);
    std::vector<Variable> leaves;
    const auto leaf = [&](const Shape& shape) {
      leaves.push_back(Variable::leaf(make.normal(shape, leaves.size())));
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
      EXPECT_EQ(now.hidden.bf16_copy().defined(), products == DType::kBf16);
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
TEST_P(MixedPrecision, FeedForwardIsItsThreeOperations) {
  const auto run = [&](DType products, bool together, bool frozen) {
    Tape tape;
    tape.set_products(products);
    const Variable x = Variable::leaf(make.normal({kRows, kColumns}, 1)),
                   in = Variable::leaf(make.normal({64, kColumns}, 2)),
                   in_bias = Variable::leaf(make.normal({64}, 3)),
                   out = Variable::leaf(make.normal({kColumns, 64}, 4));
    Variable out_bias(make.normal({kColumns}, 5));
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
      const auto found = run(products, true, frozen), expected = run(products, false, frozen);
      // A library may sum a product with relu in another order than one without.
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_LE(distance(found[i], expected[i]), make.device.on_gpu() ? 0x1p-7 : 0)
            << i << " in " << to_string(products);
      }
    }
  }
}

// Of vocabularies that a GPU holds in other ways, or not at all (30, 70000).
TEST(Precision, CrossEntropy) {
  const auto outcome = [](const Maker& make, DType products, int64_t classes, real factor) {
    Tape tape;
    tape.set_products(products);
    const auto leaf = [&](const Shape& shape, uint64_t seed) {
      return Variable::leaf(make.normal(shape, seed));
    };
    const Variable x = leaf({3, kColumns}, 1), weight = leaf({classes, kColumns}, 2),
                   bias = leaf({classes}, 3);
    const auto last = static_cast<int32_t>(classes - 1);
    const Tensor targets = make.ids({last, -1, 7});
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
    const auto exact = outcome(Maker{}, DType::kReal, classes, factor);
    for (const Device device : all_devices()) {
      for (const DType products : {DType::kReal, DType::kBf16}) {
        const bool low = products == DType::kBf16;
        if (low && !has_bf16_products(device)) continue;
        const auto found = outcome({device}, products, classes, factor);
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
TEST(Precision, ATapeCanMultiplyInTf32OnAGpu) {
  const auto outcome = [](const Maker& make, bool tf32) {
    Tape tape;
    tape.set_products({DType::kReal, tf32});
    const auto leaf = [&](const Shape& shape, uint64_t seed) {
      return Variable::leaf(make.normal(shape, seed));
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
  EXPECT_THROW(outcome(Maker{}, true), Error);
  if (!why_no_gpu().empty()) GTEST_SKIP() << why_no_gpu();
  const Device gpu = find_device("cuda");
  const auto full = outcome({gpu}, false), short_fractions = outcome({gpu}, true);
  for (size_t i = 0; i < full.size(); ++i) {
    EXPECT_GT(distance(short_fractions[i], full[i]), 1e-5) << i << ": a float product was made";
    EXPECT_LT(distance(short_fractions[i], full[i]), 0x1p-9) << i;
  }
}

TEST(Precision, WhatIsNotFiniteIsFound) {
  Tape tape;
  tape.set_check_finite(true);
  const Variable x = Variable::leaf(Tensor::from(std::vector<real>{1, NAN}, {1, 2}));
  EXPECT_THROW(relu(tape, x, {.type = DType::kBf16}), Error);
}

}  // namespace
}  // namespace dragoman
