#include "data/stream.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <stop_token>
#include <thread>
#include <utility>

#include "core/check.h"
#include "core/rng.h"

namespace dragoman {

namespace {

/// Neighbouring sentences that stay in the same pool.
constexpr int64_t kBlockSentences = 64;
/// Batches in a pool, about.
constexpr int64_t kPoolBatches = 100;
/// Batches that are made ahead: enough to have the next pool while one is being used up.
constexpr size_t kQueueBatches = 100;
/// In place of a block's number: the random numbers of the epoch itself.
constexpr uint64_t kWholeEpoch = std::numeric_limits<uint64_t>::max();

/// The random numbers of one pool, named by its first block, or of an epoch.
Random random_of(uint64_t seed, int64_t epoch, uint64_t block) {
  const auto words = philox(seed, static_cast<uint64_t>(epoch), block);
  return Random((uint64_t{words[0]} << 32) | words[1]);
}

template <class T>
void shuffle(std::vector<T>& values, Random& random) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
}

/// The blocks of one epoch in the order in which it goes through them.
class EpochPlan {
 public:
  EpochPlan(int64_t sentences, uint64_t seed, int64_t epoch) : sentences_(sentences) {
    Random random = random_of(seed, epoch, kWholeEpoch);
    shift_ = static_cast<int64_t>(random.below(kBlockSentences));
    order_.resize((sentences + shift_ + kBlockSentences - 1) / kBlockSentences);
    std::iota(order_.begin(), order_.end(), 0);
    shuffle(order_, random);
  }

  int64_t blocks() const { return std::ssize(order_); }
  /// The sentences [begin, end) of the block at `place` in the order.
  std::pair<int64_t, int64_t> sentences(int64_t place) const {
    const int64_t begin = order_[place] * kBlockSentences - shift_;
    return {std::max<int64_t>(begin, 0), std::min(begin + kBlockSentences, sentences_)};
  }
  /// Sentences in the first `places` blocks.
  int64_t sentences_before(int64_t places) const {
    int64_t total = 0;
    for (int64_t i = 0; i < places; ++i) total += sentences(i).second - sentences(i).first;
    return total;
  }

 private:
  int64_t sentences_;
  int64_t shift_;
  std::vector<int64_t> order_;
};

/// The sentence pairs from which a stretch of batches is cut.
struct Pool {
  std::vector<std::vector<int32_t>> source;
  std::vector<std::vector<int32_t>> target;
  std::vector<std::string> source_text;
  std::vector<std::string> target_text;
  std::vector<int64_t> indices;
  int64_t blocks = 0;
  int64_t target_tokens = 0;  ///< `</s>` counted

  void append(const PairBlock& block, int64_t first_index) {
    for (int32_t i = 0; i < block.source.size(); ++i) {
      source.emplace_back(block.source[i].begin(), block.source[i].end());
      target.emplace_back(block.target[i].begin(), block.target[i].end());
      indices.push_back(first_index + i);
    }
    source_text.insert(source_text.end(), block.source_text.begin(), block.source_text.end());
    target_text.insert(target_text.end(), block.target_text.begin(), block.target_text.end());
    target_tokens += block.target.tokens() + block.target.size();
    ++blocks;
  }
};

/// Shuffles the pairs of a pool, sorts them by length, cuts them into batches and shuffles those.
std::vector<Batch> cut(Pool pool, int64_t batch_tokens, Random& random) {
  std::vector<int64_t> places(pool.indices.size());
  std::iota(places.begin(), places.end(), 0);
  shuffle(places, random);
  std::vector<std::vector<int32_t>> source, target;
  for (const int64_t place : places) {
    source.push_back(std::move(pool.source[place]));
    target.push_back(std::move(pool.target[place]));
  }
  std::vector<Batch> batches = make_batches(source, target, batch_tokens);
  for (Batch& batch : batches)
    for (int64_t& index : batch.indices) index = pool.indices[places[index]];
  shuffle(batches, random);
  return batches;
}

}  // namespace

/// Makes batches on a thread of its own and hands them over through a queue.
class BatchStream::Worker {
 public:
  Worker(std::shared_ptr<const Dataset> dataset, Vocabularies vocabularies,
         const BatchOptions& options, const DataPosition& position)
      : dataset_(std::move(dataset)), vocabularies_(std::move(vocabularies)), options_(options) {
    thread_ = std::jthread([this, position](std::stop_token stop) { work(stop, position); });
  }

  Batch next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !queue_.empty() || error_; });
    if (queue_.empty()) std::rethrow_exception(error_);
    Batch batch = std::move(queue_.front());
    queue_.pop_front();
    changed_.notify_all();
    return batch;
  }

  int64_t sentences() const { return dataset_->size(); }

 private:
  void work(std::stop_token stop, DataPosition position) {
    try {
      for (; !stop.stop_requested(); position = {position.epoch + 1, 0, 0})
        run_epoch(stop, position);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
      changed_.notify_all();
    }
  }

  /// Makes the batches from `position` to the end of its epoch.
  void run_epoch(std::stop_token stop, DataPosition position) {
    const EpochPlan plan(dataset_->size(), options_.seed, position.epoch);
    check_exists(position.block >= 0 && position.block < plan.blocks(), position);
    int64_t sentences_done = plan.sentences_before(position.block);
    while (position.block < plan.blocks() && !stop.stop_requested()) {
      Random random = random_of(options_.seed, position.epoch, position.block);
      Pool pool = read_pool(plan, position.block, random);
      const int64_t end = position.block + pool.blocks;
      std::vector<Batch> batches = cut(std::move(pool), options_.batch_tokens, random);
      check_exists(position.batch >= 0 && position.batch < std::ssize(batches), position);
      for (int64_t i = 0; i < std::ssize(batches); ++i) {
        Batch& batch = batches[i];
        const bool ends_pool = i + 1 == std::ssize(batches);
        sentences_done += batch.size();
        batch.epoch = position.epoch;
        batch.sentences_done = sentences_done;
        batch.ends_epoch = ends_pool && end == plan.blocks();
        batch.next = batch.ends_epoch ? DataPosition{position.epoch + 1, 0, 0}
                     : ends_pool      ? DataPosition{position.epoch, end, 0}
                                      : DataPosition{position.epoch, position.block, i + 1};
        if (i >= position.batch && !push(stop, std::move(batch))) return;
      }
      position = {position.epoch, end, 0};
    }
  }

  void check_exists(bool ok, const DataPosition& position) const {
    check(ok, "{}: has no data position (epoch {}, block {}, batch {}); the run was on other data",
          dataset_->path(), position.epoch, position.block, position.batch);
  }

  /// Reads blocks from the place `block` on until they make about kPoolBatches batches.
  Pool read_pool(const EpochPlan& plan, int64_t block, Random& random) const {
    Pool pool;
    while (block < plan.blocks() && pool.target_tokens < kPoolBatches * options_.batch_tokens) {
      const auto [begin, end] = plan.sentences(block++);
      pool.append(dataset_->read(begin, end), begin);
    }
    if (options_.sampling > 0) {
      resample(vocabularies_.source, pool.source_text, random.word(), pool.source);
      resample(vocabularies_.target, pool.target_text, random.word(), pool.target);
    }
    return pool;
  }

  /// Puts another segmentation of `text` into `sentences`, except where it is too long.
  void resample(const Vocabulary& vocabulary, const std::vector<std::string>& text, uint64_t seed,
                std::vector<std::vector<int32_t>>& sentences) const {
    auto sampled =
        vocabulary.encode_sampled(text, options_.sampling_nbest, options_.sampling, seed);
    for (size_t i = 0; i < sampled.size(); ++i)
      if (std::ssize(sampled[i]) <= dataset_->description().max_length)
        sentences[i] = std::move(sampled[i]);
  }

  /// Waits for a free place in the queue; false when the stream is being closed.
  bool push(std::stop_token stop, Batch&& batch) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [&] { return queue_.size() < kQueueBatches; })) return false;
    queue_.push_back(std::move(batch));
    changed_.notify_all();
    return true;
  }

  std::shared_ptr<const Dataset> dataset_;
  Vocabularies vocabularies_;
  BatchOptions options_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Batch> queue_;
  std::exception_ptr error_;
  std::jthread thread_;  // the last member: it stops before the others go
};

BatchStream::BatchStream(std::shared_ptr<const Dataset> dataset, Vocabularies vocabularies,
                         const BatchOptions& options, const DataPosition& position) {
  check(dataset->size() > 0, "{}: has no sentence pair to train on", dataset->path());
  check(options.sampling == 0 || dataset->description().has_text,
        "{}: has no raw text, which subword sampling needs", dataset->path());
  worker_ =
      std::make_unique<Worker>(std::move(dataset), std::move(vocabularies), options, position);
}

BatchStream::~BatchStream() = default;
BatchStream::BatchStream(BatchStream&&) noexcept = default;

Batch BatchStream::next() { return worker_->next(); }

int64_t BatchStream::sentences_per_epoch() const { return worker_->sentences(); }

}  // namespace dragoman
