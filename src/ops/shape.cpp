// Operations that move rows and columns about and compute nothing.
#include <numeric>

#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// Adds the columns of `from` from from_begin on, `count` of them, to a gradient.
void add_columns(const Tensor& from, int64_t from_begin, const GradientWriter& to, int64_t to_begin,
                 int64_t to_columns, int64_t count) {
  const int64_t from_columns = from.columns();
  {
    const auto in = from.data() + from_begin;
    launch::rows(from.device(), from.rows(), count,
                 [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
                   lane.each(count, [=](int64_t c) {
                     to(row * to_columns + to_begin + c, in[row * from_columns + c]);
                   });
                 });
  }
}

template <class From, class T>
struct GatherRow {
  const From* from;
  const int32_t* index;
  T* to;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const int64_t at = index[row];
    const From* in = from + (at >= 0 ? at : 0) * columns;
    T* out = to + row * columns;
    lane.each(columns, [=](int64_t c) { out[c] = at >= 0 ? real{in[c]} : real{0}; });
  }
};

template <class T>
struct Write {
  T* to;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i, real value) const { to[i] = value; }
};
struct WriteBoth {
  real* to;
  Bf16* bf16_copy;
  DRAGOMAN_HOST_DEVICE void operator()(int64_t i, real value) const {
    to[i] = value;
    bf16_copy[i] = value;
  }
};

// Row i of the result, its columns from `begin` on: row index[i] of `from`, or zeros.
template <class W>
struct PermuteRow {
  const real* from;
  int64_t from_columns;
  const int32_t* index;
  W write;
  int64_t columns, begin, width;
  DRAGOMAN_HOST_DEVICE void operator()(Lane lane, int64_t row) const {
    const int64_t at = index[row];
    const real* in = from + (at >= 0 ? at : 0) * from_columns;
    lane.each(width, [=, to = write, first = row * columns + begin](int64_t c) {
      to(first + c, at >= 0 ? in[c] : real{0});
    });
  }
};

}  // namespace

Variable concat_columns(Tape& tape, const std::vector<Variable>& parts) {
  check(!parts.empty(), "concat_columns: nothing to put together");
  int64_t columns = 0;
  for (const Variable& part : parts) {
    check(part.rows() == parts[0].rows(), "concat_columns: the shapes {} and {} differ in rows",
          parts[0].shape(), part.shape());
    columns += part.columns();
  }
  Tensor y = Tensor::empty({parts[0].rows(), columns}, DType::kReal, parts[0].value().device());
  int64_t begin = 0;
  for (const Variable& part : parts) {
    copy_columns(part.value(), 0, y, begin, part.columns());
    begin += part.columns();
  }
  return tape.record("concat_columns", {y}, parts, [parts](std::span<Tensor> dy) {
    int64_t first = 0;
    for (const Variable& part : parts) {
      if (const GradientWriter d = part.gradient()) {
        add_columns(dy[0], first, d, 0, part.columns(), part.columns());
      }
      first += part.columns();
    }
  })[0];
}

Variable slice_columns(Tape& tape, const Variable& x, int64_t begin, int64_t count) {
  check(begin >= 0 && count > 0 && begin + count <= x.columns(),
        "slice_columns: {} columns from {} are not in {}", count, begin, x.shape());
  Tensor y = Tensor::empty({x.rows(), count}, x.value().dtype(), x.value().device());
  copy_columns(x.value(), begin, y, 0, count);
  return tape.record("slice_columns", y, {x}, [=](Tensor& dy) {
    add_columns(dy, 0, x.zeroed_gradient(), begin, x.columns(), count);
  });
}

Variable concat_rows(Tape& tape, const std::vector<Variable>& parts, DType type) {
  check(!parts.empty(), "concat_rows: nothing to put together");
  int64_t rows = 0;
  for (const Variable& part : parts) {
    check_columns("concat_rows", "a part", part, parts[0].columns());
    rows += part.rows();
  }
  Tensor y = Tensor::empty({rows, parts[0].columns()}, type, parts[0].value().device());
  int64_t begin = 0;
  for (const Variable& part : parts) {
    const bool bf16_copy = type == DType::kBf16 && part.bf16_copy().defined();
    convert(bf16_copy ? part.bf16_copy() : part.value(), y.slice_rows(begin, begin + part.rows()));
    begin += part.rows();
  }
  return tape.record("concat_rows", {y}, parts, [parts](std::span<Tensor> dy) {
    const bool own = dy[0].unique();
    int64_t first = 0;
    for (const Variable& part : parts) {
      const Tensor mine = dy[0].slice_rows(first, first + part.rows());
      own ? part.add_own_part(mine) : part.add_gradient(mine);
      first += part.rows();
    }
  })[0];
}

Variable slice_rows(Tape& tape, const Variable& x, int64_t begin, int64_t end) {
  check(begin >= 0 && begin <= end && end <= x.rows(),
        "slice_rows: the rows {} to {} are not in {}", begin, end, x.shape());
  const Variable y =
      tape.record("slice_rows", x.value().slice_rows(begin, end), {x}, [=](Tensor& dy) {
        const GradientWriter dx = x.zeroed_gradient();
        const auto d = dy.data();
        const auto offset = begin * x.columns();
        launch::map(dy.device(), dy.size(),
                    [=] DRAGOMAN_HOST_DEVICE(int64_t i) { dx(offset + i, d[i]); });
      });
  return x.bf16_copy().defined() ? y.with_bf16_copy(x.bf16_copy().slice_rows(begin, end)) : y;
}

std::vector<Variable> split_rows(Tape& tape, const Variable& x, const std::vector<int64_t>& sizes) {
  check(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) == x.rows(),
        "split_rows: the sizes do not sum to the {} rows of {}", x.rows(), x.shape());
  std::vector<Tensor> parts;
  int64_t begin = 0;
  for (const int64_t size : sizes) {
    parts.push_back(x.value().slice_rows(begin, begin + size));
    begin += size;
  }
  // The gradient of x, made when the first of its parts is, which lies there from the start.
  const auto whole = std::make_shared<Tensor>();
  const auto place = [whole, sink = x.sink()](int64_t first, int64_t size) {
    if (!whole->defined()) *whole = Tensor::empty(sink->shape, sink->preferred, sink->device);
    return whole->slice_rows(first, first + size);
  };
  std::vector<Variable> made =
      tape.record("split_rows", std::move(parts), {x}, [=](std::span<Tensor> dy) {
        int64_t first = 0;
        for (size_t part = 0; part < sizes.size(); ++part) {
          const Tensor mine = place(first, sizes[part]);
          dy[part].defined() ? convert(dy[part], mine) : mine.clear();
          first += sizes[part];
        }
        x.add_gradient(*whole);
      });
  begin = 0;
  for (size_t part = 0; part < sizes.size(); ++part) {
    if (const std::shared_ptr<Sink>& sink = made[part].sink()) {
      sink->preferred = x.sink()->preferred;
      sink->place = [=] { return place(begin, sizes[part]); };
    }
    begin += sizes[part];
  }
  return made;
}

Variable gather_rows(Tape& tape, const Variable& x, const Tensor& index, DType type) {
  check_ids("gather_rows", "the index", index, index.size());
  const int64_t n = index.size(), d = x.columns();
  Tensor y = Tensor::empty({n, d}, type, x.value().device());
  visit(x.value(), [&]<class From>(const From* from) {
    visit(y, [&]<class T>(T* to) {
      launch::rows(y.device(), n, d, GatherRow<From, T>{from, index.data<int32_t>(), to, d});
    });
  });
  return tape.record("gather_rows", y, {x}, [=](Tensor& dy) {
    const auto g = dy.data();
    launch::scatter_add_rows(
        dy.device(), n, d, index.data<int32_t>(), x.rows(), x.zeroed_gradient().data(),
        [=] DRAGOMAN_HOST_DEVICE(int64_t row, int64_t c) { return g[row * d + c]; });
  });
}

Variable permute_rows(Tape& tape, const std::vector<Variable>& parts,
                      const std::vector<Permutation>& orders, DType type) {
  check(!parts.empty() && parts.size() == orders.size(),
        "permute_rows: {} matrices and {} permutations", parts.size(), orders.size());
  const int64_t from = parts[0].rows(), n = orders[0].rows.size();
  const Device device = parts[0].value().device();
  int64_t columns = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    check(parts[i].rows() == from, "permute_rows: the shapes {} and {} differ in rows",
          parts[0].shape(), parts[i].shape());
    check_ids("permute_rows", "the rows of a permutation", orders[i].rows, n);
    check_ids("permute_rows", "the places of a permutation", orders[i].places, from);
    columns += parts[i].columns();
  }
  const Tensor y = Tensor::empty({n, columns}, type, device);
  // A float result has its copy for products made in the same pass.
  const Tensor bf16_copy = type == DType::kReal && tape.products() == DType::kBf16
                               ? Tensor::empty({n, columns}, DType::kBf16, device)
                               : Tensor();
  int64_t begin = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t width = parts[i].columns();
    const auto permute = [&](auto write) {
      launch::rows(device, n, width,
                   PermuteRow{parts[i].data(), width, orders[i].rows.data<int32_t>(), write,
                              columns, begin, width});
    };
    if (bf16_copy.defined()) {
      permute(WriteBoth{y.data(), bf16_copy.data<Bf16>()});
    } else {
      visit(y, [&]<class T>(T* out) { permute(Write<T>{out}); });
    }
    begin += width;
  }
  const Variable result = tape.record("permute_rows", {y}, parts, [=](std::span<Tensor> dy) {
    int64_t first = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const int64_t width = parts[i].columns();
      write_gradient(parts[i], [&](auto to) {
        launch::rows(device, from, width,
                     PermuteRow{dy[0].data() + first, columns, orders[i].places.data<int32_t>(), to,
                                width, 0, width});
      });
      first += width;
    }
  })[0];
  return bf16_copy.defined() ? result.with_bf16_copy(bf16_copy) : result;
}

Variable scatter_rows(Tape& tape, const Variable& x, const Tensor& index, int64_t rows) {
  check_ids("scatter_rows", "the index", index, x.rows());
  const int64_t n = x.rows(), d = x.columns();
  Tensor y = Tensor::zeros({rows, d}, DType::kReal, x.value().device());
  {
    const auto in = x.data();
    launch::scatter_add_rows(
        y.device(), n, d, index.data<int32_t>(), rows, y.data(),
        [=] DRAGOMAN_HOST_DEVICE(int64_t row, int64_t c) { return in[row * d + c]; });
  }
  return tape.record("scatter_rows", y, {x}, [=](Tensor& dy) {
    const GradientWriter dx = x.gradient();
    const auto g = dy.data();
    const auto ids = index.data<int32_t>();
    launch::rows(dy.device(), n, d, [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t row) {
      const int64_t to = ids[row];
      lane.each(d, [=](int64_t c) { dx(row * d + c, to >= 0 ? g[to * d + c] : real{0}); });
    });
  });
}

Variable mean_rows(Tape& tape, const Variable& x, const Tensor& offsets) {
  check_ids("mean_rows", "the offsets", offsets, offsets.size());
  const int64_t groups = offsets.size() - 1, d = x.columns();
  Tensor y = Tensor::empty({groups, d}, DType::kReal, x.value().device());
  {
    const auto in = x.data();
    const auto bounds = offsets.data<int32_t>();
    const auto out = y.data();
    launch::rows(y.device(), groups, x.value().size() / std::max<int64_t>(groups, 1),
                 [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t group) {
                   const int64_t begin = bounds[group], end = bounds[group + 1];
                   const real share = real{1} / static_cast<real>(end - begin);
                   lane.each(d, [=](int64_t c) { out[group * d + c] = 0; });
                   for (int64_t row = begin; row < end; ++row) {
                     lane.each(d,
                               [=](int64_t c) { out[group * d + c] += share * in[row * d + c]; });
                   }
                 });
  }
  return tape.record("mean_rows", y, {x}, [=](Tensor& dy) {
    const GradientWriter dx = x.gradient();
    const auto g = dy.data();
    const auto bounds = offsets.data<int32_t>();
    launch::rows(dy.device(), groups, x.value().size() / std::max<int64_t>(groups, 1),
                 [=] DRAGOMAN_HOST_DEVICE(Lane lane, int64_t group) {
                   const int64_t begin = bounds[group], end = bounds[group + 1];
                   const real share = real{1} / static_cast<real>(end - begin);
                   for (int64_t row = begin; row < end; ++row) {
                     lane.each(d, [=](int64_t c) { dx(row * d + c, share * g[group * d + c]); });
                   }
                 });
  });
}

}  // namespace dragoman
