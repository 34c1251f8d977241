#include "models/recurrent_decoder.h"

namespace dragoman {
namespace {

// More places of dropout masks than the steps of a batch have.
constexpr uint32_t kSitesOfSteps = 1 << 16;

}  // namespace

struct RecurrentDecoder::Context {
  Variable keys;           // [memory tokens, ...]; undefined without attention
  Variable values;         // [memory tokens, memory width]
  AttentionLayout layout;  // each hypothesis attends to its sentence
};

struct RecurrentDecoder::Carried {
  std::vector<RecurrentState> layers;
  Variable top;           // what the last layer shows, [n, dim]: with residuals not its state alone
  Variable context;       // of this step, [n, memory width]
  Variable readout;       // of the step before; input feeding only
  Variable summary;       // [n, memory width]; attention none only
  Variable from_summary;  // its product for the first layer
};

struct RecurrentDecoder::State : DecoderState {
  Context context;
  Carried carried;
};

RecurrentDecoder::RecurrentDecoder(const Scope& scope, const DecoderConfig& config,
                                   int64_t memory_dim)
    : attention_(config.attention),
      readout_(config.readout),
      input_feeding_(config.input_feeding && config.attention != AttentionKind::kNone),
      residual_(config.residual),
      embedding_dropout_(static_cast<real>(config.embedding_dropout)),
      dropout_(static_cast<real>(config.dropout)),
      readout_dim_(config.readout_dim) {
  const RecurrentCell::Kind kind = cell_kind(config.type);
  for (int number = 0; number < config.layers; ++number) {
    const Scope place = scope / number;
    cells_.emplace_back(place, kind, config.dim, config.layer_norm);
    from_below_.push_back(cells_.back().input_layer(
        place / "from_input", number == 0 ? config.embedding_dim : config.dim, true));
    bridges_.emplace_back(place / "bridge", memory_dim, config.dim);
    if (kind == RecurrentCell::Kind::kLstm) {
      cell_bridges_.emplace_back(place / "cell_bridge", memory_dim, config.dim);
    }
  }
  if (attention_ == AttentionKind::kNone || attention_ == AttentionKind::kAdditive) {
    from_context_ = cells_[0].input_layer(scope / "0" / "from_context", memory_dim, false);
  }
  if (input_feeding_) {
    from_readout_ = cells_[0].input_layer(scope / "0" / "from_readout", readout_dim_, false);
  }
  if (attention_ == AttentionKind::kAdditive) {
    query_ = Linear(scope / "attention" / "query", config.dim, config.attention_dim);
    key_ = Linear(scope / "attention" / "key", memory_dim, config.attention_dim, false);
    alignment_ = (scope / "attention").add("weight", {config.attention_dim}, Start::kWeights);
  }
  if (attention_ == AttentionKind::kGeneral) {
    key_ = Linear(scope / "attention" / "key", memory_dim, config.dim, false);
  }
  const int64_t inner = (readout_ == ReadoutKind::kMaxout ? 2 : 1) * readout_dim_;
  read_state_ = Linear(scope / "readout" / "state", config.dim, inner);
  read_embedding_ = Linear(scope / "readout" / "embedding", config.embedding_dim, inner, false);
  read_context_ = Linear(scope / "readout" / "context", memory_dim, inner, false);
}

DType RecurrentDecoder::input_type(const Tape& tape) const {
  return input_feeding_ ? DType::kReal : cells_[0].input_type(tape);
}

RecurrentDecoder::Context RecurrentDecoder::prepare(Tape& tape, const Memory& memory) const {
  Context context;
  context.values = memory.states;
  context.layout = {
      .query_offsets = iota(memory.packing.sentences() + 1, memory.packing.offsets.device()),
      .key_offsets = memory.packing.offsets,
      .longest_key = memory.packing.longest};
  switch (attention_) {
    case AttentionKind::kNone:
      break;
    case AttentionKind::kDot:
      context.keys = memory.states;
      break;
    case AttentionKind::kAdditive:
    case AttentionKind::kGeneral:
      context.keys = key_(tape, memory.states);
      break;
  }
  return context;
}

RecurrentDecoder::Carried RecurrentDecoder::initial(Tape& tape, const Memory& memory) const {
  Carried carried;
  const Variable summary = memory.summary.defined()
                               ? memory.summary
                               : mean_rows(tape, memory.states, memory.packing.offsets);
  for (size_t number = 0; number < cells_.size(); ++number) {
    carried.layers.push_back(
        {dragoman::tanh(tape, bridges_[number](tape, summary)),
         cell_bridges_.empty() ? Variable() : cell_bridges_[number](tape, summary)});
  }
  carried.top = carried.layers.back().hidden;
  if (attention_ == AttentionKind::kNone) {
    carried.summary = summary;
    carried.from_summary = from_context_(tape, summary, input_type(tape));
  }
  if (input_feeding_) {
    carried.readout = Variable(Tensor::zeros({memory.packing.sentences(), readout_dim_},
                                             DType::kReal, memory.packing.offsets.device()));
  }
  return carried;
}

RecurrentDecoder::Carried RecurrentDecoder::first(Tape& tape, const Carried& carried,
                                                  int64_t n) const {
  if (carried.layers[0].hidden.rows() == n) return carried;
  Carried rows;
  for (const RecurrentState& state : carried.layers) {
    rows.layers.push_back(first_rows(tape, state, n));
  }
  const auto shorten = [&](const Variable& x) {
    return x.defined() ? slice_rows(tape, x, 0, n) : Variable();
  };
  rows.top = shorten(carried.top);
  rows.readout = shorten(carried.readout);
  rows.summary = shorten(carried.summary);
  rows.from_summary = shorten(carried.from_summary);
  return rows;
}

Variable RecurrentDecoder::attend(Tape& tape, const Context& context, const Variable& query,
                                  Tensor* weights) const {
  AttentionLayout layout = context.layout;
  layout.query_offsets = layout.query_offsets.view(0, {query.rows() + 1});
  if (attention_ == AttentionKind::kAdditive) {
    return additive_attention(tape, query_.step(tape, query), context.keys, *alignment_,
                              context.values, layout, tape.products(), weights);
  }
  AttentionOptions options;
  options.weights = weights;
  const Variable read = attention(tape, query, context.keys, context.values, layout, options);
  if (weights) *weights = weights->reshape({query.rows(), layout.longest_key});  // one head
  return read;
}

void RecurrentDecoder::advance(Tape& tape, const Context& context, const Variable& from_embedding,
                               Carried& carried, Tensor* weights) const {
  Variable inputs = from_embedding, from_context;
  if (attention_ == AttentionKind::kNone) {
    carried.context = carried.summary;
    from_context = carried.from_summary;
  }
  if (attention_ == AttentionKind::kAdditive) {
    carried.context = attend(tape, context, carried.top, weights);
    from_context = from_context_.step(tape, carried.context, input_type(tape));
  }
  if (input_feeding_) inputs = add(tape, inputs, from_readout_.step(tape, carried.readout));
  Variable below;
  for (size_t number = 0; number < cells_.size(); ++number) {
    if (number > 0) {
      inputs = from_below_[number].step(tape, dropout(tape, below, dropout_),
                                        cells_[number].input_type(tape));
    }
    RecurrentState& state = carried.layers[number];
    state = cells_[number].step(tape, inputs, state, number == 0 ? from_context : Variable());
    // The sum is what the layer shows; its own state stays apart.
    below = residual_ && number > 0 ? add(tape, below, state.hidden) : state.hidden;
  }
  carried.top = below;
  if (attention_ == AttentionKind::kDot || attention_ == AttentionKind::kGeneral) {
    carried.context = attend(tape, context, carried.top, weights);
  }
}

Variable RecurrentDecoder::read_out(Tape& tape, const Variable& state, const Variable& embedded,
                                    const Variable& context) const {
  Variable sum = add(tape, read_state_(tape, state), read_embedding_(tape, embedded));
  sum = add(tape, sum, read_context_(tape, context));
  switch (readout_) {
    case ReadoutKind::kMaxout:
      return maxout(tape, sum);
    case ReadoutKind::kTanh:
      return dragoman::tanh(tape, sum);
    case ReadoutKind::kLinear:
      return sum;
  }
  fail_unknown(readout_);
}

Variable RecurrentDecoder::decode(Tape& tape, const Memory& memory, const Variable& embedded,
                                  const Packing& packing, AttentionMaps* maps) const {
  check(packing.longest_first, "the target sentences of a batch must stand longest first");
  const TimeOrder& order = packing.forwards;
  const Context context = prepare(tape, memory);
  const Variable inputs = permute_rows(tape, {dropout(tape, embedded, embedding_dropout_)},
                                       {order.in_time()}, tape.products());
  const std::vector<Variable> from_embedding =
      split_rows(tape, from_below_[0](tape, inputs, input_type(tape)), order.steps);
  const std::vector<Variable> embedded_steps =
      input_feeding_ ? split_rows(tape, inputs, order.steps) : std::vector<Variable>();
  Carried carried = initial(tape, memory);
  std::vector<Variable> states, contexts, readouts, attended;
  const bool watched = maps != nullptr && has_attention();
  const uint32_t site = tape.next_site();
  for (size_t t = 0; t < order.steps.size(); ++t) {
    carried = first(tape, carried, order.steps[t]);
    Tensor weights;
    advance(tape, context, from_embedding[t], carried, watched ? &weights : nullptr);
    if (watched) attended.emplace_back(weights);
    if (input_feeding_) {
      carried.readout =
          dropout(tape, read_out(tape, carried.top, embedded_steps[t], carried.context), dropout_);
      readouts.push_back(carried.readout);
    } else {
      states.push_back(carried.top);
      contexts.push_back(carried.context);
    }
  }
  // Masks after the loop do not depend on its length, which may have been rounded up.
  tape.set_next_site(site + kSitesOfSteps);
  if (watched) {
    const Tensor weights =
        permute_rows(tape, {concat_rows(tape, attended)}, {order.packed()}).value();
    maps->push_back(
        {AttentionMap::Kind::kCross, 0, weights.reshape({weights.rows(), 1, weights.columns()})});
  }
  const DType read = tape.products();
  if (input_feeding_)
    return permute_rows(tape, {concat_rows(tape, readouts)}, {order.packed()}, read);
  // No step needs a readout: one product makes them all. Its mask is that of the tokens, whatever
  // rows the steps have besides.
  const Variable features =
      read_out(tape, concat_rows(tape, states, read), inputs, concat_rows(tape, contexts, read));
  return dropout(tape, permute_rows(tape, {features}, {order.packed()}), dropout_);
}

std::unique_ptr<DecoderState> RecurrentDecoder::start(Tape& tape, const Memory& memory) const {
  auto state = std::make_unique<State>();
  state->context = prepare(tape, memory);
  state->carried = initial(tape, memory);
  state->context.layout.key_segments =
      iota(memory.packing.sentences(), memory.packing.offsets.device());
  return state;
}

DecoderStep RecurrentDecoder::step(Tape& tape, DecoderState& base, const Variable& embedded,
                                   bool want_attention) const {
  auto& state = static_cast<State&>(base);
  Tensor weights;
  const Variable inputs = dropout(tape, embedded, embedding_dropout_);
  advance(tape, state.context, from_below_[0](tape, inputs, input_type(tape)), state.carried,
          want_attention && has_attention() ? &weights : nullptr);
  const Variable readout = read_out(tape, state.carried.top, inputs, state.carried.context);
  if (input_feeding_) state.carried.readout = readout;
  return {readout, weights};
}

void RecurrentDecoder::reorder(DecoderState& base, const Tensor& rows) const {
  auto& state = static_cast<State&>(base);
  Tape tape(/*recording=*/false);
  Carried& carried = state.carried;
  for (RecurrentState& layer : carried.layers) layer = gather(tape, layer, rows);
  for (Variable* part : {&carried.top, &carried.readout, &carried.summary, &carried.from_summary}) {
    if (part->defined()) *part = gather_rows(tape, *part, rows, part->value().dtype());
  }
  AttentionLayout& layout = state.context.layout;
  layout.key_segments = take_rows(layout.key_segments, rows);
  // `attend` takes as many of them as there are queries.
  if (layout.groups() < rows.size()) layout.query_offsets = iota(rows.size() + 1, rows.device());
}

}  // namespace dragoman
