#include "models/device_batch.h"

#include <algorithm>
#include <bit>

namespace dragoman {
namespace {

constexpr int32_t kFiller = 0;  // any piece: nobody looks at it

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

int64_t rounded_tokens(int64_t tokens) {
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(tokens)));
  return round_up(tokens, std::max<int64_t>(power / 16, 16));
}

// How long the sentences may be that fill a bucket up: the targets stand longest first.
int64_t filler_length(const Sentences& sentences) {
  int64_t shortest = sentences.length(0);
  for (int32_t s = 1; s < sentences.size(); ++s)
    shortest = std::min<int64_t>(shortest, sentences.length(s));
  return shortest;
}

int64_t fillers(const Sentences& sentences, int64_t tokens) {
  const int64_t length = filler_length(sentences);
  return (tokens - sentences.tokens() + length - 1) / length;
}

// The bounds of the sentences, and of those after them up to `tokens`.
std::vector<int32_t> filled_bounds(const Sentences& sentences, int64_t count, int64_t tokens) {
  std::vector<int32_t> bounds = sentences.offsets;
  const int64_t length = filler_length(sentences);
  while (std::ssize(bounds) <= count)
    bounds.push_back(static_cast<int32_t>(std::min(bounds.back() + length, tokens)));
  check(bounds.back() == tokens && std::ssize(bounds) == count + 1,
        "a batch of {} sentences and {} tokens does not fit into {} and {}", sentences.size(),
        sentences.tokens(), count, tokens);
  return bounds;
}

// Where the parts of one side lie among the words: ids, bounds, positions.
struct Side {
  int64_t ids, bounds, positions, end;
};
Side side_at(int64_t begin, int64_t sentences, int64_t tokens) {
  const int64_t bounds = begin + tokens, positions = bounds + sentences + 1;
  return {begin, bounds, positions, positions + tokens};
}

void write_filled(const std::vector<int32_t>& ids, int32_t filler, int64_t count,
                  std::vector<int32_t>& words) {
  words.insert(words.end(), ids.begin(), ids.end());
  words.insert(words.end(), static_cast<size_t>(count) - ids.size(), filler);
}

void write_side(const Sentences& sentences, int64_t count, int64_t tokens,
                std::vector<int32_t>& words) {
  const std::vector<int32_t> bounds = filled_bounds(sentences, count, tokens);
  write_filled(sentences.ids, kFiller, tokens, words);
  words.insert(words.end(), bounds.begin(), bounds.end());
  const std::vector<int32_t> positions = positions_of(bounds);
  words.insert(words.end(), positions.begin(), positions.end());
}

// All that the device gets: source, target input, targets.
std::vector<int32_t> words_of(const Batch& batch, const Bucket& bucket) {
  std::vector<int32_t> words;
  write_side(batch.source, bucket.sentences, bucket.source_tokens, words);
  write_side(batch.target_input, bucket.sentences, bucket.target_tokens, words);
  write_filled(batch.target_output.ids, -1, bucket.target_tokens, words);
  return words;
}

TokenBatch view(const Tensor& words, const Side& side, std::vector<int32_t> bounds,
                int64_t longest) {
  const auto sentences = std::ssize(bounds) - 1, tokens = side.bounds - side.ids;
  return {words.view(side.ids, {tokens}),
          {.bounds = std::move(bounds),
           .offsets = words.view(side.bounds, {sentences + 1}),
           .positions = words.view(side.positions, {tokens}),
           .longest = longest}};
}

}  // namespace

Bucket exact_bucket(const Batch& batch) {
  return {batch.size(), batch.source.tokens(), batch.target_input.tokens(),
          batch.source.max_length(), batch.target_input.max_length()};
}

Bucket rounded_bucket(const Batch& batch, int64_t most_source, int64_t most_target) {
  const int64_t source = rounded_tokens(batch.source.tokens());
  const int64_t target = rounded_tokens(batch.target_input.tokens());
  const auto sentences = static_cast<uint64_t>(
      batch.size() + std::max(fillers(batch.source, source), fillers(batch.target_input, target)));
  const auto longest = [](const Sentences& side, int64_t most) {
    return std::min(round_up(side.max_length(), 32), std::max<int64_t>(most, side.max_length()));
  };
  return {static_cast<int64_t>(std::bit_ceil(sentences)), source, target,
          longest(batch.source, most_source), longest(batch.target_input, most_target)};
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
  const Side source = side_at(0, bucket.sentences, bucket.source_tokens);
  const Side target = side_at(source.end, bucket.sentences, bucket.target_tokens);
  source_ =
      view(words_, source, filled_bounds(batch.source, bucket.sentences, bucket.source_tokens),
           bucket.longest_source);
  target_input_ = view(words_, target,
                       filled_bounds(batch.target_input, bucket.sentences, bucket.target_tokens),
                       bucket.longest_target);
  targets_ = words_.view(target.end, {bucket.target_tokens});
}

void DeviceBatch::refill(const Batch& batch) {
  words_.copy_from(Tensor::from(words_of(batch, bucket_)));
}

}  // namespace dragoman
