// Gradients of columns of matrices, where an operation reads several blocks of columns that may
// belong to one matrix, and other operations read the rest of it.
#pragma once

#include <array>
#include <vector>

#include "ops/ops.h"
#include "tensor/lane.h"

namespace dragoman {

/// Where the gradient of a block of columns goes.
template <class G>
struct ColumnGradient {
  G* data = nullptr;  ///< Null if none is wanted.
  int64_t stride = 0;
  bool accumulate = false;

  /// Gives the gradients of `rows` rows of `columns` numbers, from that row and column on; those
  /// in `from` lie end to end.
  DRAGOMAN_HOST_DEVICE void write(Lane lane, int64_t row, int64_t column, int64_t rows,
                                  int64_t columns, const real* from) const {
    lane.copy(rows, columns, from, columns, data + row * stride + column, stride, accumulate);
  }
  /// The same for gradients of zero.
  DRAGOMAN_HOST_DEVICE void clear(Lane lane, int64_t row, int64_t column, int64_t rows,
                                  int64_t columns) const {
    if (accumulate) return;
    G* to = data + row * stride + column;
    for (int64_t i = 0; i < rows; ++i, to += stride) {
      lane.each(columns, [=](int64_t c) { to[c] = real{0}; });
    }
  }
};

/// The gradients of three blocks, opened. They are all of one type: kBf16 where every matrix
/// prefers it and has no gradient of another type yet.
class ColumnGradients {
 public:
  /// `complete` says of which blocks every row will be written.
  ColumnGradients(const std::array<Columns, 3>& blocks, const std::array<bool, 3>& complete);

  DType type() const { return type_; }
  template <class G>
  ColumnGradient<G> of(size_t block) const {
    const Part& part = parts_[block];
    return {static_cast<G*>(part.data), part.stride, part.accumulate};
  }

 private:
  struct Part {
    void* data = nullptr;
    int64_t stride = 0;
    bool accumulate = false;
  };
  void open(const std::array<Columns, 3>& blocks, const std::array<bool, 3>& complete,
            std::vector<size_t> same);
  Part open_whole(const Variable& matrix, bool assigns) const;

  DType type_ = DType::kBf16;
  std::array<Part, 3> parts_;
};

}  // namespace dragoman
