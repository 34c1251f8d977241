// Every operation of the engine: what it computes from what. Each is differentiable in all its
// Variable arguments; each is one row of the table in tests/op_cases.cpp.
//
// Matrices are [rows, columns]. "Rows" are mostly the tokens of a batch, whose sentences lie end to
// end without padding. A shape that does not fit throws an Error that begins with the operation.
#pragma once

#include <cstdint>
#include <vector>

#include "autograd/tape.h"
#include "ops/sight.h"

namespace dragoman {

// Arithmetic (elementwise.cpp) --------------------------------------------------------------------

/// a + b, same shapes.
Variable add(Tape& tape, const Variable& a, const Variable& b);
/// a - b, same shapes.
Variable subtract(Tape& tape, const Variable& a, const Variable& b);
/// a * b, element by element.
Variable multiply(Tape& tape, const Variable& a, const Variable& b);
/// x * factor.
Variable scale(Tape& tape, const Variable& x, real factor);
/// x [n, d] + bias [d] in every row.
Variable add_bias(Tape& tape, const Variable& x, const Variable& bias);
/// The sum of all elements, [1].
Variable sum(Tape& tape, const Variable& x);

/// What becomes of a result as it is written.
struct Epilogue {
  real dropout = 0;           ///< As `dropout` does it, in the same pass.
  DType type = DType::kReal;  ///< Tape::products() where only matrix products read it.
};

/// max(x, 0).
Variable relu(Tape& tape, const Variable& x, const Epilogue& epilogue = {});
/// x Phi(x), with the normal distribution function (Hendrycks and Gimpel 2016), exact.
Variable gelu(Tape& tape, const Variable& x, const Epilogue& epilogue = {});
/// x sigmoid(x) (Elfwing et al. 2017).
Variable silu(Tape& tape, const Variable& x, const Epilogue& epilogue = {});
Variable tanh(Tape& tape, const Variable& x, const Epilogue& epilogue = {});
Variable sigmoid(Tape& tape, const Variable& x, const Epilogue& epilogue = {});

/// The gated linear units of Shazeer 2020: x [n, 2d] holds values and gates side by side; the
/// result is value * f(gate), [n, d], with f = sigmoid.
Variable glu(Tape& tape, const Variable& x, const Epilogue& epilogue = {});
/// The same with f = silu.
Variable swiglu(Tape& tape, const Variable& x, const Epilogue& epilogue = {});
/// The same with f = gelu.
Variable geglu(Tape& tape, const Variable& x, const Epilogue& epilogue = {});
/// The larger of each two neighbours: x [n, 2d] -> [n, d] (Goodfellow et al. 2013; Bahdanau et al.
/// 2015, appendix A.2.2). Of two equals the first gets the gradient.
Variable maxout(Tape& tape, const Variable& x);

/// Zeroes each element with probability `probability` and divides the others by 1 - probability
/// while the tape is training; the identity otherwise. 0 <= probability < 1.
Variable dropout(Tape& tape, const Variable& x, real probability);

// Shapes (shape.cpp) ------------------------------------------------------------------------------

/// Matrices of the same number of rows, side by side.
Variable concat_columns(Tape& tape, const std::vector<Variable>& parts);
/// The columns [begin, begin + count), of x's type.
Variable slice_columns(Tape& tape, const Variable& x, int64_t begin, int64_t count);
/// Matrices of the same number of columns, one below the other, as `type`.
Variable concat_rows(Tape& tape, const std::vector<Variable>& parts, DType type = DType::kReal);
/// The rows [begin, end), as a view.
Variable slice_rows(Tape& tape, const Variable& x, int64_t begin, int64_t end);
/// Consecutive blocks of `sizes` rows, as views; the sizes sum to x's rows.
std::vector<Variable> split_rows(Tape& tape, const Variable& x, const std::vector<int64_t>& sizes);
/// y[i] = x[index[i]] as `type`, which x may be as well; index is int32 [n]. A negative index gives
/// a row of zeros.
Variable gather_rows(Tape& tape, const Variable& x, const Tensor& index, DType type = DType::kReal);
/// An order of rows: place i has row rows[i], and row r is at places[r]; both are int32. A place of
/// the row -1 is one of zeros, and a row at -1 has no place.
struct Permutation {
  Tensor rows, places;
};
/// Matrices of the same number of rows side by side, each with its rows in an order of its own, as
/// `type`.
Variable permute_rows(Tape& tape, const std::vector<Variable>& parts,
                      const std::vector<Permutation>& orders, DType type = DType::kReal);
/// y [rows, d] with y[index[i]] += x[i], and zero elsewhere. A negative index is left out.
Variable scatter_rows(Tape& tape, const Variable& x, const Tensor& index, int64_t rows);
/// The mean over each group of consecutive rows: x [n, d], offsets int32 [groups + 1] -> [groups,
/// d]. Groups must not be empty.
Variable mean_rows(Tape& tape, const Variable& x, const Tensor& offsets);

// Products (linear.cpp) ---------------------------------------------------------------------------

/// op(a) op(b).
Variable matmul(Tape& tape, const Variable& a, const Variable& b, bool transpose_a = false,
                bool transpose_b = false);
/// x weight^T + bias: x [n, in], weight [out, in], bias [out] or undefined -> [n, out] as `type`,
/// which may be kBf16 where the tape's products are. These read such matrices as well as floats:
/// activations, attention, and what is added before a norm.
Variable linear(Tape& tape, const Variable& x, const Variable& weight, const Variable& bias = {},
                DType type = DType::kReal);
/// The same for a layer that is called again and again on one tape, as a recurrent one at each
/// step: what the products read of the weight is made once, and the gradients of weight and bias
/// are made once, from the rows of all calls.
Variable step_linear(Tape& tape, const Variable& x, const Variable& weight,
                     const Variable& bias = {}, DType type = DType::kReal);

/// relu(x in_weight^T + in_bias) out_weight^T + out_bias (Vaswani et al. 2017, eq. 2): x [n, d],
/// in_weight [f, d], in_bias [f], out_weight [d, f], out_bias [d] -> [n, d] as `type`. What stands
/// between the products is written once, as they read it.
Variable feed_forward(Tape& tape, const Variable& x, const Variable& in_weight,
                      const Variable& in_bias, const Variable& out_weight, const Variable& out_bias,
                      DType type = DType::kReal);

// Normalisation (norm.cpp) ------------------------------------------------------------------------

/// gain * (x - mean) / sqrt(variance + epsilon) + bias over each row (Ba et al. 2016); gain and
/// bias are [d]. The result is written as `type`.
Variable layer_norm(Tape& tape, const Variable& x, const Variable& gain, const Variable& bias,
                    real epsilon, DType type = DType::kReal);
/// gain * x / sqrt(mean(x^2) + epsilon) over each row (Zhang and Sennrich 2019).
Variable rms_norm(Tape& tape, const Variable& x, const Variable& gain, real epsilon,
                  DType type = DType::kReal);

/// A residual sum and its normalised rows.
struct SumAndNorm {
  Variable sum;     ///< x + dropout(added)
  Variable normed;  ///< The norm of the sum.
};
/// layer_norm of x + dropout(added), and that sum, in one pass.
SumAndNorm add_layer_norm(Tape& tape, const Variable& x, const Variable& added, real dropout,
                          const Variable& gain, const Variable& bias, real epsilon,
                          DType type = DType::kReal);
/// rms_norm of x + dropout(added), and that sum, in one pass.
SumAndNorm add_rms_norm(Tape& tape, const Variable& x, const Variable& added, real dropout,
                        const Variable& gain, real epsilon, DType type = DType::kReal);

// Probabilities (softmax.cpp, loss.cpp) -----------------------------------------------------------

/// softmax over each row's first lengths[row] elements, zero after them; without lengths over all.
/// lengths is int32 [n], each at least 1.
Variable softmax(Tape& tape, const Variable& x, const Tensor& lengths = {});
/// The logarithm of the softmax over the same elements; zero after them.
Variable log_softmax(Tape& tape, const Variable& x, const Tensor& lengths = {});

/// What cross_entropy gives.
struct CrossEntropy {
  Variable loss;             ///< [1]: the smoothed loss summed over the rows, in nats.
  Tensor log_probabilities;  ///< [n]: log p(target), not smoothed, for perplexity and scores.
};
/// Cross-entropy of the softmax of the logits x weight^T + bias, as `linear` makes them, against
/// targets int32 [n], with the target distribution (1 - smoothing) one-hot + smoothing uniform over
/// all classes (Szegedy et al. 2016): x [n, d], weight [classes, d], bias [classes]. A row whose
/// target is -1 is masked: its loss, gradient and log-probability are zero. Neither logits nor
/// probabilities are kept. On a GPU the logits are of the products' type; the softmax is not.
CrossEntropy cross_entropy(Tape& tape, const Variable& x, const Variable& weight,
                           const Variable& bias, const Tensor& targets, real smoothing);

// Embedding (embedding.cpp) -----------------------------------------------------------------------

/// factor * table[ids[i]]: table [classes, d], ids int32 [n] -> [n, d].
Variable embedding(Tape& tape, const Variable& table, const Tensor& ids, real factor = 1);

/// dropout(x[i] + table[index[i]]), in one pass: x [n, d], table [rows, d], index int32 [n].
Variable add_rows(Tape& tape, const Variable& x, const Variable& table, const Tensor& index,
                  real dropout = 0);

// Attention (attention.cpp) -----------------------------------------------------------------------

/// Some columns of a matrix, so that one product can make queries, keys and values side by side.
struct Columns {
  Columns(const Variable& whole) : matrix(whole), begin(0), count(whole.columns()) {}
  Columns(const Variable& from, int64_t first, int64_t number)
      : matrix(from), begin(first), count(number) {}
  Variable matrix;
  int64_t begin;
  int64_t count;

  /// Whether a gradient of one of them is one of the others, too.
  bool share_gradients(const Columns& others) const {
    return matrix.needs_gradient() && matrix.sink() == others.matrix.sink() &&
           begin < others.begin + others.count && others.begin < begin + count;
  }
};

/// Which rows attend to which: query group g, the rows [query_offsets[g], query_offsets[g + 1]),
/// sees all keys of the segment key_segments[g] (g itself where undefined), which are numbered
/// [key_offsets[s], key_offsets[s + 1]). The key of number i stands in row key_rows[i] (row i
/// itself where undefined). All tensors are int32. Positions, from which a Sight follows, are those
/// of keys in their segment; the queries of a group stand where its first keys do, unless:
struct AttentionLayout {
  Tensor query_offsets;
  Tensor key_offsets;
  Tensor key_segments = {};
  Tensor key_rows = {};
  int64_t longest_key = 0;    ///< The most keys that a segment has.
  int64_t longest_query = 0;  ///< The most queries that a group has; 0: it is not known.
  bool queries_last = false;  ///< They stand where the last keys do, as in a step of a translation.

  int64_t groups() const { return query_offsets.size() - 1; }
  int64_t segments() const { return key_offsets.size() - 1; }
};

struct AttentionOptions {
  int64_t heads = 1;
  int64_t key_heads = 0;      ///< Of keys and values, each for heads / key_heads heads (Ainslie et
                              ///< al. 2023); 0: as many as of queries.
  real scale = 1;             ///< Of the products; 1 / sqrt(head_dim) in Vaswani et al. 2017.
  Sight sight = {};           ///< Which keys of its group a query sees.
  real dropout = 0;           ///< Of the weights, while the tape is training.
  DType type = DType::kReal;  ///< Of the result.
  Tensor* weights = nullptr;  ///< If set, receives the weights [queries, heads, longest_key], zero
                              ///< where there is no key.
};

/// softmax(scale q k^T) v for each head over the keys of each group (Vaswani et al. 2017, eq. 1):
/// query [n, heads * head_dim], key [m, key_heads * head_dim], value [m, key_heads * value_dim] ->
/// [n, heads * value_dim]. Memory is linear in the lengths: backward computes the weights again
/// from two numbers a query and head, and of a sparse attention only the weights of keys that some
/// query of a block sees are computed. A query that sees no key gives zeros. Gradients and dropout
/// want layouts without key_segments and key_rows. Where columns overlap and have gradients, a copy
/// of the queries (or the values) is read, unless the keys are the values.
Variable attention(Tape& tape, const Columns& query, const Columns& key, const Columns& value,
                   const AttentionLayout& layout, const AttentionOptions& options);

/// Bahdanau et al. 2015, equations 5 and 6 and appendix A.1.2, each query row a group of its own:
/// e_ij = weight . tanh(query_i + key_j), a_i = softmax(e_i), context_i = sum_j a_ij value_j;
/// query [n, a], key [m, a], weight [a], value [m, v] -> [n, v] as `type`. `weights`, if not null,
/// receives [n, longest_key]. layout.query_offsets must have n + 1 elements and is otherwise not
/// read. Calls on one tape share what they read of keys and values. Numbers of queries and keys
/// beyond 43, or below -43, count as that.
Variable additive_attention(Tape& tape, const Variable& query, const Variable& key,
                            const Variable& weight, const Variable& value,
                            const AttentionLayout& layout, DType type = DType::kReal,
                            Tensor* weights = nullptr);

// Recurrent cells (recurrent.cpp) -----------------------------------------------------------------

/// One step of a GRU (Cho et al. 2014), with the reset gate applied after the product, which lets
/// one product serve all three gates: r = sigmoid(x_r + h_r), z = sigmoid(x_z + h_z),
/// c = tanh(x_c + r h_c), h' = (1 - z) c + z h. from_input and from_state are [n, 3d], the parts
/// r, z, c side by side, biases included, both kReal or both kBf16; state [n, d] -> [n, d].
/// from_context, if defined, is added to from_input, and of the same type.
Variable gru_cell(Tape& tape, const Variable& from_input, const Variable& from_state,
                  const Variable& state, const Variable& from_context = {});

struct LstmState {
  Variable hidden;  ///< [n, d]
  Variable cell;    ///< [n, d]
};
/// One step of an LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000):
/// i, f, o = sigmoid, g = tanh of from_input + from_state, both [n, 4d] with the parts i, f, g, o
/// side by side; c' = f c + i g, h' = o tanh(c'). from_context and types as in gru_cell.
LstmState lstm_cell(Tape& tape, const Variable& from_input, const Variable& from_state,
                    const Variable& cell, const Variable& from_context = {});

}  // namespace dragoman
