// Who sees whom, of many sights, beside a matrix that is written pair by pair.
#include "ops/sight.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "dense_sight.h"

namespace dragoman {

void PrintTo(const Sight& s, std::ostream* out) {
  *out << (s.causal ? "causal" : "both ways") << ", window " << s.window << ", stride " << s.stride
       << ", global " << s.global << ", " << s.random_blocks << " random blocks of " << s.block;
}

namespace {

using Range = Sight::Range;

std::vector<Sight> sights() {
  std::vector<Sight> all;
  for (const bool causal : {false, true}) {
    all.push_back({.causal = causal});
    for (const int window : {0, 1, 4}) {
      for (const int stride : {0, 1, 2, 5, 9}) {
        for (const int global : {0, 1, 3}) {
          for (const auto& [random, block] : {std::pair{0, 64}, {1, 4}, {2, 3}, {3, 1}}) {
            const Sight sight{causal, window, stride, global, random, block, 17};
            if (sight.sparse()) all.push_back(sight);
          }
        }
      }
    }
  }
  return all;
}

using Matrix = std::vector<std::vector<bool>>;  // [queries][keys]

// f(sight, queries, keys, matrix) for all sights and lengths of all kinds.
template <class F>
void each_matrix(F f) {
  for (const Sight& sight : sights()) {
    for (const int queries : {1, 2, 7, 12, 24}) {
      for (const int keys : {0, 1, 2, 7, 12, 24}) {
        SCOPED_TRACE(testing::PrintToString(sight) + ", " + std::to_string(queries) + " queries, " +
                     std::to_string(keys) + " keys");
        Matrix matrix;
        for (int i = 0; i < queries; ++i) matrix.push_back(dense_sight(sight, i, keys));
        f(sight, queries, keys, matrix);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

// f(range) for every range within [0, end) that is not empty.
template <class F>
void each_range(int end, F f) {
  for (int first = 0; first < end; ++first) {
    for (int last = first + 1; last <= end; ++last) f(Range{first, last});
  }
}

// That next(from) gives, from every place on, the first run of what is wanted.
template <class F>
void expect_runs(const std::vector<bool>& wanted, F next) {
  const int end = static_cast<int>(wanted.size());
  for (int from = 0; from <= end; ++from) {
    const auto begin = std::find(wanted.begin() + from, wanted.end(), true);
    const auto behind = std::find(begin, wanted.end(), false);
    const Range range = next(from);
    ASSERT_EQ(range.empty(), begin == wanted.end()) << "from " << from;
    if (range.empty()) continue;
    ASSERT_EQ(range.begin, begin - wanted.begin()) << "from " << from;
    ASSERT_EQ(range.end, behind - wanted.begin()) << "from " << from;
  }
}

TEST(SightTest, SeesWhatTheMatrixSays) {
  each_matrix([](const Sight& sight, int queries, int keys, const Matrix& matrix) {
    for (int i = 0; i < queries; ++i) {
      for (int j = 0; j < keys; ++j) {
        ASSERT_EQ(sight.sees(i, j, keys), matrix[i][j]) << "query " << i << ", key " << j;
      }
    }
  });
}

TEST(SightTest, FindsTheKeysThatSomeQueriesSee) {
  each_matrix([](const Sight& sight, int queries, int keys, const Matrix& matrix) {
    each_range(queries, [&](Range some) {
      std::vector<bool> wanted(keys);
      for (int j = 0; j < keys; ++j) {
        for (int i = some.begin; i < some.end; ++i) wanted[j] = wanted[j] || matrix[i][j];
      }
      expect_runs(wanted, [&](int from) { return sight.keys_of(some, keys, from); });
      // The same, one after the other.
      std::vector<bool> found(keys);
      int before = 0;
      for (SeenKeys seen(sight, some, keys); seen.more(); seen.next()) {
        ASSERT_EQ(seen.before(), before);
        before += seen.size();
        for (int j = seen.begin(); j < seen.end(); ++j) found[j] = true;
      }
      ASSERT_EQ(found, wanted);
    });
  });
}

TEST(SightTest, FindsTheQueriesThatSeeSomeKeys) {
  each_matrix([](const Sight& sight, int queries, int keys, const Matrix& matrix) {
    each_range(keys, [&](Range some) {
      std::vector<bool> wanted(queries);
      for (int i = 0; i < queries; ++i) {
        for (int j = some.begin; j < some.end; ++j) wanted[i] = wanted[i] || matrix[i][j];
      }
      expect_runs(wanted, [&](int from) { return sight.queries_of(some, keys, queries, from); });
    });
  });
}

TEST(SightTest, CallsNothingWholeThatIsNot) {
  each_matrix([](const Sight& sight, int queries, int keys, const Matrix& matrix) {
    // By one rule alone it knows all that there is.
    const bool exact = sight.stride == 0 && sight.global == 0 && sight.random_blocks == 0;
    each_range(queries, [&](Range rows) {
      each_range(keys, [&](Range columns) {
        bool whole = true;
        for (int i = rows.begin; i < rows.end; ++i) {
          for (int j = columns.begin; j < columns.end; ++j) whole = whole && matrix[i][j];
        }
        const bool said = sight.whole(rows, columns, keys);
        ASSERT_TRUE(exact ? said == whole : whole || !said)
            << "queries " << rows.begin << " to " << rows.end << ", keys " << columns.begin
            << " to " << columns.end;
      });
    });
  });
}

TEST(RandomBlocks, AreAsManyAsAreAskedForAndFollowFromTheSeed) {
  for (const bool causal : {false, true}) {
    Sight sight{.causal = causal, .random_blocks = 3, .block = 8, .seed = 1};
    const int keys = 160, blocks = keys / sight.block;
    const auto shown = [&](int query_block) {
      std::set<int> all;
      for (int b = 0; b < blocks; ++b) {
        // Not of its own block, in which a query sees itself.
        const int key = b * sight.block, query = query_block * sight.block + 1;
        if (sight.sees(query, key, keys)) all.insert(b);
      }
      return all;
    };
    std::set<std::set<int>> choices;
    for (int b = 0; b < blocks; ++b) {
      const int there = causal ? b : blocks;
      EXPECT_EQ(shown(b).size(), static_cast<size_t>(std::min(3, there)));
      choices.insert(shown(b));
    }
    EXPECT_GT(choices.size(), 10u);
    const std::set<int> before = shown(15);
    sight.seed = 2;
    EXPECT_NE(shown(15), before);
  }
}

// Else what is written token by token would see others than what is read at once.
TEST(RandomBlocks, OfACausalSightDoNotDependOnWhatFollows) {
  const Sight sight{.causal = true, .random_blocks = 2, .block = 4, .seed = 3};
  for (int i = 0; i < 60; ++i) {
    for (int j = 0; j <= i; ++j) EXPECT_EQ(sight.sees(i, j, i + 1), sight.sees(i, j, 60));
  }
}

}  // namespace
}  // namespace dragoman
