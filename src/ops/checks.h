// What the operations share: checks of shapes, and dropout.
#pragma once

#include <string_view>

#include "autograd/tape.h"
#include "tensor/launch.h"

namespace dragoman {

inline void check_same_shape(std::string_view operation, const Variable& a, const Variable& b) {
  check(a.shape() == b.shape(), "{}: the shapes {} and {} differ", operation, a.shape(), b.shape());
}

/// For a vector or a matrix that must have as many columns as another.
inline void check_columns(std::string_view operation, std::string_view what, const Variable& x,
                          int64_t columns) {
  check(x.columns() == columns, "{}: {} {} must have {} columns", operation, what, x.shape(),
        columns);
}

/// For ids, lengths and offsets.
inline void check_ids(std::string_view operation, std::string_view what, const Tensor& ids,
                      int64_t size) {
  check(ids.dtype() == DType::kInt32 && ids.size() == size, "{}: {} must be {} int32, not {}",
        operation, what, size, ids.shape());
}

/// How to write a gradient that goes to all of these alike; those that want none do not matter.
inline DType preferred_by_all(std::initializer_list<Variable> variables) {
  for (const Variable& x : variables) {
    if (x.needs_gradient() && x.sink()->preferred != DType::kBf16) return DType::kReal;
  }
  return DType::kBf16;
}

/// From a random word to the factor that an element is multiplied by.
class Dropout {
 public:
  explicit Dropout(real probability)
      : threshold_(static_cast<uint32_t>(static_cast<double>(probability) * 4294967296.0)),
        kept_(1 / (1 - probability)) {}

  DRAGOMAN_HOST_DEVICE real factor(uint32_t word) const {
    return word >= threshold_ ? kept_ : real{0};
  }
  /// That of the elements that are kept.
  DRAGOMAN_HOST_DEVICE real kept() const { return kept_; }

 private:
  uint32_t threshold_;
  real kept_;
};

// What Mask::map launches; named, since nvcc calls a lambda for both sides through a pointer on the
// host.
template <class F>
struct MaskEach {
  F f;
  Dropout dropout;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i, uint32_t word) const {
    f(i, dropout.factor(word));
  }
};
template <class F>
struct KeepEach {
  F f;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i) const { f(i, real{1}); }
  DRAGOMAN_HOST_DEVICE auto load(int64_t i) const requires requires { f.load(i); }
  { return f.load(i); }
  DRAGOMAN_HOST_DEVICE void store(int64_t i, const auto& loaded) const {
    f.store(i, loaded, real{1});
  }
};

/// The dropout of one pass over a tensor: the factor of each element, which is 1 where nothing is
/// dropped.
class Mask {
 public:
  /// Draws the pass's key while the tape is training. Throws Error unless 0 <= probability < 1.
  Mask(Tape& tape, std::string_view operation, real probability) : dropout_(probability) {
    check(probability >= 0 && probability < 1, "{}: the dropout {} is not in [0, 1)", operation,
          probability);
    drops_ = tape.training() && probability > 0;
    if (drops_) key_ = tape.next_random_key();
  }

  /// False where every factor is 1.
  DRAGOMAN_HOST_DEVICE bool drops() const { return drops_; }

  /// f(i, factor) for i in [0, n), in any order.
  template <class F>
  void map(Device device, int64_t n, F f) const {
    if (drops_) {
      launch::map_random(device, n, key_, MaskEach<F>{f, dropout_});
    } else {
      launch::map(device, n, KeepEach<F>{f});
    }
  }

  /// f(c, factor) for each column of a row, which has blocks of random words of its own.
  template <class F>
  DRAGOMAN_HOST_DEVICE void row(Lane lane, int64_t row, int64_t columns, F f) const {
    if (!drops_) {
      lane.each(columns, [=](int64_t c) { f(c, real{1}); });
      return;
    }
    const auto first = static_cast<uint64_t>(row * ((columns + kRandomBlock - 1) / kRandomBlock));
    lane.each_random(key_, first, columns, [=, dropout = dropout_](int64_t c, uint32_t word) {
      f(c, dropout.factor(word));
    });
  }

  /// Which of the columns c, c + 16, c + 32 and c + 48 of a row are kept, a bit each, for c among
  /// the first 16 of a block of random words.
  DRAGOMAN_HOST_DEVICE unsigned kept_of(int64_t row, int64_t columns, int64_t c) const {
    const int64_t block = row * ((columns + kRandomBlock - 1) / kRandomBlock) + c / kRandomBlock;
    uint32_t words[4];
    random_words(key_, static_cast<uint64_t>(block * (kRandomBlock / 4) + c % kRandomBlock), words);
    unsigned kept = 0;
    for (unsigned i = 0; i < 4; ++i) kept |= (dropout_.factor(words[i]) != 0 ? 1u : 0u) << i;
    return kept;
  }
  /// The factor of what is kept.
  DRAGOMAN_HOST_DEVICE real kept_factor() const { return drops_ ? dropout_.kept() : real{1}; }

 private:
  Dropout dropout_;
  bool drops_ = false;
  RandomKey key_;
};

}  // namespace dragoman
