// Attention of bf16 on every device, whose kernels differ, beside that of floats on the CPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
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
  Sight sight;
  real dropout;
  bool same = false;  // The keys are the queries and the values.
  int64_t key_heads = 0;

  int64_t key_width() const { return (key_heads > 0 ? key_heads : heads) * head_dim; }
};

std::vector<Attending> shapes() {
  const std::vector<int32_t> few{5, 1, 16, 31, 32, 7}, others{9, 40, 3, 16, 64, 1};
  const std::vector<int32_t> many{33, 64, 65, 130, 200}, more{70, 1, 128, 129, 64};
  const Sight all{}, causal{.causal = true};
  // Whose windows and blocks are no multiples of the kernels' tiles.
  const Sight window{.window = 20}, window_causal{.causal = true, .window = 37};
  const Sight window_global{.window = 9, .global = 5};
  const Sight stride{.stride = 3}, stride_causal{.causal = true, .stride = 70};
  const Sight random{.random_blocks = 2, .block = 24, .seed = 1};
  const Sight sparse{.causal = true,
                     .window = 6,
                     .stride = 90,
                     .global = 2,
                     .random_blocks = 2,
                     .block = 16,
                     .seed = 2};
  return {
      {"short_sentences", few, few, 4, 64, all, 0},
      {"short_sentences_causal", few, few, 4, 64, causal, 0},
      {"short_sentences_dropout", few, others, 2, 64, all, 0.3f},
      {"short_narrow_heads", few, few, 3, 24, all, 0},
      {"short_narrow_heads_causal_dropout", few, few, 3, 32, causal, 0.1f},
      {"middling_sentences", others, few, 2, 64, all, 0},
      {"middling_sentences_causal_dropout", others, others, 2, 64, causal, 0.1f},
      {"middling_wide_heads", others, few, 2, 128, all, 0.1f},
      {"middling_wide_heads_causal", others, others, 1, 120, causal, 0},
      {"long_sentences", many, many, 2, 64, all, 0},
      {"long_sentences_causal", many, many, 2, 64, causal, 0},
      {"long_sentences_causal_dropout", many, many, 2, 64, causal, 0.1f},
      {"long_sentences_dropout", many, more, 2, 64, all, 0.1f},
      {"memory", many, more, 3, 32, all, 0},
      {"memory_shorter", few, others, 3, 32, all, 0},
      {"narrow_heads", many, more, 3, 8, all, 0.1f},
      {"odd_heads", many, many, 2, 40, causal, 0.1f},
      {"wide_heads", many, more, 2, 128, all, 0.1f},
      {"wide_heads_causal", many, many, 1, 128, causal, 0},
      {"wide_heads_short", few, few, 2, 96, causal, 0.2f},
      {"wider_heads", few, others, 1, 136, all, 0},
      {"uneven_heads", few, others, 3, 7, all, 0.1f},
      {"no_queries", {3, 0, 4}, {5, 6, 2}, 2, 16, all, 0},
      {"no_keys", {3, 2, 4}, {5, 0, 2}, 2, 16, all, 0},
      {"short_same", few, few, 2, 32, causal, 0, true},
      {"middling_same", others, others, 2, 64, all, 0.1f, true},
      {"long_same", many, many, 2, 64, causal, 0.1f, true},
      {"short_window", few, few, 2, 64, window, 0},
      {"short_window_global_dropout", few, few, 2, 32, window_global, 0.1f},
      {"short_sparse", few, few, 2, 64, sparse, 0},
      {"middling_window_causal", others, others, 2, 64, window_causal, 0},
      {"middling_window_memory", others, few, 2, 64, window_global, 0},
      {"middling_sparse_dropout", others, others, 2, 128, sparse, 0.1f},
      {"long_window", many, many, 2, 64, window, 0},
      {"long_window_causal_dropout", many, many, 2, 64, window_causal, 0.1f},
      {"long_window_global", many, many, 1, 64, window_global, 0},
      {"long_window_memory_dropout", many, more, 1, 64, window, 0.1f},
      {"long_stride", many, many, 1, 64, stride, 0},
      {"long_stride_causal", many, many, 1, 32, stride_causal, 0},
      {"long_random_blocks_dropout", many, many, 1, 64, random, 0.1f},
      {"long_sparse", many, many, 2, 128, sparse, 0},
      {"long_sparse_dropout", many, many, 2, 64, sparse, 0.1f},
      {"short_key_heads", few, few, 6, 32, all, 0, false, 3},
      {"short_one_key_head_dropout", few, others, 4, 64, all, 0.1f, false, 1},
      {"long_key_heads_causal_dropout", many, many, 6, 64, causal, 0.1f, false, 3},
      {"long_one_key_head", many, more, 4, 32, all, 0, false, 1},
      {"long_key_heads_sparse_dropout", many, many, 4, 64, sparse, 0.1f, false, 2},
  };
}

Tensor offsets_of(const std::vector<int32_t>& lengths, Device device) {
  std::vector<int32_t> offsets{0};
  for (const int32_t length : lengths) offsets.push_back(offsets.back() + length);
  return Tensor::from(offsets, {std::ssize(offsets)}, device);
}

// Rows whose numbers are all this one.
struct Filled {
  std::vector<int> rows = {};
  real number = 0;
};

// Numbers that bf16 holds exactly.
Tensor exact_numbers(const Shape& shape, uint64_t seed, Device device, const Filled& filled = {}) {
  std::vector<float> numbers = random_numbers(shape.size(), seed);
  for (float& number : numbers) number = Bf16(number);
  const int64_t columns = shape[shape.rank() - 1];
  for (const int row : filled.rows) {
    std::fill_n(numbers.begin() + row * columns, columns, static_cast<float>(filled.number));
  }
  return Tensor::from(std::vector<real>(numbers.begin(), numbers.end()), shape, device);
}

Tensor identity(int64_t size, Device device) {
  std::vector<real> numbers(static_cast<size_t>(size * size));
  for (int64_t i = 0; i < size; ++i) numbers[static_cast<size_t>(i * size + i)] = 1;
  return Tensor::from(numbers, {size, size}, device);
}

// The result, and the gradients of keys and values, which stand in one matrix, and of queries.
std::vector<std::vector<real>> run(const Attending& s, DType type, Device device,
                                   const Filled& keys_filled = {}) {
  const int64_t n = std::accumulate(s.queries.begin(), s.queries.end(), int64_t{0});
  const int64_t m = std::accumulate(s.keys.begin(), s.keys.end(), int64_t{0});
  const int64_t width = s.heads * s.head_dim, key_width = s.key_width();
  const AttentionLayout layout{.query_offsets = offsets_of(s.queries, device),
                               .key_offsets = offsets_of(s.keys, device),
                               .longest_key = std::ranges::max(s.keys),
                               .longest_query = std::ranges::max(s.queries)};
  Tape tape;
  tape.set_training(7, 3);
  tape.set_products(type);
  const Variable x = Variable::leaf(exact_numbers({n, width}, 1, device)),
                 y = Variable::leaf(exact_numbers({m, 2 * key_width}, 2, device, keys_filled));
  const Variable apart = linear(tape, x, Variable(identity(width, device)), {}, type);
  const Variable memory = linear(tape, y, Variable(identity(2 * key_width, device)), {}, type);
  const Columns key(memory, 0, key_width), query = s.same ? key : apart;
  const Columns value = s.same ? key : Columns(memory, key_width, key_width);
  const Variable result = attention(tape, query, key, value, layout,
                                    {.heads = s.heads,
                                     .key_heads = s.key_heads,
                                     .scale = 1 / std::sqrt(static_cast<real>(s.head_dim)),
                                     .sight = s.sight,
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

class SparseTest : public testing::TestWithParam<Device> {};
INSTANTIATE_TEST_SUITE_P(, SparseTest, testing::ValuesIn(all_devices()),
                         [](const auto& test) { return name_of(test.param); });

// Attention costs what is seen: where no query of a tile sees a key of a tile these keys may be
// anything, since nobody multiplies with them.
TEST_P(SparseTest, ReadsNoTileOfKeysThatNobodySees) {
  struct Case {
    Sight sight;
    int first, last;  // of keys that no query sees
  };
  constexpr int kTile = 64, kQueries = 20, kKeys = 640;
  std::vector<Case> cases{
      {{.window = 9}, kTile, kKeys},
      {{.causal = true, .window = 9}, kTile, kKeys},
      {{.stride = 256}, kTile, 4 * kTile},
      {{.stride = 256}, 5 * kTile, 8 * kTile},
  };
  // Of random blocks, each two tiles, all but one and the queries' own.
  const Sight random{.random_blocks = 1, .block = 2 * kTile, .seed = 8};
  for (int block = 1; block < kKeys / random.block; ++block) {
    const int key = block * random.block;
    if (!random.sees(0, key, kKeys)) cases.push_back({random, key, key + random.block});
  }
  EXPECT_GE(cases.size(), 7u);
  for (const Case& some : cases) {
    const Attending shape{"", {kQueries}, {kKeys}, 2, 64, some.sight, 0};
    Filled filled;
    for (int key = some.first; key < some.last; ++key) filled.rows.push_back(key);
    for (const DType type : {DType::kReal, DType::kBf16}) {
      if (type == DType::kBf16 && !has_bf16_products(GetParam())) continue;
      filled.number = 0;
      const auto expected = run(shape, type, GetParam(), filled);
      filled.number = std::numeric_limits<real>::quiet_NaN();
      EXPECT_EQ(run(shape, type, GetParam(), filled), expected)
          << to_string(type) << ", keys " << some.first << " to " << some.last;
    }
  }
}

// Every query of a sentence at once, and each by itself with the keys up to it in any order.
TEST_P(SparseTest, StepsAsItReads) {
  constexpr int kLength = 100;
  constexpr int64_t kCount = 2, kDim = 32, kWidth = kCount * kDim;
  const Device device = GetParam();
  std::vector<int32_t> places(kLength), lengths(kLength), rows;  // of the keys
  for (int j = 0; j < kLength; ++j) places[static_cast<size_t>(j)] = j * 59 % kLength;
  for (int i = 0; i < kLength; ++i) {
    lengths[static_cast<size_t>(i)] = i + 1;
    rows.insert(rows.end(), places.begin(), places.begin() + i + 1);
  }
  const auto in_order = Tensor::from(places, {kLength}, device);
  const AttentionLayout whole{.query_offsets = offsets_of({kLength}, device),
                              .key_offsets = offsets_of({kLength}, device),
                              .longest_key = kLength};
  const AttentionLayout steps{.query_offsets = iota(kLength + 1, device),
                              .key_offsets = offsets_of(lengths, device),
                              .key_rows = Tensor::from(rows, {std::ssize(rows)}, device),
                              .longest_key = kLength,
                              .queries_last = true};
  for (const Sight& sight :
       {Sight{.causal = true}, Sight{.causal = true, .window = 12},
        Sight{.causal = true, .stride = 7}, Sight{.causal = true, .window = 3, .global = 4},
        Sight{.causal = true, .random_blocks = 3, .block = 9, .seed = 6},
        Sight{true, 2, 31, 1, 2, 8, 7}}) {
    for (const auto& [type, bound] : {std::pair{DType::kReal, 0x1p-18}, {DType::kBf16, 0x1p-7}}) {
      Tape tape(/*recording=*/false);
      const auto attend = [&](const AttentionLayout& layout, const Variable& memory, DType as) {
        const Variable query(convert(exact_numbers({kLength, kWidth}, 1, device), as));
        const Variable cache(convert(memory.value(), as));
        Tensor weights;
        const Variable y = attention(
            tape, query, {cache, 0, kWidth}, {cache, kWidth, kWidth}, layout,
            {.heads = kCount, .scale = 0.2f, .sight = sight, .type = as, .weights = &weights});
        return std::pair{convert(y.value(), DType::kReal).to_host(), weights.to_host()};
      };
      const Variable cache(exact_numbers({kLength, 2 * kWidth}, 2, device));
      const auto read = attend(whole, embedding(tape, cache, in_order), DType::kReal);
      const auto stepped = attend(steps, cache, type);
      EXPECT_LT(distance(stepped.first, read.first), bound) << to_string(type);
      EXPECT_LT(distance(stepped.second, read.second), bound) << "weights, " << to_string(type);
    }
  }
}

// Heads as the steps of a search have them: those that a GPU's kernel for steps serves, and others.
struct Heads {
  const char* name;
  int64_t count, dim;
  int64_t key_heads = count;
};
constexpr Heads kHeads[] = {{"usual", 4, 64},     {"narrow", 3, 24},         {"wide", 2, 128},
                            {"odd", 2, 100},      {"wider", 1, 136},         {"uneven", 3, 7},
                            {"shared", 6, 32, 2}, {"shared_uneven", 4, 7, 1}};

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
  const int64_t width = heads.count * heads.dim, key_width = heads.key_heads * heads.dim;
  const auto input = [&](const Shape& shape, uint64_t seed) {
    return Variable(convert(exact_numbers(shape, seed, device), type));
  };
  Tape tape(/*recording=*/false);
  Tensor weights;
  const Variable cache = input({m, 2 * key_width}, 2);
  const Variable result = attention(tape, input({groups, width}, 1), {cache, 0, key_width},
                                    {cache, key_width, key_width}, layout,
                                    {.heads = heads.count,
                                     .key_heads = heads.key_heads,
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
