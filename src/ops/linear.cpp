// Matrix products.
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensor/gemm.h"
#include "tensor/launch.h"

namespace dragoman {
namespace {

// A matrix as the products of this tape read it.
Tensor operand(const Tape& tape, const Variable& x) {
  if (tape.products() == DType::kBf16 && x.low().defined()) return x.low();
  return convert(x.value(), tape.products());
}

// out (+)= op(a) op(b) for whole matrices of one type.
void product(bool tf32, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
             real* out, bool accumulate, const real* bias = nullptr, const Tensor& packed = {}) {
  const int64_t m = transpose_a ? a.columns() : a.rows();
  const int64_t k = transpose_a ? a.rows() : a.columns();
  const int64_t n = transpose_b ? b.rows() : b.columns();
  gemm(a.device(), {.m = m,
                    .n = n,
                    .k = k,
                    .inputs = a.dtype(),
                    .tf32 = tf32,
                    .a = a.address(),
                    .lda = a.columns(),
                    .transpose_a = transpose_a,
                    .b = b.address(),
                    .ldb = b.columns(),
                    .transpose_b = transpose_b,
                    .c = out,
                    .ldc = n,
                    .bias = bias,
                    .accumulate = accumulate,
                    .packed = packed});
}

// What the products of b, transposed or not, share.
Tensor packed(const Tensor& b, bool transposed) {
  return pack(b.device(), {.n = transposed ? b.rows() : b.columns(),
                           .k = transposed ? b.columns() : b.rows(),
                           .inputs = b.dtype(),
                           .b = b.address(),
                           .ldb = b.columns(),
                           .transpose_b = transposed});
}

// The gradients of y = op(a) op(b), from that of y as the products read it.
void product_gradients(bool tf32, const Tensor& dy, const Variable& a, const Tensor& a_value,
                       bool transpose_a, const Variable& b, const Tensor& b_value,
                       bool transpose_b) {
  if (const GradientWriter da = a.gradient()) {
    if (transpose_a) {
      product(tf32, b_value, transpose_b, dy, true, da.data(), da.accumulate());
    } else {
      product(tf32, dy, false, b_value, !transpose_b, da.data(), da.accumulate());
    }
  }
  if (const GradientWriter db = b.gradient()) {
    if (transpose_b) {
      product(tf32, dy, true, a_value, transpose_a, db.data(), db.accumulate());
    } else {
      product(tf32, a_value, !transpose_a, dy, false, db.data(), db.accumulate());
    }
  }
}

template <class From>
struct Read {
  const From* from;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    return from[row * columns + c];
  }
};
template <class From, class To>
struct ReadAndConvert {
  const From* from;
  To* to;
  int64_t columns;
  DRAGOMAN_HOST_DEVICE real operator()(int64_t row, int64_t c) const {
    const real value = from[row * columns + c];
    to[row * columns + c] = value;
    return value;
  }
};

// dy as the products read it; the gradient of the bias, the sums of its columns, is made in the
// same pass.
Tensor convert_and_sum(const Tensor& dy, DType type, const Variable& bias) {
  const GradientWriter to = bias.gradient();
  if (!to) return convert(dy, type);
  const int64_t columns = dy.columns();
  const Tensor converted = dy.dtype() == type ? dy : Tensor::empty(dy.shape(), type, dy.device());
  const auto sum = [&](auto f) {
    launch::sum_rows(dy.device(), dy.rows(), columns,
                     launch::ColumnSums{to.data(), to.accumulate(), f});
  };
  visit(dy, [&]<class From>(From* d) {
    if (dy.dtype() == type) return sum(Read<From>{d, columns});
    visit(converted, [&]<class To>(To* out) { sum(ReadAndConvert<From, To>{d, out, columns}); });
  });
  return converted;
}

// The calls of one layer on one tape.
class LinearSteps {
 public:
  // Records the gradients of the parameters: before those of all calls, so that it is run after
  // them.
  LinearSteps(Tape& tape, const Variable& weight, const Variable& bias)
      : tf32_(tape.tf32()),
        weight_(operand(tape, weight)),
        packed_(packed(weight_, true)),
        bias_(bias) {
    Tensor none = Tensor::zeros({1}, DType::kReal, weight_.device());
    parameters_ = tape.record(
        "step_linear, parameters", none, {weight, bias},
        [this, weight = weight.gradient_only()](Tensor&) { add_parameter_gradients(weight); });
  }

  // Stands for weight and bias among the inputs of a call.
  const Variable& parameters() const { return parameters_; }
  DType type() const { return weight_.dtype(); }

  Tensor result(const Tensor& x) const {
    Tensor y = Tensor::empty({x.rows(), weight_.rows()}, DType::kReal, x.device());
    product(tf32_, x, false, weight_, true, y.data(), false,
            bias_.defined() ? bias_.data() : nullptr, packed_);
    return y;
  }

  // Keeps what the gradient of the weight reads of a call; returns its number.
  size_t keep(const Tensor& x) {
    calls_.push_back({x, rows_});
    rows_ += x.rows();
    return calls_.size() - 1;
  }

  void add_gradients(size_t number, const Tensor& dy, const Variable& x) {
    Call& call = calls_[number];
    if (!gradients_.defined()) {
      gradients_ = Tensor::empty({rows_, weight_.rows()}, type(), dy.device());
      transposed_ = packed(weight_, false);
    }
    const Tensor mine = gradients_.slice_rows(call.begin, call.begin + call.x.rows());
    convert(dy, mine);
    call.written = true;
    if (const GradientWriter dx = x.gradient()) {
      product(tf32_, mine, false, weight_, false, dx.data(), dx.accumulate(), nullptr, transposed_);
    }
    parameters_.zeroed_gradient();
  }

 private:
  struct Call {
    Tensor x;
    int64_t begin;  // its first row among those of all calls
    bool written = false;
  };

  void add_parameter_gradients(const Variable& weight) {
    const Tensor inputs = Tensor::empty({rows_, weight_.columns()}, type(), weight_.device());
    for (const Call& call : calls_) {
      const int64_t end = call.begin + call.x.rows();
      convert(call.x, inputs.slice_rows(call.begin, end));
      if (!call.written) gradients_.slice_rows(call.begin, end).clear();  // nothing depends on it
    }
    if (const GradientWriter to = weight.gradient()) {
      product(tf32_, gradients_, true, inputs, false, to.data(), to.accumulate());
    }
    convert_and_sum(gradients_, type(), bias_);
  }

  bool tf32_;
  Tensor weight_;               // as the products read it
  Tensor packed_, transposed_;  // for y and for the gradient of x
  Variable bias_;
  Variable parameters_;
  std::vector<Call> calls_;
  int64_t rows_ = 0;
  Tensor gradients_;  // of all calls' results
};

}  // namespace

Variable matmul(Tape& tape, const Variable& a, const Variable& b, bool transpose_a,
                bool transpose_b) {
  check((transpose_a ? a.rows() : a.columns()) == (transpose_b ? b.columns() : b.rows()),
        "matmul: {}{} and {}{} do not fit", to_string(a.shape()), transpose_a ? "^T" : "",
        to_string(b.shape()), transpose_b ? "^T" : "");
  Tensor y =
      Tensor::empty({transpose_a ? a.columns() : a.rows(), transpose_b ? b.rows() : b.columns()},
                    DType::kReal, a.value().device());
  const Tensor left = operand(tape, a), right = operand(tape, b);
  const bool tf32 = tape.tf32();
  product(tf32, left, transpose_a, right, transpose_b, y.data(), false);
  Variable result = tape.record("matmul", y, {a, b},
                                [=, a = a.gradient_only(), b = b.gradient_only()](Tensor& dy) {
                                  product_gradients(tf32, convert(dy, left.dtype()), a, left,
                                                    transpose_a, b, right, transpose_b);
                                });
  if (result.needs_gradient()) result.sink()->preferred = left.dtype();
  return result;
}

Variable linear(Tape& tape, const Variable& x, const Variable& weight, const Variable& bias) {
  if (!tape.recording()) return step_linear(tape, x, weight, bias);  // every layer, at every word
  check_columns("linear", "the weight", weight, x.columns());
  if (bias.defined()) check_columns("linear", "the bias", bias, weight.rows());
  Tensor y = Tensor::empty({x.rows(), weight.rows()}, DType::kReal, x.value().device());
  const Tensor left = operand(tape, x), right = operand(tape, weight);
  const bool tf32 = tape.tf32();
  product(tf32, left, false, right, true, y.data(), false, bias.defined() ? bias.data() : nullptr);
  Variable result =
      tape.record("linear", y, {x, weight, bias},
                  [=, x = x.gradient_only(), weight = weight.gradient_only()](Tensor& dy) {
                    product_gradients(tf32, convert_and_sum(dy, left.dtype(), bias), x, left, false,
                                      weight, right, true);
                  });
  if (result.needs_gradient()) result.sink()->preferred = left.dtype();
  return result;
}

Variable step_linear(Tape& tape, const Variable& x, const Variable& weight, const Variable& bias) {
  check_columns("step_linear", "the weight", weight, x.columns());
  if (bias.defined()) check_columns("step_linear", "the bias", bias, weight.rows());
  const auto steps =
      tape.shared<LinearSteps>({weight.data(), bias.defined() ? bias.data() : nullptr},
                               [&] { return std::make_shared<LinearSteps>(tape, weight, bias); });
  const Tensor left = convert(x.value(), steps->type());
  const Tensor y = steps->result(left);
  if (!tape.recording()) return Variable(y);
  return tape.record("step_linear", y, {x, steps->parameters()},
                     [steps, number = steps->keep(left), x = x.gradient_only()](Tensor& dy) {
                       steps->add_gradients(number, dy, x);
                     });
}

}  // namespace dragoman
