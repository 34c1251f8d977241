// Layers and products of matrices.
#include "ops/checks.h"
#include "ops/ops.h"
#include "ops/products.h"

namespace dragoman {
namespace {

// The calls of one layer on one tape, or on several of one thread each that do not record: then
// nothing of it changes after it is made.
class LinearSteps {
 public:
  // Records the gradients of the parameters: before those of all calls, so that it is run after
  // them.
  LinearSteps(Tape& tape, const Variable& weight, const Variable& bias)
      : tf32_(tape.tf32()),
        weight_(operand(tape, weight)),
        packed_(packed(weight_, true)),
        bias_(bias) {
    if (type() == DType::kBf16) bf16_bias_ = bias_as(bias, DType::kBf16);
    Tensor none = Tensor::zeros({1}, DType::kReal, weight_.device());
    parameters_ = tape.record(
        "step_linear, parameters", none, {weight, bias},
        [this, weight = weight.gradient_only()](Tensor&) { add_parameter_gradients(weight); });
  }

  // Stands for weight and bias among the inputs of a call.
  const Variable& parameters() const { return parameters_; }
  DType type() const { return weight_.dtype(); }

  Tensor result(const Tensor& x, DType as, bool relu = false) const {
    Tensor y = Tensor::empty({x.rows(), weight_.rows()}, as, x.device());
    const bool is_made = as == DType::kBf16 && bf16_bias_.defined();
    const Tensor bias = is_made ? bf16_bias_ : bias_as(bias_, as);
    product(tf32_, x, false, weight_, true, y, {.bias = bias, .relu = relu}, packed_);
    return y;
  }

  // Where the gradient of a call's result belongs.
  Tensor place(size_t number) {
    const Call& call = calls_[number];
    if (!gradients_.defined()) {
      gradients_ = Tensor::empty({rows_, weight_.rows()}, type(), weight_.device());
    }
    return gradients_.slice_rows(call.begin, call.begin + call.x.rows());
  }

  // Keeps what the gradient of the weight reads of a call; returns its number.
  size_t keep(const Tensor& x) {
    calls_.push_back({x, rows_});
    rows_ += x.rows();
    return calls_.size() - 1;
  }

  void add_gradients(size_t number, const Tensor& dy, const Variable& x) {
    const Tensor mine = place(number);
    convert(dy, mine);
    calls_[number].written = true;
    if (!transposed_.defined()) transposed_ = packed(weight_, false);
    write_gradient(x, [&](const Target& dx) {
      product(tf32_, mine, false, weight_, false, dx, {}, transposed_);
    });
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
    product_gradients(tf32_, gradients_, {}, inputs, false, weight, weight_, true, bias_);
  }

  bool tf32_;
  Tensor weight_;               // as the products read it
  Tensor packed_, transposed_;  // for y and for the gradient of x
  Variable bias_;
  Tensor bf16_bias_;  // where products are of bf16, for results that are
  Variable parameters_;
  std::vector<Call> calls_;
  int64_t rows_ = 0;
  Tensor gradients_;  // of all calls' results
};

std::shared_ptr<LinearSteps> steps_of(Tape& tape, const Variable& weight, const Variable& bias) {
  const auto steps =
      tape.prepared<LinearSteps>({weight.data(), bias.defined() ? bias.data() : nullptr},
                                 [&] { return std::make_shared<LinearSteps>(tape, weight, bias); });
  check(steps->type() == tape.products(), "step_linear: a weight was prepared for other products");
  return steps;
}

}  // namespace

Variable matmul(Tape& tape, const Variable& a, const Variable& b, bool transpose_a,
                bool transpose_b) {
  check((transpose_a ? a.rows() : a.columns()) == (transpose_b ? b.columns() : b.rows()),
        "matmul: {}{} and {}{} do not fit", a.shape(), transpose_a ? "^T" : "", b.shape(),
        transpose_b ? "^T" : "");
  Tensor y =
      Tensor::empty({transpose_a ? a.columns() : a.rows(), transpose_b ? b.rows() : b.columns()},
                    DType::kReal, a.value().device());
  const Tensor left = operand(tape, a), right = operand(tape, b);
  const bool tf32 = tape.tf32();
  product(tf32, left, transpose_a, right, transpose_b, y);
  return tape
      .record("matmul", y, {a, b},
              [=, a = a.gradient_only(), b = b.gradient_only()](Tensor& dy) {
                product_gradients(tf32, dy, a, left, transpose_a, b, right, transpose_b);
              })
      .prefers(left.dtype());
}

Variable linear(Tape& tape, const Variable& x, const Variable& weight, const Variable& bias,
                DType type) {
  if (!tape.recording()) return step_linear(tape, x, weight, bias, type);  // at every word
  check_columns("linear", "the weight", weight, x.columns());
  if (bias.defined()) check_columns("linear", "the bias", bias, weight.rows());
  Tensor y = Tensor::empty({x.rows(), weight.rows()}, type, x.value().device());
  const Tensor left = operand(tape, x), right = operand(tape, weight);
  const bool tf32 = tape.tf32();
  product(tf32, left, false, right, true, y, {.bias = bias_as(bias, type)});
  const GradientBatches batched = GradientBatches::of(tape, weight, bias);
  return tape
      .record("linear", y, {x, weight, bias},
              [=, x = x.gradient_only(), weight = weight.gradient_only()](Tensor& dy) {
                product_gradients(tf32, dy, x, left, false, weight, right, true, bias, batched);
              })
      .prefers(left.dtype());
}

Variable feed_forward(Tape& tape, const Variable& x, const Variable& in_weight,
                      const Variable& in_bias, const Variable& out_weight, const Variable& out_bias,
                      DType type) {
  check_columns("feed_forward", "the first weight", in_weight, x.columns());
  check_columns("feed_forward", "the first bias", in_bias, in_weight.rows());
  check_columns("feed_forward", "the second weight", out_weight, in_weight.rows());
  check_columns("feed_forward", "the second bias", out_bias, out_weight.rows());
  const DType products = tape.products();
  if (!tape.recording()) {  // at every word
    const Tensor hidden =
        steps_of(tape, in_weight, in_bias)->result(operand(tape, x), products, /*relu=*/true);
    return step_linear(tape, Variable(hidden), out_weight, out_bias, type);
  }
  const Device device = x.value().device();
  const bool tf32 = tape.tf32();
  const Tensor left = operand(tape, x), in = operand(tape, in_weight),
               out = operand(tape, out_weight);
  const Tensor hidden = Tensor::empty({x.rows(), in_weight.rows()}, products, device);
  const Tensor y = Tensor::empty({x.rows(), out_weight.rows()}, type, device);
  product(tf32, left, false, in, true, hidden, {.bias = bias_as(in_bias, products), .relu = true});
  product(tf32, hidden, false, out, true, y, {.bias = bias_as(out_bias, type)});
  const GradientBatches in_late = GradientBatches::of(tape, in_weight, in_bias),
                        out_late = GradientBatches::of(tape, out_weight, out_bias);
  const auto backward = [=, x = x.gradient_only(), in_weight = in_weight.gradient_only(),
                         out_weight = out_weight.gradient_only()](Tensor& dy) {
    const Variable inner = Variable::leaf(hidden).prefers(products);
    const bool gated = gates(device, products);
    product_gradients(tf32, dy, inner, hidden, false, out_weight, out, true, out_bias, out_late,
                      gated ? hidden : Tensor());
    const Tensor d_inner = std::move(inner.sink()->gradient);
    if (!gated) gate_and_sum(hidden, d_inner, in_bias);
    product_gradients(tf32, d_inner, x, left, false, in_weight, in, true,
                      gated ? in_bias : Variable(), in_late);
  };
  return tape.record("feed_forward", y, {x, in_weight, in_bias, out_weight, out_bias}, backward)
      .prefers(products);
}

Variable step_linear(Tape& tape, const Variable& x, const Variable& weight, const Variable& bias,
                     DType type) {
  check_columns("step_linear", "the weight", weight, x.columns());
  if (bias.defined()) check_columns("step_linear", "the bias", bias, weight.rows());
  const auto steps = steps_of(tape, weight, bias);
  const Tensor left = operand(tape, x);
  const Tensor y = steps->result(left, type);
  if (!tape.recording()) return Variable(y);
  const size_t number = steps->keep(left);
  Variable result =
      tape.record("step_linear", y, {x, steps->parameters()},
                  [=, x = x.gradient_only()](Tensor& dy) { steps->add_gradients(number, dy, x); });
  if (const std::shared_ptr<Sink>& sink = result.sink()) {
    sink->preferred = left.dtype();
    sink->place = [=] { return steps->place(number); };
  }
  return result;
}

}  // namespace dragoman
