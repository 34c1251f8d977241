#include "models/device_batch.h"

#include <algorithm>
#include <bit>

namespace dragoman {
namespace {

constexpr int32_t kFiller = 0;  // any piece: nobody looks at it

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// To one of `parts` numbers between a power of two and the next, and to a multiple of `least`.
int64_t rounded(int64_t n, int64_t parts, int64_t least) {
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(n)));
  return round_up(n, std::max(power / parts, least));
}

// How the numbers of a side are rounded: to how many between a power of two and the next.
struct Rounding {
  int64_t tokens, steps;
};
constexpr Rounding kAtOnce = {16, 0}, kSourceInTime = {4, 2}, kTargetInTime = {8, 4};

// The next smaller number of rows that a step may have: not so few that fewer save nothing.
int64_t less(int64_t rows) { return std::max<int64_t>((rows + 7) / 8, 32); }

// Steps for those of a batch: between two numbers to which that of steps is rounded they have the
// same rows.
std::vector<int64_t> rounded_steps(const std::vector<int64_t>& exact, int64_t sentences,
                                   int64_t parts) {
  std::vector<int64_t> steps;
  int64_t rows = sentences;
  while (steps.size() < exact.size()) {
    const int64_t needed = exact[steps.size()];
    for (int64_t fewer = less(rows); fewer < rows && fewer >= needed; fewer = less(rows))
      rows = fewer;
    steps.resize(static_cast<size_t>(rounded(std::ssize(steps) + 1, parts, 1)), rows);
  }
  return steps;
}

// Sentences that fill a side up to `tokens`.
int64_t fillers(const Sentences& sentences, int64_t tokens, int64_t longest) {
  return (tokens - sentences.tokens() + longest - 1) / longest;
}

// One side of a batch in a bucket.
struct Side {
  const Sentences& sentences;
  PackingPlan plan;
};
Side side_of(const Sentences& sentences, const Bucket& bucket, int64_t tokens, int64_t longest,
             const std::vector<int64_t>& steps) {
  std::vector<int32_t> bounds = sentences.offsets;
  while (std::ssize(bounds) <= bucket.sentences)
    bounds.push_back(static_cast<int32_t>(std::min(bounds.back() + longest, tokens)));
  check(bounds.back() == tokens && std::ssize(bounds) == bucket.sentences + 1,
        "a batch of {} sentences and {} tokens does not fit into {} and {}", sentences.size(),
        sentences.tokens(), bucket.sentences, tokens);
  return {
      sentences,
      {.bounds = std::move(bounds), .longest = longest, .read = sentences.size(), .steps = steps}};
}
Side source_of(const Batch& batch, const Bucket& bucket) {
  return side_of(batch.source, bucket, bucket.source_tokens, bucket.longest_source,
                 bucket.source_steps);
}
Side target_of(const Batch& batch, const Bucket& bucket) {
  for (int32_t s = 1; s < batch.size(); ++s) {
    check(batch.target_input.length(s) <= batch.target_input.length(s - 1),
          "the target sentences of a batch must stand longest first");
  }
  return side_of(batch.target_input, bucket, bucket.target_tokens, bucket.longest_target,
                 bucket.target_steps);
}

void append_filled(const std::vector<int32_t>& ids, int32_t filler, int64_t count,
                   std::vector<int32_t>& words) {
  words.insert(words.end(), ids.begin(), ids.end());
  words.insert(words.end(), static_cast<size_t>(count) - ids.size(), filler);
}

// All that the device gets: source, target input, targets.
std::vector<int32_t> words_of(const Batch& batch, const Bucket& bucket) {
  std::vector<int32_t> words;
  for (const Side& side : {source_of(batch, bucket), target_of(batch, bucket)}) {
    append_filled(side.sentences.ids, kFiller, side.plan.tokens(), words);
    append_packing(side.plan, words);
  }
  append_filled(batch.target_output.ids, -1, bucket.target_tokens, words);
  return words;
}

TokenBatch view(const Tensor& words, int64_t& place, const PackingPlan& plan) {
  const Tensor ids = words.view(place, {plan.tokens()});
  place += plan.tokens();
  return {ids, packing_at(words, place, plan)};
}

}  // namespace

Bucket exact_bucket(const Batch& batch, const SideLimits& source, const SideLimits& target) {
  Bucket bucket{.sentences = batch.size(),
                .source_tokens = batch.source.tokens(),
                .target_tokens = batch.target_input.tokens(),
                .longest_source = batch.source.max_length(),
                .longest_target = batch.target_input.max_length()};
  if (source.in_time) bucket.source_steps = steps_of(batch.source.offsets);
  if (target.in_time) bucket.target_steps = steps_of(batch.target_input.offsets);
  return bucket;
}

Bucket rounded_bucket(const Batch& batch, const SideLimits& source, const SideLimits& target) {
  const Rounding of_source = source.in_time ? kSourceInTime : kAtOnce;
  const Rounding of_target = target.in_time ? kTargetInTime : kAtOnce;
  const auto longest = [](const Sentences& side, const SideLimits& limits) {
    return std::min(round_up(side.max_length(), 32),
                    std::max<int64_t>(limits.longest, side.max_length()));
  };
  Bucket bucket{.source_tokens = rounded(batch.source.tokens(), of_source.tokens, 16),
                .target_tokens = rounded(batch.target_input.tokens(), of_target.tokens, 16),
                .longest_source = longest(batch.source, source),
                .longest_target = longest(batch.target_input, target)};
  const int64_t sentences =
      batch.size() +
      std::max(fillers(batch.source, bucket.source_tokens, bucket.longest_source),
               fillers(batch.target_input, bucket.target_tokens, bucket.longest_target));
  bucket.sentences =
      source.in_time || target.in_time ? rounded(sentences, 4, 1) : rounded(sentences, 1, 1);
  if (source.in_time) {
    bucket.source_steps =
        rounded_steps(steps_of(batch.source.offsets), bucket.sentences, of_source.steps);
  }
  if (target.in_time) {
    bucket.target_steps =
        rounded_steps(steps_of(batch.target_input.offsets), bucket.sentences, of_target.steps);
  }
  return bucket;
}

DeviceBatch::DeviceBatch(const Batch& batch, const Bucket& bucket, Device device)
    : bucket_(bucket) {
  check(batch.size() > 0, "a batch has no sentence");
  for (int32_t s = 0; s < batch.size(); ++s) {
    check(batch.source.length(s) > 0 && batch.target_input.length(s) > 0,
          "sentence {} of a batch is empty", s);
  }
  const std::vector<int32_t> words = words_of(batch, bucket);
  words_ = Tensor::from(words, {std::ssize(words)}, device);
  int64_t place = 0;
  source_ = view(words_, place, source_of(batch, bucket).plan);
  target_input_ = view(words_, place, target_of(batch, bucket).plan);
  targets_ = words_.view(place, {bucket.target_tokens});
}

void DeviceBatch::refill(const Batch& batch) {
  words_.copy_from(Tensor::from(words_of(batch, bucket_)));
}

}  // namespace dragoman
