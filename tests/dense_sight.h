// Who sees whom, pair by pair from what a Sight is said to mean, without its code: what kernels are
// compared with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ops/sight.h"

namespace dragoman {

/// The random blocks of keys that a block of queries sees.
inline std::vector<int> random_blocks_of(const Sight& sight, int query_block, int keys) {
  std::vector<int> all;  // those to choose from
  for (int b = 0; sight.causal ? b < query_block : b * sight.block < keys; ++b) all.push_back(b);
  std::vector<int> chosen;
  for (int k = 0; k < sight.random_blocks; ++k) {
    const size_t parts = static_cast<size_t>(sight.random_blocks), part = static_cast<size_t>(k);
    const std::vector<int> some(
        all.begin() + static_cast<std::ptrdiff_t>(all.size() * part / parts),
        all.begin() + static_cast<std::ptrdiff_t>(all.size() * (part + 1) / parts));
    uint32_t words[4];
    random_words({.seed = sight.seed},
                 static_cast<uint64_t>(query_block) | static_cast<uint64_t>(k) << 32, words);
    if (!some.empty()) chosen.push_back(some[words[0] % some.size()]);
  }
  return chosen;
}

/// Which of `keys` keys the query at a position sees.
inline std::vector<bool> dense_sight(const Sight& sight, int query, int keys) {
  std::vector<bool> seen(static_cast<size_t>(keys), false);
  const auto show = [&](int first, int last) {
    for (int j = std::max(first, 0); j <= std::min(last, keys - 1); ++j)
      seen[static_cast<size_t>(j)] = true;
  };
  if (sight.window == 0 && sight.stride == 0 && sight.random_blocks == 0) {
    show(0, keys);
  } else {
    show(query - sight.window, query + sight.window);
    show(0, query < sight.global ? keys : sight.global - 1);
    for (int j = query % std::max(sight.stride, 1); sight.stride > 0 && j < keys; j += sight.stride)
      show(j, j);
    if (sight.random_blocks > 0) {
      for (const int b : random_blocks_of(sight, query / sight.block, keys))
        show(b * sight.block, (b + 1) * sight.block - 1);
    }
  }
  for (int j = std::max(query + 1, 0); sight.causal && j < keys; ++j)
    seen[static_cast<size_t>(j)] = false;
  return seen;
}

}  // namespace dragoman
