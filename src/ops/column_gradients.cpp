#include "ops/column_gradients.h"

#include <algorithm>
#include <utility>

namespace dragoman {

ColumnGradients::ColumnGradients(const std::array<Columns, 3>& blocks,
                                 const std::array<bool, 3>& complete) {
  for (const Columns& block : blocks) {
    const std::shared_ptr<Sink>& sink = block.matrix.sink();
    if (sink && (sink->preferred != DType::kBf16 ||
                 (sink->gradient.defined() && sink->gradient.dtype() != DType::kBf16))) {
      type_ = DType::kReal;
    }
  }
  for (size_t block = 0; block < blocks.size(); ++block) {
    if (!blocks[block].matrix.needs_gradient()) continue;
    std::vector<size_t> same;
    for (size_t other = 0; other < blocks.size(); ++other) {
      if (blocks[other].matrix.sink() == blocks[block].matrix.sink()) same.push_back(other);
    }
    if (same.front() == block) open(blocks, complete, same);
  }
}

// Opens the gradient of one matrix, to which all blocks of `same` belong. If every element of it is
// written once it needs no zeros first: that is so if its blocks are complete, lie apart, and are
// together as wide as the matrix.
void ColumnGradients::open(const std::array<Columns, 3>& blocks,
                           const std::array<bool, 3>& complete, std::vector<size_t> same) {
  std::sort(same.begin(), same.end(),
            [&](size_t x, size_t y) { return blocks[x].begin < blocks[y].begin; });
  const Variable& matrix = blocks[same.front()].matrix;
  int64_t covered = 0;
  bool assigns = true;
  for (const size_t block : same) {
    assigns = assigns && complete[block] && blocks[block].begin == covered;
    covered += blocks[block].count;
  }
  const Part whole = open_whole(matrix, assigns && covered == matrix.columns());
  for (const size_t block : same) {
    parts_[block] = whole;
    parts_[block].data =
        static_cast<char*>(whole.data) + blocks[block].begin * static_cast<int64_t>(size_of(type_));
  }
}

ColumnGradients::Part ColumnGradients::open_whole(const Variable& matrix, bool assigns) const {
  if (type_ == DType::kReal) {
    const GradientWriter whole = assigns ? matrix.gradient() : matrix.zeroed_gradient();
    return {whole.data(), matrix.columns(), whole.accumulate()};
  }
  // Operations that each read columns of their own add to zeros: only where two read the same is
  // the sum rounded twice.
  Sink& sink = *matrix.sink();
  const bool first = !std::exchange(sink.written, true);
  if (first) {
    sink.gradient = matrix.new_gradient(DType::kBf16, sink.shape, sink.device);
    if (!assigns) sink.gradient.clear();
  } else if (std::exchange(sink.shared, false) && !sink.gradient.unique()) {
    sink.gradient = sink.gradient.clone();
  }
  return {sink.gradient.address(), matrix.columns(), !(first && assigns)};
}

}  // namespace dragoman
