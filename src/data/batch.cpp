#include "data/batch.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "data/vocabulary.h"

namespace dragoman {

namespace {

std::vector<int32_t> lengths_of(const std::vector<std::vector<int32_t>>& sentences) {
  std::vector<int32_t> lengths;
  lengths.reserve(sentences.size());
  for (const auto& sentence : sentences) lengths.push_back(static_cast<int32_t>(sentence.size()));
  return lengths;
}

/// The places of all sentences, longest first by `lengths` and then by `more_lengths`.
std::vector<int64_t> longest_first(const std::vector<int32_t>& lengths,
                                   const std::vector<int32_t>& more_lengths) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
    if (lengths[a] != lengths[b]) return lengths[a] > lengths[b];
    return more_lengths[a] > more_lengths[b];
  });
  return order;
}

/// Adds a sentence, with `<s>` before and `</s>` behind it where asked.
void append_marked(Sentences& sentences, std::span<const int32_t> ids, bool begin, bool end) {
  if (begin) sentences.ids.push_back(Vocabulary::kBegin);
  sentences.ids.insert(sentences.ids.end(), ids.begin(), ids.end());
  if (end) sentences.ids.push_back(Vocabulary::kEnd);
  sentences.offsets.push_back(static_cast<int32_t>(sentences.ids.size()));
}

std::string sentences_text(int32_t count) {
  return fmt::format("{} sentence{}", count, count == 1 ? "" : "s");
}

}  // namespace

void Batch::append(std::span<const int32_t> source_ids, std::span<const int32_t> target_ids,
                   int64_t index) {
  append_marked(source, source_ids, false, true);
  append_marked(target_input, target_ids, true, false);
  append_marked(target_output, target_ids, false, true);
  indices.push_back(index);
}

std::pair<Batch, Batch> halves(const Batch& batch) {
  check(batch.size() > 1, "a batch of one sentence has no halves");
  std::pair<Batch, Batch> parts;
  for (int32_t i = 0; i < batch.size(); ++i) {
    Batch& part = i < (batch.size() + 1) / 2 ? parts.first : parts.second;
    part.append(batch.source[i].first(static_cast<size_t>(batch.source.length(i) - 1)),
                batch.target_input[i].subspan(1), batch.indices[static_cast<size_t>(i)]);
  }
  return parts;
}

std::pair<SourceBatch, SourceBatch> halves(const SourceBatch& batch) {
  check(batch.size() > 1, "a batch of one sentence has no halves");
  std::pair<SourceBatch, SourceBatch> parts;
  for (int32_t i = 0; i < batch.size(); ++i) {
    SourceBatch& part = i < (batch.size() + 1) / 2 ? parts.first : parts.second;
    part.source.append(batch.source[i]);
    part.indices.push_back(batch.indices[static_cast<size_t>(i)]);
  }
  return parts;
}

std::string size_text(const Batch& batch) {
  return fmt::format("{}, {} source and {} target tokens, the longest of {}",
                     sentences_text(batch.size()), batch.source.tokens(),
                     batch.target_output.tokens(),
                     std::max(batch.source.max_length(), batch.target_output.max_length()));
}

std::string size_text(const SourceBatch& batch) {
  return fmt::format("{}, {} source tokens, the longest of {}", sentences_text(batch.size()),
                     batch.source.tokens(), batch.source.max_length());
}

std::vector<Batch> make_batches(const std::vector<std::vector<int32_t>>& sources,
                                const std::vector<std::vector<int32_t>>& targets,
                                int64_t batch_tokens) {
  check(sources.size() == targets.size(), "{} source sentences cannot be paired with {} targets",
        sources.size(), targets.size());
  std::vector<Batch> batches;
  for (const int64_t i : longest_first(lengths_of(targets), lengths_of(sources))) {
    const int64_t tokens = std::ssize(targets[i]) + 1;
    if (batches.empty() || batches.back().target_output.tokens() + tokens > batch_tokens)
      batches.emplace_back();
    batches.back().append(sources[i], targets[i], i);
  }
  return batches;
}

std::vector<SourceBatch> make_source_batches(const std::vector<std::vector<int32_t>>& sources,
                                             int64_t batch_sentences, int64_t batch_tokens) {
  const std::vector<int32_t> lengths = lengths_of(sources);
  std::vector<SourceBatch> batches;
  for (const int64_t i : longest_first(lengths, lengths)) {
    if (batches.empty() || batches.back().size() >= batch_sentences ||
        batches.back().source.tokens() + lengths[i] + 1 > batch_tokens)
      batches.emplace_back();
    append_marked(batches.back().source, sources[i], false, true);
    batches.back().indices.push_back(i);
  }
  return batches;
}

}  // namespace dragoman
