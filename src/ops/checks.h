// What the operations share: checks of shapes, and dropout's decision.
#pragma once

#include <string_view>

#include "autograd/tape.h"

namespace dragoman {

inline void check_same_shape(std::string_view operation, const Variable& a, const Variable& b) {
  check(a.shape() == b.shape(), "{}: the shapes {} and {} differ", operation, to_string(a.shape()),
        to_string(b.shape()));
}

/// For a vector or a matrix that must have as many columns as another.
inline void check_columns(std::string_view operation, std::string_view what, const Variable& x,
                          int64_t columns) {
  check(x.columns() == columns, "{}: {} {} must have {} columns", operation, what,
        to_string(x.shape()), columns);
}

/// For ids, lengths and offsets.
inline void check_ids(std::string_view operation, std::string_view what, const Tensor& ids,
                      int64_t size) {
  check(ids.dtype() == DType::kInt32 && ids.size() == size, "{}: {} must be {} int32, not {}",
        operation, what, size, to_string(ids.shape()));
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

 private:
  uint32_t threshold_;
  real kept_;
};

}  // namespace dragoman
