// Products of matrices on the processor: large ones, and small ones of a single thread.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "random_numbers.h"
#include "tensor/cpu/threads.h"
#include "tensor/cpu/tile.h"
#include "tensor/gemm.h"
#include "tensor/tensor.h"

namespace dragoman {
namespace {

// The matrix product ------------------------------------------------------------------------------

// What gemm.h promises, in plain loops.
template <class T>
std::vector<float> plain_product(const Gemm& g, const std::vector<float>& bias,
                                 std::vector<float> c) {
  const T* a = static_cast<const T*>(g.a);
  const T* b = static_cast<const T*>(g.b);
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      double total = g.bias ? bias[static_cast<size_t>(j)] : 0;
      for (int64_t p = 0; p < g.k; ++p) {
        total += static_cast<double>(g.transpose_a ? a[p * g.lda + i] : a[i * g.lda + p]) *
                 (g.transpose_b ? b[j * g.ldb + p] : b[p * g.ldb + j]);
      }
      float& to = c[static_cast<size_t>(i * g.ldc + j)];
      to = static_cast<float>(g.accumulate ? to + total : total);
    }
  }
  return c;
}

struct Extents {
  int64_t m, n, k, gap;  // `gap`: columns of the stored matrices that do not belong to the product
};

class GemmTest : public testing::TestWithParam<Extents> {};

INSTANTIATE_TEST_SUITE_P(, GemmTest,
                         testing::Values(Extents{1, 1, 1, 0}, Extents{1, 7, 3, 2},
                                         Extents{5, 1, 9, 0}, Extents{33, 17, 65, 3},
                                         Extents{64, 128, 32, 0}, Extents{100, 63, 257, 5},
                                         Extents{4200, 3, 5, 1}, Extents{3, 5, 8300, 1},
                                         Extents{30, 40, 1100, 0}, Extents{301, 70, 46, 2},
                                         Extents{320, 70, 1201, 1}, Extents{45, 530, 700, 3}));

template <class T, class From>
std::vector<T> as(const std::vector<From>& x) {
  return {x.begin(), x.end()};
}

// With relu or a gate a product has the same numbers, or zeros in their place.
template <class Out>
void expect_epilogues(Gemm g, const std::vector<Out>& plain, double tolerance) {
  const std::vector<Out> gate = as<Out>(random_numbers(std::ssize(plain), 5));
  for (const bool gated : {false, true}) {
    if (gated && !gates(Device{}, g.inputs)) continue;
    for (const bool relu : {false, true}) {
      std::vector<Out> c = plain;
      g.c = c.data();
      g.relu = relu;
      g.gate = gated ? gate.data() : nullptr;
      gemm(Device{}, g);
      for (size_t i = 0; i < c.size(); ++i) {
        const bool inside = static_cast<int64_t>(i) % g.ldc < g.n;
        const bool zero = inside && ((relu && plain[i] < 0) || (gated && !(gate[i] > 0)));
        ASSERT_NEAR(c[i], zero ? 0 : float(plain[i]), tolerance) << relu << gated << " at " << i;
      }
    }
  }
}

// Of matrices of T, as Out.
template <class T, class Out = float>
void expect_agreement(const Extents& extents) {
  constexpr bool kLow = std::is_same_v<Out, Bf16>;
  const auto [m, n, k, gap] = extents;
  for (int flags = 0; flags < (kLow ? 8 : 16); ++flags) {
    Gemm g{.m = m, .n = n, .k = k, .inputs = dtype_of<T>(), .outputs = dtype_of<Out>()};
    g.transpose_a = flags & 1;
    g.transpose_b = flags & 2;
    g.accumulate = flags & 8;
    g.lda = (g.transpose_a ? m : k) + gap;
    g.ldb = (g.transpose_b ? k : n) + gap;
    g.ldc = n + gap;
    const std::vector<T> a = as<T>(random_numbers((g.transpose_a ? k : m) * g.lda, 1));
    const std::vector<T> b = as<T>(random_numbers((g.transpose_b ? n : k) * g.ldb, 2));
    const std::vector<Out> bias = as<Out>(random_numbers(n, 3));
    // What is not accumulated onto must not be read.
    std::vector<Out> c = as<Out>(random_numbers(m * g.ldc, 4));
    if (!g.accumulate) {
      for (int64_t i = 0; i < m; ++i) {
        std::fill_n(c.begin() + i * g.ldc, n, std::numeric_limits<float>::quiet_NaN());
      }
    }
    g.a = a.data();
    g.b = b.data();
    if (flags & 4) g.bias = bias.data();
    const std::vector<float> expected = plain_product<T>(g, as<float>(bias), as<float>(c));
    g.c = c.data();
    gemm(Device{}, g);
    for (size_t i = 0; i < c.size(); ++i) {
      const double rounding = kLow ? 0x1.1p-8 * std::abs(expected[i]) : 0;
      ASSERT_NEAR(c[i], expected[i], 1e-5 * std::sqrt(double(k)) * 4 + rounding)
          << flags << " at " << i;
    }
    if (!g.accumulate) expect_epilogues(g, c, 1e-5 * std::sqrt(double(k)));
  }
}

// The sums of a transposed a's rows, which the product makes as it reads them.
template <class T>
void expect_sums(const Extents& extents) {
  if (!sums_rows(Device{}, dtype_of<T>())) GTEST_SKIP() << "the products here make no sums";
  const auto [m, n, k, gap] = extents;
  const int64_t lda = m + gap;
  const std::vector<float> numbers = random_numbers(k * lda, 1), old = random_numbers(m, 2);
  const std::vector<T> a(numbers.begin(), numbers.end()), b(static_cast<size_t>(k * n), T{1});
  std::vector<float> c(static_cast<size_t>(m * n));
  for (const bool accumulate : {false, true}) {
    std::vector<float> sums = old;
    gemm(Device{}, {.m = m,
                    .n = n,
                    .k = k,
                    .inputs = dtype_of<T>(),
                    .a = a.data(),
                    .lda = lda,
                    .transpose_a = true,
                    .b = b.data(),
                    .ldb = n,
                    .c = c.data(),
                    .ldc = n,
                    .sums = sums.data(),
                    .accumulate_sums = accumulate});
    for (int64_t i = 0; i < m; ++i) {
      double expected = accumulate ? old[static_cast<size_t>(i)] : 0;
      for (int64_t p = 0; p < k; ++p) expected += a[static_cast<size_t>(p * lda + i)];
      ASSERT_NEAR(sums[static_cast<size_t>(i)], expected, 1e-5 * std::sqrt(double(k)) * 4) << i;
    }
  }
}

TEST_P(GemmTest, SumsTheRowsOfATransposedMatrix) { expect_sums<float>(GetParam()); }
TEST_P(GemmTest, SumsTheRowsOfATransposedMatrixOfBf16) { expect_sums<Bf16>(GetParam()); }

TEST_P(GemmTest, AgreesWithPlainLoops) { expect_agreement<float>(GetParam()); }
TEST_P(GemmTest, OfBf16SumsInFloat) {
  if (!has_bf16_products(Device{})) GTEST_SKIP() << "this processor multiplies no bf16 numbers";
  expect_agreement<Bf16>(GetParam());
}
TEST_P(GemmTest, OfBf16RoundsItsSumsOnce) {
  if (!has_bf16_products(Device{})) GTEST_SKIP() << "this processor multiplies no bf16 numbers";
  expect_agreement<Bf16, Bf16>(GetParam());
}

TEST(Gemm, WritesBf16WhereItReadsBf16AndAddsToNothing) {
  const Tensor x = Tensor::zeros({1}), low = Tensor::zeros({1}, DType::kBf16);
  Gemm g{.m = 1, .n = 1, .k = 1, .outputs = DType::kBf16};
  g.a = g.b = x.address();
  g.lda = g.ldb = g.ldc = 1;
  g.c = low.address();
  EXPECT_THROW(gemm(Device{}, g), Error);
  g.inputs = DType::kBf16;
  g.a = g.b = low.address();
  g.accumulate = true;
  EXPECT_THROW(gemm(Device{}, g), Error);
}

TEST(Gemm, KeepsNaNWithRelu) {
  for (const DType type : {DType::kReal, DType::kBf16}) {
    if (type == DType::kBf16 && !has_bf16_products(Device{})) continue;
    const int64_t n = 40;
    Tensor x = Tensor::from(std::vector<float>(n * n, -1), {n, n});
    x.data()[3] = std::numeric_limits<float>::quiet_NaN();
    const Tensor a = convert(x, type),
                 b = convert(Tensor::from(std::vector<float>(n * n, 1), {n, n}), type);
    const Tensor c = Tensor::empty({n, n});
    Gemm g{.m = n,
           .n = n,
           .k = n,
           .inputs = type,
           .a = a.address(),
           .lda = n,
           .b = b.address(),
           .ldb = n};
    g.c = c.address();
    g.ldc = n;
    g.relu = true;
    gemm(Device{}, g);
    EXPECT_TRUE(std::isnan(c.data()[0]));
    EXPECT_EQ(c.data()[n], 0);
    g.accumulate = true;
    EXPECT_THROW(gemm(Device{}, g), Error) << "relu of a part of the sum";
  }
}

TEST(Gemm, OfNoRowsDoesNothingAndOfNoDepthFails) {
  gemm(Device{}, {.m = 0, .n = 3, .k = 2});
  EXPECT_THROW(gemm(Device{}, {.m = 1, .n = 1, .k = 0}), Error);
}

TEST(Gemm, GivesTheSameBitsTwice) {
  const int64_t n = 150;
  const std::vector<float> a = random_numbers(n * n, 1), b = random_numbers(n * n, 2);
  std::vector<float> first(a.size()), second(a.size());
  Gemm g{.m = n, .n = n, .k = n, .a = a.data(), .lda = n, .b = b.data(), .ldb = n};
  g.ldc = n;
  g.c = first.data();
  gemm(Device{}, g);
  g.c = second.data();
  gemm(Device{}, g);
  EXPECT_EQ(first, second);
}

TEST(Gemm, GivesTheSameBitsOnAnyNumberOfThreads) {
  for (const DType type : {DType::kReal, DType::kBf16}) {
    if (type == DType::kBf16 && !has_bf16_products(Device{})) continue;
    // Of few rows and a transposed a, one or two threads pack b on the way, others before. Of very
    // few a library divides the depth among its threads.
    struct Case {
      int64_t m, n, k;
      bool transpose_a, transpose_b;
    };
    for (const auto& [m, n, k, transpose_a, transpose_b] : {Case{300, 300, 600, false, false},
                                                            {300, 300, 600, true, true},
                                                            {200, 300, 600, true, true},
                                                            {1, 1024, 2000, false, false},
                                                            {1, 300, 600, false, true},
                                                            {6, 1024, 4000, true, false},
                                                            {6, 64, 8204, false, false}}) {
      const Tensor a = convert(Tensor::from(random_numbers(m * k, 1), {m, k}), type);
      const Tensor b = convert(Tensor::from(random_numbers(n * k, 2), {n, k}), type);
      std::vector<std::vector<float>> results;
      for (const int threads : {1, 2, 3, 7}) {
        set_thread_count(threads);
        const Tensor c = Tensor::empty({m, n});
        gemm(Device{}, {.m = m,
                        .n = n,
                        .k = k,
                        .inputs = type,
                        .a = a.address(),
                        .lda = transpose_a ? m : k,
                        .transpose_a = transpose_a,
                        .b = b.address(),
                        .ldb = transpose_b ? k : n,
                        .transpose_b = transpose_b,
                        .c = c.data(),
                        .ldc = n});
        results.push_back(c.to_host());
      }
      set_thread_count(0);
      for (const auto& result : results) EXPECT_EQ(result, results[0]) << m << " rows";
    }
  }
}

// Small matrices ----------------------------------------------------------------------------------

// a b for b of the type B, where a's numbers are of the type A, and a is rounded to within
// `precision`.
template <class A, class B>
void expect_products_of_any_size(double precision) {
  for (const auto& [m, n, k] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                   {1, 80, 19},
                                                                   {3, 33, 2},
                                                                   {8, 16, 64},
                                                                   {21, 80, 19},
                                                                   {21, 33, 0},
                                                                   {70, 40, 131}}) {
    const int64_t ldb = n + 3, ldc = n + 2;
    const std::vector<float> a = as<float>(as<A>(random_numbers(m * k, 1)));
    const std::vector<B> b = as<B>(random_numbers(k * ldb, 2));
    const std::vector<float> before = random_numbers(m * ldc, 3);
    for (const bool transposed : {false, true}) {
      for (const bool accumulate : {false, true}) {
        std::vector<float> c = before;
        const tile::Strided left =
            transposed ? tile::Strided{a.data(), 1, m} : tile::Strided{a.data(), k, 1};
        tile::product(m, n, k, left, b.data(), ldb, c.data(), ldc, accumulate);
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < ldc; ++j) {
            const auto at = static_cast<size_t>(i * ldc + j);
            double expected = j < n && !accumulate ? 0 : before[at], total = 0;
            for (int64_t p = 0; p < k && j < n; ++p) {
              const double term =
                  double(a[size_t(transposed ? p * m + i : i * k + p)]) * b[size_t(p * ldb + j)];
              expected += term;
              total += std::abs(term);
            }
            ASSERT_NEAR(c[at], expected, 1e-4 + precision * total)
                << m << " x " << n << " x " << k << " at " << i << ", " << j;
          }
        }
      }
    }
  }
}

TEST(Tile, ProductsOfAnySize) { expect_products_of_any_size<float, float>(0); }

TEST(Tile, ProductsWithBf16OnTheRight) {
  expect_products_of_any_size<Bf16, Bf16>(0);
  expect_products_of_any_size<float, Bf16>(1.0 / 256);  // may read a as bf16
}

TEST(Tile, CopiesToBf16) {
  for (const int64_t columns : {1, 16, 31, 64, 75}) {
    const int64_t rows = 3, stride = columns + 1, to_stride = columns + 2;
    const std::vector<float> x = random_numbers(rows * stride, 1);
    const std::vector<Bf16> before = as<Bf16>(random_numbers(rows * to_stride, 2));
    for (const bool accumulate : {false, true}) {
      std::vector<Bf16> y = before;
      tile::copy(rows, columns, x.data(), stride, y.data(), to_stride, accumulate);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < to_stride; ++j) {
          const Bf16 old = before[size_t(i * to_stride + j)];
          const Bf16 expected =
              j < columns ? Bf16(x[size_t(i * stride + j)] + (accumulate ? float(old) : 0)) : old;
          ASSERT_EQ(y[size_t(i * to_stride + j)].bits, expected.bits) << i << ", " << j;
        }
      }
    }
  }
}

TEST(Tile, TranspositionsOfAnySize) {
  for (const int64_t rows : {1, 15, 16, 40}) {
    for (const int64_t columns : {1, 16, 37}) {
      const int64_t stride = columns + 1, out_stride = tile::padded(rows) + 16;
      const std::vector<float> x = random_numbers(rows * stride, 1);
      std::vector<float> y(static_cast<size_t>(columns * out_stride), -9);
      tile::transpose(rows, columns, x.data(), stride, y.data(), out_stride);
      for (int64_t i = 0; i < columns; ++i) {
        for (int64_t j = 0; j < rows; ++j) {
          ASSERT_EQ(y[size_t(i * out_stride + j)], x[size_t(j * stride + i)]);
        }
        ASSERT_EQ(y[size_t(i * out_stride + tile::padded(rows))], -9) << "beyond the padding";
      }
    }
  }
}

TEST(Tile, ProductsOfRowsOfBf16WithATransposition) {
  for (const int64_t m : {1, 7, 21}) {
    for (const int64_t rows : {1, 16, 30}) {  // of the matrix that is transposed
      for (const int64_t k : {1, 2, 31, 32, 65}) {
        const int64_t stride = k + 3, n = tile::padded(rows), ld = n + 16, words = (k + 1) / 2;
        const std::vector<Bf16> a = as<Bf16>(random_numbers(m * stride, 1)),
                                b = as<Bf16>(random_numbers(rows * stride, 2));
        std::vector<uint32_t> transposed(static_cast<size_t>(words * ld), 9);
        tile::transpose(rows, k, b.data(), stride, transposed.data(), ld);
        for (int64_t p = 0; p < words; ++p) {
          ASSERT_EQ(transposed[size_t(p * ld + n)], 9u) << "beyond the padding";
        }
        std::vector<float> c(static_cast<size_t>(m * n));
        tile::product_of_rows(m, n, k, a.data(), stride, transposed.data(), ld, c.data(), n);
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < rows; ++j) {
            double expected = 0;
            for (int64_t p = 0; p < k; ++p)
              expected += double(a[size_t(i * stride + p)]) * b[size_t(j * stride + p)];
            ASSERT_NEAR(c[size_t(i * n + j)], expected, 1e-5) << m << ", " << rows << ", " << k;
          }
        }
      }
    }
  }
}

TEST(Tile, ReductionsOfRows) {
  const std::vector<float> x = random_numbers(48, 1), y = random_numbers(48, 2);
  EXPECT_NEAR(tile::sum(48, x.data()), std::accumulate(x.begin(), x.end(), 0.0), 1e-5);
  EXPECT_EQ(tile::max(48, x.data()), *std::max_element(x.begin(), x.end()));
}

}  // namespace
}  // namespace dragoman
