#include "op_cases.h"

#include <numeric>
#include <type_traits>
#include <utility>

#include "core/rng.h"
#include "op_references.h"
#include "ops/ops.h"

namespace dragoman {
namespace {

using Ids = std::vector<int32_t>;

// Collects rows whose functions give one result or several.
class Table {
 public:
  template <class Run, class Reference>
  OpCase& row(std::string name, std::string variant, std::vector<Shape> inputs, Run run,
              Reference reference) {
    rows_.push_back({std::move(name), std::move(variant), std::move(inputs),
                     [run](Tape& t, const Variables& x) { return listed<Variable>(run(t, x)); },
                     [reference](const Matrices& x) { return listed<Matrix>(reference(x)); }});
    return rows_.back();
  }
  std::vector<OpCase> rows() { return std::move(rows_); }

 private:
  template <class One, class Result>
  static std::vector<One> listed(Result result) {
    if constexpr (std::is_same_v<Result, One>) {
      return {std::move(result)};
    } else {
      return result;
    }
  }

  std::vector<OpCase> rows_;
};

// `count` ids in [low, high).
Ids random_ids(int64_t count, int32_t low, int64_t high, uint64_t seed) {
  Random random(seed);
  Ids ids(static_cast<size_t>(count));
  for (int32_t& id : ids) {
    id = low + static_cast<int32_t>(random.below(static_cast<uint64_t>(high - low)));
  }
  return ids;
}

Device device_of(const Variables& x) { return x[0].value().device(); }

// Ids where the inputs are.
Tensor beside(const Variables& x, const Ids& ids) {
  return Tensor::from(ids, {std::ssize(ids)}, device_of(x));
}

void add_arithmetic(Table& table, const Sizes&, int64_t n, int64_t d) {
  using Binary = Variable (*)(Tape&, const Variable&, const Variable&);
  const auto binary = [&](std::string name, Binary op, auto f) {
    table.row(
        name, "", {{n, d}, {n, d}}, [op](Tape& t, const Variables& x) { return op(t, x[0], x[1]); },
        [f](const Matrices& x) { return each(x[0], x[1], f); });
  };
  binary("add", add, [](Number a, Number b) { return a + b; });
  binary("subtract", subtract, [](Number a, Number b) { return a - b; });
  binary("multiply", multiply, [](Number a, Number b) { return a * b; });
  table.row(
      "scale", "", {{n, d}}, [](Tape& t, const Variables& x) { return scale(t, x[0], -0.75); },
      [](const Matrices& x) { return each(x[0], [](Number a) { return -0.75 * a; }); });
  table.row(
      "add_bias", "", {{n, d}, {d}},
      [](Tape& t, const Variables& x) { return add_bias(t, x[0], x[1]); },
      [=](const Matrices& x) {
        return build(n, d, [&](int64_t i, int64_t j) { return x[0](i, j) + x[1](0, j); });
      });
  table.row(
      "sum", "", {{n, d}}, [](Tape& t, const Variables& x) { return sum(t, x[0]); },
      [=](const Matrices& x) {
        const Number all = total(n * d, [&](int64_t i) { return x[0](i / d, i % d); });
        return build(1, 1, [&](int64_t, int64_t) { return all; });
      });
}

void add_activations(Table& table, const Sizes&, int64_t n, int64_t d) {
  using Unary = Variable (*)(Tape&, const Variable&, const Epilogue&);
  const auto unary = [&](std::string name, Unary op, auto f) {
    table.row(
        name, "", {{n, d}}, [op](Tape& t, const Variables& x) { return op(t, x[0], {}); },
        [f](const Matrices& x) { return each(x[0], f); });
    table.row(
        name, "dropout", {{n, d}},
        [op](Tape& t, const Variables& x) {
          t.set_training(7, 42);
          return op(t, x[0], {.dropout = 0.25});
        },
        [=](const Matrices& x) {
          return build(n, d, [&](int64_t i, int64_t j) {
            const int64_t at = i * d + j;
            return f(x[0](i, j)) *
                   dropout_factor({7, 42, 0}, 0.25, static_cast<uint64_t>(at / 64), at % 64);
          });
        });
  };
  unary("relu", relu, [](Number x) { return x < 0 ? Number(0) : x; });
  unary("gelu", gelu, [](Number x) { return gelu(x); });
  unary("silu", silu, [](Number x) { return silu(x); });
  unary("tanh", tanh, [](Number x) { return tanh(x); });
  unary("sigmoid", sigmoid, [](Number x) { return sigmoid(x); });

  const auto gated = [&](std::string name, Unary op, auto gate) {
    const auto value = [=](const Matrix& x, int64_t i, int64_t j) {
      return x(i, j) * gate(x(i, d + j));
    };
    table.row(
        name, "", {{n, 2 * d}}, [op](Tape& t, const Variables& x) { return op(t, x[0], {}); },
        [=](const Matrices& x) {
          return build(n, d, [&](int64_t i, int64_t j) { return value(x[0], i, j); });
        });
    table.row(
        name, "dropout", {{n, 2 * d}},
        [op](Tape& t, const Variables& x) {
          t.set_training(7, 42);
          return op(t, x[0], {.dropout = 0.25});
        },
        [=](const Matrices& x) {
          return build(n, d, [&](int64_t i, int64_t j) {
            return value(x[0], i, j) * row_dropout_factor({7, 42, 0}, 0.25, i, j, d);
          });
        });
  };
  gated("glu", glu, [](Number x) { return sigmoid(x); });
  gated("swiglu", swiglu, [](Number x) { return silu(x); });
  gated("geglu", geglu, [](Number x) { return gelu(x); });
  table.row(
      "maxout", "", {{n, 2 * d}}, [](Tape& t, const Variables& x) { return maxout(t, x[0]); },
      [=](const Matrices& x) {
        return build(n, d, [&](int64_t i, int64_t j) {
          const Number a = x[0](i, 2 * j), b = x[0](i, 2 * j + 1);
          return a < b ? b : a;
        });
      });
}

void add_dropout(Table& table, const Sizes&, int64_t n, int64_t d) {
  table.row(
      "dropout", "", {{n, d}},
      [](Tape& t, const Variables& x) {
        t.set_training(0x123456789abc, 42);
        return Variables{dropout(t, x[0], 0.25), dropout(t, x[0], 0.5)};
      },
      [=](const Matrices& x) {
        const auto masked = [&](double probability, uint32_t site) {
          return build(n, d, [&](int64_t i, int64_t j) {
            const int64_t at = i * d + j;
            return x[0](i, j) * dropout_factor({0x123456789abc, 42, site}, probability,
                                               static_cast<uint64_t>(at / 64), at % 64);
          });
        };
        return Matrices{masked(0.25, 0), masked(0.5, 1)};
      });
  // The identity may return its argument, whose gradient cannot be told from the result's.
  table.row(
      "dropout", "not_training", {{n, d}},
      [](Tape& t, const Variables& x) { return scale(t, dropout(t, x[0], 0.25), 2); },
      [](const Matrices& x) { return each(x[0], [](Number a) { return 2 * a; }); });
}

void add_columns(Table& table, const Sizes&, int64_t n, int64_t d) {
  table.row(
      "concat_columns", "", {{n, d}, {n, 1}, {n, 2 * d}},
      [](Tape& t, const Variables& x) { return concat_columns(t, x); },
      [=](const Matrices& x) {
        return build(n, 3 * d + 1, [&](int64_t i, int64_t j) {
          return j < d ? x[0](i, j) : j == d ? x[1](i, 0) : x[2](i, j - d - 1);
        });
      });
  table.row(
      "slice_columns", "", {{n, d}},
      [=](Tape& t, const Variables& x) { return slice_columns(t, x[0], 1, d / 2); },
      [=](const Matrices& x) { return columns_of(x[0], 1, d / 2); });
}

void add_rows(Table& table, const Sizes& s, int64_t n, int64_t d) {
  table.row(
      "concat_rows", "", {{n, d}, {1, d}, {2 * n, d}},
      [](Tape& t, const Variables& x) { return concat_rows(t, x); },
      [=](const Matrices& x) {
        return build(3 * n + 1, d, [&](int64_t i, int64_t j) {
          return i < n ? x[0](i, j) : i == n ? x[1](0, j) : x[2](i - n - 1, j);
        });
      });
  const auto rows_of = [](const Matrix& x, int64_t begin, int64_t end) {
    return build(end - begin, x.columns, [&](int64_t i, int64_t j) { return x(begin + i, j); });
  };
  table.row(
      "slice_rows", "", {{n + 1, d}},
      [=](Tape& t, const Variables& x) { return slice_rows(t, x[0], n / 2, n); },
      [=](const Matrices& x) { return rows_of(x[0], n / 2, n); });
  table.row(
      "split_rows", "", {{n + 2, d}},
      [=](Tape& t, const Variables& x) {
        return split_rows(t, x[0], {n / 2, 0, n - n / 2, 2});
      },
      [=](const Matrices& x) {
        return Matrices{rows_of(x[0], 0, n / 2), rows_of(x[0], 0, 0), rows_of(x[0], n / 2, n),
                        rows_of(x[0], n, n + 2)};
      });
  const Ids offsets = offsets_of(s.target);
  table.row(
      "mean_rows", "", {{n, d}},
      [=](Tape& t, const Variables& x) { return mean_rows(t, x[0], beside(x, offsets)); },
      [=](const Matrices& x) {
        return build(std::ssize(offsets) - 1, d, [&](int64_t i, int64_t j) {
          const int64_t begin = offsets[i], count = offsets[i + 1] - begin;
          return total(count, [&](int64_t row) { return x[0](begin + row, j); }) / double(count);
        });
      });
}

// Rows by index: repeated ones and, but for the embedding, ones left out by a negative index.
void add_indexed(Table& table, const Sizes& s, int64_t n, int64_t d) {
  const Ids gathered = random_ids(2 * n, -1, n, 1);
  table.row(
      "gather_rows", "", {{n, d}},
      [=](Tape& t, const Variables& x) { return gather_rows(t, x[0], beside(x, gathered)); },
      [=](const Matrices& x) {
        return build(2 * n, d, [&](int64_t i, int64_t j) {
          return gathered[i] < 0 ? Number(0) : x[0](gathered[i], j);
        });
      });
  // Two matrices side by side, the second from its end, and one that is read twice.
  for (const bool twice : {false, true}) {
    Ids rotated(static_cast<size_t>(n)), back(rotated), reversed(rotated);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = (i + n / 3) % n;
      rotated[static_cast<size_t>(i)] = static_cast<int32_t>(row);
      back[static_cast<size_t>(row)] = static_cast<int32_t>(i);
      reversed[static_cast<size_t>(i)] = static_cast<int32_t>(n - 1 - i);
    }
    std::vector<Shape> shapes = {{n, d}};
    if (!twice) shapes.push_back({n, d + 1});
    table.row(
        "permute_rows", twice ? "twice" : "", shapes,
        [=](Tape& t, const Variables& x) {
          return permute_rows(
              t, {x[0], x[twice ? 0 : 1]},
              {{beside(x, rotated), beside(x, back)}, {beside(x, reversed), beside(x, reversed)}});
        },
        [=](const Matrices& x) {
          const Matrix& other = x[twice ? 0 : 1];
          return build(n, d + other.columns, [&](int64_t i, int64_t j) {
            return j < d ? x[0](rotated[i], j) : other(reversed[i], j - d);
          });
        });
  }
  // Places without a row at both ends, and a last row without a place.
  Ids spread(static_cast<size_t>(n) + 2, -1), places(static_cast<size_t>(n), -1);
  for (int64_t row = 0; row < n - 1; ++row) {
    spread[static_cast<size_t>(row) + 1] = static_cast<int32_t>(row);
    places[static_cast<size_t>(row)] = static_cast<int32_t>(row + 1);
  }
  table.row(
      "permute_rows", "gaps", {{n, d}},
      [=](Tape& t, const Variables& x) {
        return permute_rows(t, {x[0]}, {{beside(x, spread), beside(x, places)}});
      },
      [=](const Matrices& x) {
        return build(n + 2, d, [&](int64_t i, int64_t j) {
          const int64_t row = spread[static_cast<size_t>(i)];
          return row < 0 ? 0 : x[0](row, j);
        });
      });
  const Ids scattered = random_ids(n, -1, n / 2 + 1, 2);
  table.row(
      "scatter_rows", "", {{n, d}},
      [=](Tape& t, const Variables& x) {
        return scatter_rows(t, x[0], beside(x, scattered), n + 1);
      },
      [=](const Matrices& x) {
        Matrix y = build(n + 1, d, [](int64_t, int64_t) { return Number(0); });
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t j = 0; j < d && scattered[i] >= 0; ++j) {
            y.values[scattered[i] * d + j] += x[0](i, j);
          }
        }
        return y;
      });
  const Ids ids = random_ids(n, 0, s.classes, 3);
  table.row(
      "embedding", "", {{s.classes, d}},
      [=](Tape& t, const Variables& x) { return embedding(t, x[0], beside(x, ids), 2.5); },
      [=](const Matrices& x) {
        return build(n, d, [&](int64_t i, int64_t j) { return 2.5 * x[0](ids[i], j); });
      });
  for (const double dropout : {0.0, 0.25}) {
    table.row(
        "add_rows", dropout > 0 ? "dropout" : "", {{n, d}, {s.classes, d}},
        [=](Tape& t, const Variables& x) {
          t.set_training(7, 42);
          return add_rows(t, x[0], x[1], beside(x, ids), static_cast<real>(dropout));
        },
        [=](const Matrices& x) {
          return build(n, d, [&](int64_t i, int64_t j) {
            const double kept = dropout > 0 ? row_dropout_factor({7, 42, 0}, dropout, i, j, d) : 1;
            return kept * (x[0](i, j) + x[1](ids[i], j));
          });
        });
  }
}

void add_products(Table& table, const Sizes& s, int64_t n, int64_t d) {
  const int64_t k = d + 1;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      table.row(
          "matmul", std::string(ta ? "transposed" : "plain") + (tb ? "_transposed" : "_plain"),
          {ta ? Shape{k, n} : Shape{n, k}, tb ? Shape{d, k} : Shape{k, d}},
          [=](Tape& t, const Variables& x) { return matmul(t, x[0], x[1], ta, tb); },
          [=](const Matrices& x) {
            return product(ta ? transpose(x[0]) : x[0], tb ? transpose(x[1]) : x[1]);
          });
    }
  }
  table.row(
      "linear", "", {{n, d}, {2 * d, d}, {2 * d}},
      [](Tape& t, const Variables& x) { return linear(t, x[0], x[1], x[2]); },
      [=](const Matrices& x) {
        return each(product(x[0], transpose(x[1])),
                    build(n, 2 * d, [&](int64_t, int64_t j) { return x[2](0, j); }),
                    [](Number a, Number b) { return a + b; });
      });
  table.row(
      "linear", "without_bias", {{n, d}, {s.classes, d}},
      [](Tape& t, const Variables& x) { return linear(t, x[0], x[1]); },
      [](const Matrices& x) { return product(x[0], transpose(x[1])); });
  table.row(
      "feed_forward", "", {{n, d}, {2 * d, d}, {2 * d}, {d, 2 * d}, {d}},
      [](Tape& t, const Variables& x) { return feed_forward(t, x[0], x[1], x[2], x[3], x[4]); },
      [=](const Matrices& x) {
        const Matrix in = product(x[0], transpose(x[1])),
                     hidden = build(n, 2 * d, [&](int64_t i, int64_t j) {
                       const Number sum = in(i, j) + x[2](0, j);
                       return sum < 0 ? Number(0) : sum;
                     });
        return each(product(hidden, transpose(x[3])),
                    build(n, d, [&](int64_t, int64_t j) { return x[4](0, j); }),
                    [](Number a, Number b) { return a + b; });
      });
  table.row(
      "step_linear", "", {{n, d}, {2 * d, d}, {2 * d}},
      [](Tape& t, const Variables& x) {
        // The second of three calls has no part in the result.
        const Variable first = step_linear(t, slice_rows(t, x[0], 0, 1), x[1], x[2]);
        step_linear(t, x[0], x[1], x[2]);
        return concat_rows(
            t, {first, step_linear(t, slice_rows(t, x[0], 1, x[0].rows()), x[1], x[2])});
      },
      [=](const Matrices& x) {
        return each(product(x[0], transpose(x[1])),
                    build(n, 2 * d, [&](int64_t, int64_t j) { return x[2](0, j); }),
                    [](Number a, Number b) { return a + b; });
      });
}

void add_norms(Table& table, const Sizes&, int64_t n, int64_t d) {
  const auto layer_normed = [=](const Matrix& x, const Matrix& gain, const Matrix& bias) {
    const Matrix unit = normalise(x, true, 0.125);
    return build(n, d, [&](int64_t i, int64_t j) { return gain(0, j) * unit(i, j) + bias(0, j); });
  };
  const auto rms_normed = [=](const Matrix& x, const Matrix& gain) {
    const Matrix unit = normalise(x, false, 0.125);
    return build(n, d, [&](int64_t i, int64_t j) { return gain(0, j) * unit(i, j); });
  };
  table.row(
      "layer_norm", "", {{n, d}, {d}, {d}},
      [](Tape& t, const Variables& x) { return layer_norm(t, x[0], x[1], x[2], 0.125); },
      [=](const Matrices& x) { return layer_normed(x[0], x[1], x[2]); });
  table.row(
      "rms_norm", "", {{n, d}, {d}},
      [](Tape& t, const Variables& x) { return rms_norm(t, x[0], x[1], 0.125); },
      [=](const Matrices& x) { return rms_normed(x[0], x[1]); });
  for (const double dropout : {0.0, 0.25}) {
    const std::string variant = dropout > 0 ? "dropout" : "";
    const auto summed = [=](const Matrices& x) {
      return build(n, d, [&](int64_t i, int64_t j) {
        const double factor = dropout > 0 ? row_dropout_factor({7, 42, 0}, dropout, i, j, d) : 1.0;
        return x[0](i, j) + factor * x[1](i, j);
      });
    };
    table.row(
        "add_layer_norm", variant, {{n, d}, {n, d}, {d}, {d}},
        [=](Tape& t, const Variables& x) {
          t.set_training(7, 42);
          const auto [sum, normed] =
              add_layer_norm(t, x[0], x[1], static_cast<real>(dropout), x[2], x[3], 0.125);
          return Variables{sum, normed};
        },
        [=](const Matrices& x) {
          const Matrix sum = summed(x);
          return Matrices{sum, layer_normed(sum, x[2], x[3])};
        });
    table.row(
        "add_rms_norm", variant, {{n, d}, {n, d}, {d}},
        [=](Tape& t, const Variables& x) {
          t.set_training(7, 42);
          const auto [sum, normed] =
              add_rms_norm(t, x[0], x[1], static_cast<real>(dropout), x[2], 0.125);
          return Variables{sum, normed};
        },
        [=](const Matrices& x) {
          const Matrix sum = summed(x);
          return Matrices{sum, rms_normed(sum, x[2])};
        });
  }
}

void add_probabilities(Table& table, const Sizes& s, int64_t n, int64_t d) {
  const int64_t classes = s.classes;
  for (const bool masked : {false, true}) {
    const std::string variant = masked ? "lengths" : "";
    const Ids lengths = masked ? random_ids(n, 1, classes + 1, 4) : Ids{};
    const auto tensor = [=](const Variables& x) { return masked ? beside(x, lengths) : Tensor(); };
    const auto inside = [=](int64_t i, int64_t j) { return !masked || j < lengths[i]; };
    table.row(
        "softmax", variant, {{n, classes}},
        [=](Tape& t, const Variables& x) { return softmax(t, x[0], tensor(x)); },
        [=](const Matrices& x) {
          const Matrix log_p = log_softmax_rows(x[0], lengths);
          return build(n, classes, [&](int64_t i, int64_t j) {
            return inside(i, j) ? exp(log_p(i, j)) : Number(0);
          });
        });
    table.row(
        "log_softmax", variant, {{n, classes}},
        [=](Tape& t, const Variables& x) { return log_softmax(t, x[0], tensor(x)); },
        [=](const Matrices& x) { return log_softmax_rows(x[0], lengths); });
  }
  const Ids all_targets = random_ids(n, 0, classes, 5);
  Ids some_targets = all_targets;
  for (size_t i = 0; i < some_targets.size(); i += 3) some_targets[i] = -1;
  struct Use {
    const char* variant;
    double smoothing;
    Ids targets;
  };
  for (const auto& [variant, smoothing, targets] :
       {Use{"", 0, all_targets}, Use{"smoothed", 0.1, all_targets},
        Use{"masked", 0.1, some_targets}}) {
    table.row(
        "cross_entropy", variant, {{n, d}, {classes, d}, {classes}},
        [=](Tape& t, const Variables& x) {
          const CrossEntropy result =
              cross_entropy(t, x[0], x[1], x[2], beside(x, targets), static_cast<real>(smoothing));
          return Variables{result.loss, Variable(result.log_probabilities)};
        },
        [=](const Matrices& x) {
          const Matrix log_p = log_softmax_rows(build(n, classes, [&](int64_t i, int64_t j) {
            return x[2](0, j) + total(d, [&](int64_t k) { return x[0](i, k) * x[1](j, k); });
          }));
          const Matrix chosen = build(1, n, [&](int64_t, int64_t i) {
            return targets[i] < 0 ? Number(0) : log_p(i, targets[i]);
          });
          const Number loss = total(n * classes, [&](int64_t i) {
            if (targets[i / classes] < 0) return Number(0);
            const double hit = i % classes == targets[i / classes] ? 1 : 0;
            return -((1 - smoothing) * hit + smoothing / double(classes)) *
                   log_p(i / classes, i % classes);
          });
          return Matrices{build(1, 1, [&](int64_t, int64_t) { return loss; }), chosen};
        });
  }
}

void add_cells(Table& table, const Sizes&, int64_t n, int64_t d) {
  for (const bool context : {false, true}) {
    const std::string variant = context ? "from_context" : "";
    const auto shapes = [=](int64_t gates) {
      std::vector<Shape> inputs{{n, gates * d}, {n, gates * d}, {n, d}};
      if (context) inputs.push_back({n, gates * d});
      return inputs;
    };
    const auto from_input = [=](const Matrices& x, int64_t i, int64_t j) {
      return context ? x[0](i, j) + x[3](i, j) : x[0](i, j);
    };
    table.row(
        "gru_cell", variant, shapes(3),
        [=](Tape& t, const Variables& x) {
          return gru_cell(t, x[0], x[1], x[2], context ? x[3] : Variable());
        },
        [=](const Matrices& x) {
          return build(n, d, [&](int64_t i, int64_t j) {
            const Number r = sigmoid(from_input(x, i, j) + x[1](i, j));
            const Number z = sigmoid(from_input(x, i, d + j) + x[1](i, d + j));
            const Number c = tanh(from_input(x, i, 2 * d + j) + r * x[1](i, 2 * d + j));
            return (1 - z) * c + z * x[2](i, j);
          });
        });
    table.row(
        "lstm_cell", variant, shapes(4),
        [=](Tape& t, const Variables& x) {
          const LstmState next = lstm_cell(t, x[0], x[1], x[2], context ? x[3] : Variable());
          return Variables{next.hidden, next.cell};
        },
        [=](const Matrices& x) {
          const auto gate = [&](int64_t part, int64_t i, int64_t j) {
            return from_input(x, i, part * d + j) + x[1](i, part * d + j);
          };
          const Matrix cell = build(n, d, [&](int64_t i, int64_t j) {
            return sigmoid(gate(1, i, j)) * x[2](i, j) +
                   sigmoid(gate(0, i, j)) * tanh(gate(2, i, j));
          });
          const Matrix hidden = build(n, d, [&](int64_t i, int64_t j) {
            return sigmoid(gate(3, i, j)) * tanh(cell(i, j));
          });
          return Matrices{hidden, cell};
        });
  }
}

// The same number of tokens with the first sentence empty.
Ids first_emptied(Ids lengths) {
  if (lengths.size() > 1) lengths[1] += std::exchange(lengths[0], 0);
  return lengths;
}

// The same with the last two sentences joined.
Ids last_joined(Ids lengths) {
  if (lengths.size() == 1) return lengths;
  const int32_t last = lengths.back();
  lengths.pop_back();
  lengths.back() += last;
  return lengths;
}

void add_attention(Table& table, const Sizes& s, int64_t n, int64_t d) {
  const int64_t m = std::accumulate(s.source.begin(), s.source.end(), int64_t{0});
  const Segments self{offsets_of(s.target), offsets_of(s.target)};
  const Segments cross{offsets_of(s.target), offsets_of(s.source)};
  const auto share = static_cast<real>(0.5);  // of dropout
  const AttentionOptions plain{.heads = s.heads, .scale = 0.375};
  AttentionOptions causal = plain, dropped = plain;
  causal.sight.causal = dropped.sight.causal = true;
  dropped.dropout = share;
  const auto with_sight = [&](const Sight& sight) {
    AttentionOptions options = plain;
    options.sight = sight;
    return options;
  };

  // Queries, keys and values of matrices of their own, with weights.
  const auto separate = [&](const std::string& variant, const Segments& segments, int64_t keys,
                            int64_t width, const AttentionOptions& options) {
    const int64_t key_heads = options.key_heads > 0 ? options.key_heads : s.heads;
    return &table.row(
        "attention", variant,
        {{segments.query_offsets.back(), d}, {keys, d / s.heads * key_heads}, {keys, width}},
        [=](Tape& t, const Variables& x) {
          Tensor weights;
          AttentionOptions with_weights = options;
          with_weights.weights = &weights;
          const Variable y =
              attention(t, x[0], x[1], x[2], segments.layout(device_of(x)), with_weights);
          return Variables{y, Variable(weights)};
        },
        [=](const Matrices& x) { return attend(x[0], x[1], x[2], segments, options); });
  };
  separate("self", self, n, d, plain);
  separate("causal", self, n, d, causal);
  separate("cross", cross, m, 2 * d, plain);
  separate("cross_causal", cross, m, d, causal);
  separate("empty_queries", {offsets_of(first_emptied(s.target)), cross.key_offsets}, m, d, plain);
  separate("empty_keys", {cross.query_offsets, offsets_of(first_emptied(s.source))}, m, d, plain);
  separate("fewer_groups", {offsets_of(last_joined(s.target)), cross.key_offsets}, m, d, causal);

  // Sparse attention; of the queries of longer sentences than those of the keys some see nothing.
  const Sight sparse{.causal = true,
                     .window = 3,
                     .stride = 17,
                     .global = 2,
                     .random_blocks = 2,
                     .block = 5,
                     .seed = 4};
  separate("window", self, n, d, with_sight({.window = 3}));
  separate("window_causal", self, n, d, with_sight({.causal = true, .window = 2}));
  separate("window_global", self, n, d, with_sight({.window = 2, .global = 3}));
  separate("window_cross", cross, m, 2 * d, with_sight({.window = 1}));
  separate("stride", self, n, d, with_sight({.stride = 3}));
  separate("stride_causal", self, n, d, with_sight({.causal = true, .stride = 40}));
  separate("random_blocks", self, n, d, with_sight({.random_blocks = 2, .block = 4, .seed = 5}));
  separate("sparse", self, n, d, with_sight(sparse));

  // Heads that share keys and values.
  const int64_t fewer = s.heads % 2 == 0 ? s.heads / 2 : 1, head_dim = d / s.heads;
  const auto with_key_heads = [](AttentionOptions options, int64_t key_heads) {
    options.key_heads = key_heads;
    return options;
  };
  separate("key_heads", self, n, d, with_key_heads(causal, fewer));
  separate("one_key_head", cross, m, head_dim + 1, with_key_heads(plain, 1));
  separate("key_heads_sparse", self, n, 2 * fewer, with_key_heads(with_sight(sparse), fewer));

  // Steps of a search: several hypotheses share a sentence, and stand in any order in a cache.
  const int64_t sentences = std::ssize(s.source);
  const Segments shared{cross.query_offsets, cross.key_offsets,
                        random_ids(sentences, 0, sentences, 6)};
  separate("shared_segments", shared, m, d, plain)->differentiable = false;
  const Segments cached{cross.query_offsets, cross.key_offsets, {}, random_ids(m, 0, m, 7)};
  separate("cached_rows", cached, m, d, plain)->differentiable = false;
  const Segments both{cross.query_offsets, cross.key_offsets, shared.key_segments, cached.key_rows};
  separate("cached_shared", both, m, d, causal)->differentiable = false;
  const Segments last{offsets_of(Ids(s.source.size(), 1)), cross.key_offsets, shared.key_segments,
                      cached.key_rows, /*queries_last=*/true};
  separate("step_window", last, m, d, with_sight({.causal = true, .window = 2}))->differentiable =
      false;
  separate("step_sparse", last, m, d, with_sight(sparse))->differentiable = false;
  separate("step_key_heads", last, m, head_dim * fewer, with_key_heads(plain, fewer))
      ->differentiable = false;

  table.row(
      "attention", "fused", {{n, 3 * d}},
      [=](Tape& t, const Variables& x) {
        return attention(t, {x[0], 0, d}, {x[0], d, d}, {x[0], 2 * d, d}, self.layout(device_of(x)),
                         causal);
      },
      [=](const Matrices& x) {
        const Matrix q = columns_of(x[0], 0, d), k = columns_of(x[0], d, d);
        return attend(q, k, columns_of(x[0], 2 * d, d), self, causal)[0];
      });
  const int64_t one = head_dim;  // The columns of one head, which all share.
  table.row(
      "attention", "fused_one_key_head", {{n, d + 2 * one}},
      [=](Tape& t, const Variables& x) {
        return attention(t, {x[0], 0, d}, {x[0], d, one}, {x[0], d + one, one},
                         self.layout(device_of(x)), with_key_heads(causal, 1));
      },
      [=](const Matrices& x) {
        const Matrix k = columns_of(x[0], d, one), v = columns_of(x[0], d + one, one);
        return attend(columns_of(x[0], 0, d), k, v, self, with_key_heads(causal, 1))[0];
      });
  table.row(
      "attention", "fused_keys_values", {{n, d}, {m, 2 * d + 1}},
      [=](Tape& t, const Variables& x) {
        return attention(t, x[0], {x[1], 0, d}, {x[1], d, d}, cross.layout(device_of(x)), plain);
      },
      [=](const Matrices& x) {
        return attend(x[0], columns_of(x[1], 0, d), columns_of(x[1], d, d), cross, plain)[0];
      });
  table.row(
      "attention", "keys_are_values", {{n, d}, {m, 2 * d}},
      [=](Tape& t, const Variables& x) {
        const Columns half(x[1], d, d);
        return attention(t, x[0], half, half, cross.layout(device_of(x)), plain);
      },
      [=](const Matrices& x) {
        const Matrix half = columns_of(x[1], d, d);
        return attend(x[0], half, half, cross, plain)[0];
      });
  // Queries that are keys of another sentence, and keys that are values of another head.
  const Segments among{offsets_of(s.target), offsets_of(first_emptied(s.target))};
  table.row(
      "attention", "of_columns_that_overlap", {{n, 2 * d}},
      [=](Tape& t, const Variables& x) {
        return attention(t, {x[0], 0, d}, {x[0], 0, d}, {x[0], d / 2, d},
                         among.layout(device_of(x)), plain);
      },
      [=](const Matrices& x) {
        const Matrix first = columns_of(x[0], 0, d);
        return attend(first, first, columns_of(x[0], d / 2, d), among, plain)[0];
      });
  table.row(
      "attention", "dropout", {{n, d}, {n, d}, {n, d}},
      [=](Tape& t, const Variables& x) {
        t.set_training(5, 6);
        return attention(t, x[0], x[1], x[2], self.layout(device_of(x)), dropped);
      },
      [=](const Matrices& x) {
        return attend(x[0], x[1], x[2], self, dropped, RandomKey{5, 6, 0})[0];
      });
  table.row(
      "attention", "dropout_not_training", {{n, d}, {n, d}, {n, d}},
      [=](Tape& t, const Variables& x) {
        return attention(t, x[0], x[1], x[2], self.layout(device_of(x)), dropped);
      },
      [=](const Matrices& x) { return attend(x[0], x[1], x[2], self, dropped)[0]; });
  AttentionOptions sparse_dropped = with_sight(sparse);
  sparse_dropped.dropout = share;
  table.row(
      "attention", "sparse_dropout", {{n, d}, {n, d}, {n, d}},
      [=](Tape& t, const Variables& x) {
        t.set_training(5, 6);
        return attention(t, x[0], x[1], x[2], self.layout(device_of(x)), sparse_dropped);
      },
      [=](const Matrices& x) {
        return attend(x[0], x[1], x[2], self, sparse_dropped, RandomKey{5, 6, 0})[0];
      });
}

void add_additive_attention(Table& table, const Sizes& s, int64_t, int64_t d) {
  const int64_t m = std::accumulate(s.source.begin(), s.source.end(), int64_t{0});
  const int64_t sentences = std::ssize(s.source);
  const auto step = [&](const std::string& variant, int64_t queries, Ids segments, Ids rows) {
    Ids one_each(static_cast<size_t>(queries), 1);
    const Segments layout{offsets_of(one_each), offsets_of(s.source), segments, rows};
    return &table.row(
        "additive_attention", variant, {{queries, d}, {m, d}, {d}, {m, 2 * d}},
        [=](Tape& t, const Variables& x) {
          Tensor weights;
          const Variable y = additive_attention(
              t, x[0], x[1], x[2], x[3], layout.layout(device_of(x)), DType::kReal, &weights);
          return Variables{y, Variable(weights)};
        },
        [=](const Matrices& x) { return attend_additively(x[0], x[1], x[2], x[3], layout); });
  };
  step("", sentences, {}, {});
  // Towards the end of a batch sorted by length the last sentences are over.
  step("fewer_queries", std::max<int64_t>(1, sentences - 1), {}, {});
  step("shared_segments", 2 * sentences, random_ids(2 * sentences, 0, sentences, 8),
       random_ids(m, 0, m, 9))
      ->differentiable = false;
  const Segments alone{offsets_of(Ids(s.source.size(), 1)), offsets_of(s.source)};
  table.row(
      "additive_attention", "keys_are_values", {{sentences, d}, {m, d}, {d}},
      [=](Tape& t, const Variables& x) {
        return additive_attention(t, x[0], x[1], x[2], x[1], alone.layout(device_of(x)));
      },
      [=](const Matrices& x) { return attend_additively(x[0], x[1], x[2], x[1], alone)[0]; });
  // The steps of a decoder: they share what they attend to, and some sentences end before others.
  // The second of the three has no part in the result.
  const int64_t fewer = (sentences + 1) / 2;
  Segments all = alone;
  for (const int64_t queries : {sentences, fewer}) {
    for (int32_t sentence = 0; sentence < queries; ++sentence) all.key_segments.push_back(sentence);
  }
  table.row(
      "additive_attention", "steps", {{sentences + fewer, d}, {m, d}, {d}, {m, 2 * d}},
      [=](Tape& t, const Variables& x) {
        const AttentionLayout whole = alone.layout(device_of(x));
        const auto attend = [&](int64_t begin, int64_t queries) {
          AttentionLayout layout = whole;
          layout.query_offsets = layout.query_offsets.view(0, {queries + 1});
          return additive_attention(t, slice_rows(t, x[0], begin, begin + queries), x[1], x[2],
                                    x[3], layout);
        };
        const Variable first = attend(0, sentences);
        attend(0, fewer);
        return concat_rows(t, {first, attend(sentences, fewer)});
      },
      [=](const Matrices& x) { return attend_additively(x[0], x[1], x[2], x[3], all)[0]; });
}

}  // namespace

std::vector<OpCase> op_cases(const Sizes& sizes) {
  const int64_t tokens = std::accumulate(sizes.target.begin(), sizes.target.end(), int64_t{0});
  Table table;
  for (const auto family : {add_arithmetic, add_activations, add_dropout, add_columns, add_rows,
                            add_indexed, add_products, add_norms, add_probabilities, add_cells,
                            add_attention, add_additive_attention}) {
    family(table, sizes, tokens, sizes.dim);
  }
  return table.rows();
}

std::vector<Sizes> test_sizes() {
  Ids lengths(70);
  std::iota(lengths.begin(), lengths.end(), 1);
#if defined(DRAGOMAN_EMULATED_GPU)  // slow: those around the sizes of blocks
  std::erase_if(lengths, [](int32_t length) { return length > 9 && (length + 1) % 16 > 3; });
#endif
  return {{.name = "one", .source = {1}, .target = {1}, .dim = 2, .heads = 1, .classes = 2},
          {"odd", {3, 1, 5, 2}, {4, 2, 1, 6}, 6, 2, 7},
          {"lengths", lengths, lengths, 4, 2, 5},
          {"large", {1, 17, 64, 65, 70}, {33, 70, 16, 1, 65}, 104, 4, 301},
          // Rows that a GPU's kernels hold in registers.
          {"even", {3, 1, 2}, {4, 2, 1}, 64, 4, 8204},
          {"wide", {1, 2}, {2, 1}, 320, 20, 12},
          {"wider", {1, 1}, {1, 1}, 576, 36, 12}};
}

}  // namespace dragoman
