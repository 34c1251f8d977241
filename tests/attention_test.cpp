// Attention of bf16 on every device, whose kernels differ, beside that of floats on the CPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "device_names.h"
#include "ops/ops.h"
#include "random_numbers.h"
#include "tensor/gemm.h"

namespace dragoman {
namespace {

struct Attending {
  const char* name;
  std::vector<int32_t> queries, keys;  // lengths
  int64_t heads, head_dim;
  bool causal;
  real dropout;
  bool same = false;  // The keys are the queries and the values.
};

std::vector<Attending> shapes() {
  const std::vector<int32_t> few{5, 1, 16, 31, 32, 7}, others{9, 40, 3, 16, 64, 1};
  const std::vector<int32_t> many{33, 64, 65, 130, 200}, more{70, 1, 128, 129, 64};
  return {
      {"short_sentences", few, few, 4, 64, false, 0},
      {"short_sentences_causal", few, few, 4, 64, true, 0},
      {"short_sentences_dropout", few, others, 2, 64, false, 0.3f},
      {"short_narrow_heads", few, few, 3, 24, false, 0},
      {"short_narrow_heads_causal_dropout", few, few, 3, 32, true, 0.1f},
      {"middling_sentences", others, few, 2, 64, false, 0},
      {"middling_sentences_causal_dropout", others, others, 2, 64, true, 0.1f},
      {"middling_wide_heads", others, few, 2, 128, false, 0.1f},
      {"middling_wide_heads_causal", others, others, 1, 120, true, 0},
      {"long_sentences", many, many, 2, 64, false, 0},
      {"long_sentences_causal", many, many, 2, 64, true, 0},
      {"long_sentences_causal_dropout", many, many, 2, 64, true, 0.1f},
      {"long_sentences_dropout", many, more, 2, 64, false, 0.1f},
      {"memory", many, more, 3, 32, false, 0},
      {"memory_shorter", few, others, 3, 32, false, 0},
      {"narrow_heads", many, more, 3, 8, false, 0.1f},
      {"odd_heads", many, many, 2, 40, true, 0.1f},
      {"wide_heads", many, more, 2, 128, false, 0.1f},
      {"wide_heads_causal", many, many, 1, 128, true, 0},
      {"wide_heads_short", few, few, 2, 96, true, 0.2f},
      {"wider_heads", few, others, 1, 136, false, 0},
      {"uneven_heads", few, others, 3, 7, false, 0.1f},
      {"no_queries", {3, 0, 4}, {5, 6, 2}, 2, 16, false, 0},
      {"no_keys", {3, 2, 4}, {5, 0, 2}, 2, 16, false, 0},
      {"short_same", few, few, 2, 32, true, 0, true},
      {"middling_same", others, others, 2, 64, false, 0.1f, true},
      {"long_same", many, many, 2, 64, true, 0.1f, true},
  };
}

Tensor offsets_of(const std::vector<int32_t>& lengths, Device device) {
  std::vector<int32_t> offsets{0};
  for (const int32_t length : lengths) offsets.push_back(offsets.back() + length);
  return Tensor::from(offsets, {std::ssize(offsets)}, device);
}

// Numbers that bf16 holds exactly.
Tensor exact_numbers(const Shape& shape, uint64_t seed, Device device) {
  std::vector<float> numbers = random_numbers(shape.size(), seed);
  for (float& number : numbers) number = Bf16(number);
  return Tensor::from(std::vector<real>(numbers.begin(), numbers.end()), shape, device);
}

Tensor identity(int64_t size, Device device) {
  std::vector<real> numbers(static_cast<size_t>(size * size));
  for (int64_t i = 0; i < size; ++i) numbers[static_cast<size_t>(i * size + i)] = 1;
  return Tensor::from(numbers, {size, size}, device);
}

// The result, and the gradients of keys and values, which stand in one matrix, and of queries.
std::vector<std::vector<real>> run(const Attending& s, DType type, Device device) {
  const int64_t n = std::accumulate(s.queries.begin(), s.queries.end(), int64_t{0});
  const int64_t m = std::accumulate(s.keys.begin(), s.keys.end(), int64_t{0});
  const int64_t width = s.heads * s.head_dim;
  const AttentionLayout layout{.query_offsets = offsets_of(s.queries, device),
                               .key_offsets = offsets_of(s.keys, device),
                               .longest_key = std::ranges::max(s.keys),
                               .longest_query = std::ranges::max(s.queries)};
  Tape tape;
  tape.set_training(7, 3);
  tape.set_products(type);
  const Variable x = Variable::leaf(exact_numbers({n, width}, 1, device)),
                 y = Variable::leaf(exact_numbers({m, 2 * width}, 2, device));
  const Variable apart = linear(tape, x, Variable(identity(width, device)), {}, type);
  const Variable memory = linear(tape, y, Variable(identity(2 * width, device)), {}, type);
  const Columns key(memory, 0, width), query = s.same ? key : apart;
  const Columns value = s.same ? key : Columns(memory, width, width);
  const Variable result = attention(tape, query, key, value, layout,
                                    {.heads = s.heads,
                                     .scale = 1 / std::sqrt(static_cast<real>(s.head_dim)),
                                     .causal = s.causal,
                                     .dropout = s.dropout,
                                     .type = type});
  const Variable out = linear(tape, result, Variable(identity(width, device)));
  tape.backward(sum(tape, multiply(tape, out, Variable(exact_numbers({n, width}, 3, device)))));
  if (s.same) return {out.value().to_host(), y.sink()->gradient.to_host()};
  return {out.value().to_host(), y.sink()->gradient.to_host(), x.sink()->gradient.to_host()};
}

class AttentionTest : public testing::TestWithParam<std::tuple<Device, size_t>> {};
INSTANTIATE_TEST_SUITE_P(, AttentionTest,
                         testing::Combine(testing::ValuesIn(all_devices()),
                                          testing::Range(size_t{0}, shapes().size())),
                         [](const auto& test) {
                           const size_t number = std::get<1>(test.param);
                           return name_of(std::get<0>(test.param)) + "_" + shapes()[number].name;
                         });

TEST_P(AttentionTest, OfBf16IsThatOfFloatsButForRounding) {
  const auto [device, number] = GetParam();
  if (!has_bf16_products(device)) GTEST_SKIP() << "this processor multiplies no bf16 numbers";
  const Attending shape = shapes()[number];
  const auto exact = run(shape, DType::kReal, Device{});
  const auto low = run(shape, DType::kBf16, device);
  const char* const names[] = {"result", "gradient of keys and values", "gradient of queries"};
  for (size_t i = 0; i < exact.size(); ++i) {
    EXPECT_LT(distance(low[i], exact[i]), 0x1p-7) << names[i];
  }
}

TEST_P(AttentionTest, IsTheSameAtEveryRun) {
  const auto [device, number] = GetParam();
  if (!has_bf16_products(device)) GTEST_SKIP() << "this processor multiplies no bf16 numbers";
  EXPECT_EQ(run(shapes()[number], DType::kBf16, device),
            run(shapes()[number], DType::kBf16, device));
}

// Heads as the steps of a search have them: those that a GPU's kernel for steps serves, and others.
struct Heads {
  const char* name;
  int64_t count, dim;
};
constexpr Heads kHeads[] = {{"usual", 4, 64}, {"narrow", 3, 24}, {"wide", 2, 128},
                            {"odd", 2, 100},  {"wider", 1, 136}, {"uneven", 3, 7}};

// What hypotheses of sentences that stand in any order read of a cache, and with which weights.
std::vector<std::vector<real>> run_step(const Heads& heads, DType type, Device device) {
  const std::vector<int32_t> keys{9, 40, 1, 0, 130, 17}, sentences{5, 0, 1, 1, 4, 2, 3, 0};
  const auto groups = std::ssize(sentences);
  const int64_t m = std::accumulate(keys.begin(), keys.end(), int64_t{0});
  std::vector<int32_t> rows(static_cast<size_t>(m));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i * 59 % rows.size());
  const AttentionLayout layout{.query_offsets = iota(groups + 1, device),
                               .key_offsets = offsets_of(keys, device),
                               .key_segments = Tensor::from(sentences, {groups}, device),
                               .key_rows = Tensor::from(rows, {m}, device),
                               .longest_key = std::ranges::max(keys)};
  const int64_t width = heads.count * heads.dim;
  const auto input = [&](const Shape& shape, uint64_t seed) {
    return Variable(convert(exact_numbers(shape, seed, device), type));
  };
  Tape tape(/*recording=*/false);
  Tensor weights;
  const Variable cache = input({m, 2 * width}, 2);
  const Variable result =
      attention(tape, input({groups, width}, 1), {cache, 0, width}, {cache, width, width}, layout,
                {.heads = heads.count,
                 .scale = 1 / std::sqrt(static_cast<real>(heads.dim)),
                 .type = type,
                 .weights = &weights});
  return {convert(result.value(), DType::kReal).to_host(), weights.to_host()};
}

class StepTest : public testing::TestWithParam<std::tuple<Device, Heads>> {};
INSTANTIATE_TEST_SUITE_P(
    , StepTest, testing::Combine(testing::ValuesIn(all_devices()), testing::ValuesIn(kHeads)),
    [](const auto& test) {
      return name_of(std::get<0>(test.param)) + "_" + std::get<1>(test.param).name;
    });

TEST_P(StepTest, IsThatOfTheCpu) {
  const auto& [device, heads] = GetParam();
  const auto exact = run_step(heads, DType::kReal, Device{});
  for (const auto& [type, bound] : {std::pair{DType::kReal, 0x1p-18}, {DType::kBf16, 0x1p-7}}) {
    const auto found = run_step(heads, type, device);
    EXPECT_LT(distance(found[0], exact[0]), bound) << to_string(type);
    EXPECT_LT(distance(found[1], exact[1]), bound) << "weights, " << to_string(type);
    EXPECT_EQ(run_step(heads, type, device), found) << to_string(type);
  }
}

}  // namespace
}  // namespace dragoman
