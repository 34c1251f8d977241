// The settings that are one of a few names. Each is an enum with one table of its names, from which
// come reading and writing, what a message lists and what `dragoman config` shows. The code
// compares enumerators, never names, and decides by a `switch` without default, so that the
// compiler says which places do not know a new choice yet (-Wswitch).
//
// Every room above core may include this file, which needs nothing else of config.
#pragma once

#include <array>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/check.h"

namespace dragoman {

/// A row of a choice's table: what the code and what the user calls it.
template <class Enum>
struct Named {
  Enum value;
  std::string_view name;
};

/// An enum with a table of names, `choices(Enum)`; the argument only selects the table.
template <class Enum>
concept Choice = std::is_enum_v<Enum> && requires(Enum e) {
  choices(e);
};

/// What stands behind a switch all of whose cases return: only a value without a name gets there.
template <Choice Enum>
[[noreturn]] void fail_unknown(Enum value) {
  fail("{} is none of the choices", static_cast<int>(value));
}

template <Choice Enum>
std::string to_string(Enum value) {
  for (const Named<Enum>& choice : choices(value)) {
    if (choice.value == value) return std::string(choice.name);
  }
  fail_unknown(value);
}

/// The choice of that name; none where no choice has it.
template <Choice Enum>
std::optional<Enum> find_choice(std::string_view name) {
  for (const Named<Enum>& choice : choices(Enum{})) {
    if (choice.name == name) return choice.value;
  }
  return std::nullopt;
}

enum class VocabularyType { kUnigram, kBpe, kChar, kWord };
constexpr auto choices(VocabularyType) {
  using enum VocabularyType;
  return std::to_array<Named<VocabularyType>>(
      {{kUnigram, "unigram"}, {kBpe, "bpe"}, {kChar, "char"}, {kWord, "word"}});
}

enum class StackType { kTransformer, kLstm, kGru };
constexpr auto choices(StackType) {
  using enum StackType;
  return std::to_array<Named<StackType>>(
      {{kTransformer, "transformer"}, {kLstm, "lstm"}, {kGru, "gru"}});
}

/// Where a transformer block normalises: what enters it, or its residual sum.
enum class NormPlacement { kPre, kPost };
constexpr auto choices(NormPlacement) {
  using enum NormPlacement;
  return std::to_array<Named<NormPlacement>>({{kPre, "pre"}, {kPost, "post"}});
}

enum class NormalizationKind { kLayerNorm, kRmsNorm };
constexpr auto choices(NormalizationKind) {
  using enum NormalizationKind;
  return std::to_array<Named<NormalizationKind>>(
      {{kLayerNorm, "layer_norm"}, {kRmsNorm, "rms_norm"}});
}

enum class Activation { kRelu, kGelu, kSilu, kGlu, kSwiglu, kGeglu };
constexpr auto choices(Activation) {
  using enum Activation;
  return std::to_array<Named<Activation>>({{kRelu, "relu"},
                                           {kGelu, "gelu"},
                                           {kSilu, "silu"},
                                           {kGlu, "glu"},
                                           {kSwiglu, "swiglu"},
                                           {kGeglu, "geglu"}});
}

/// What tells a transformer the places of its tokens.
enum class PositionKind { kSinusoidal, kLearned };
constexpr auto choices(PositionKind) {
  using enum PositionKind;
  return std::to_array<Named<PositionKind>>({{kSinusoidal, "sinusoidal"}, {kLearned, "learned"}});
}

/// The attention of a recurrent decoder.
enum class AttentionKind { kNone, kAdditive, kDot, kGeneral };
constexpr auto choices(AttentionKind) {
  using enum AttentionKind;
  return std::to_array<Named<AttentionKind>>(
      {{kNone, "none"}, {kAdditive, "additive"}, {kDot, "dot"}, {kGeneral, "general"}});
}

enum class ReadoutKind { kMaxout, kTanh, kLinear };
constexpr auto choices(ReadoutKind) {
  using enum ReadoutKind;
  return std::to_array<Named<ReadoutKind>>(
      {{kMaxout, "maxout"}, {kTanh, "tanh"}, {kLinear, "linear"}});
}

enum class InitializerKind { kXavierUniform, kXavierNormal, kNormal, kUniform };
constexpr auto choices(InitializerKind) {
  using enum InitializerKind;
  return std::to_array<Named<InitializerKind>>({{kXavierUniform, "xavier_uniform"},
                                                {kXavierNormal, "xavier_normal"},
                                                {kNormal, "normal"},
                                                {kUniform, "uniform"}});
}

/// What the matrix products are to read; see autograd/precision.h for what that comes to.
enum class PrecisionSetting { kAuto, kFp32, kTf32, kBf16 };
constexpr auto choices(PrecisionSetting) {
  using enum PrecisionSetting;
  return std::to_array<Named<PrecisionSetting>>(
      {{kAuto, "auto"}, {kFp32, "fp32"}, {kTf32, "tf32"}, {kBf16, "bf16"}});
}

enum class OnOutOfMemory { kFail, kSkip, kSplit };
constexpr auto choices(OnOutOfMemory) {
  using enum OnOutOfMemory;
  return std::to_array<Named<OnOutOfMemory>>({{kFail, "fail"}, {kSkip, "skip"}, {kSplit, "split"}});
}

enum class OptimizerKind { kAdam, kAdamw };
constexpr auto choices(OptimizerKind) {
  using enum OptimizerKind;
  return std::to_array<Named<OptimizerKind>>({{kAdam, "adam"}, {kAdamw, "adamw"}});
}

enum class ScheduleKind { kInverseSqrt, kNoam, kLinear, kCosine, kPlateau, kConstant };
constexpr auto choices(ScheduleKind) {
  using enum ScheduleKind;
  return std::to_array<Named<ScheduleKind>>({{kInverseSqrt, "inverse_sqrt"},
                                             {kNoam, "noam"},
                                             {kLinear, "linear"},
                                             {kCosine, "cosine"},
                                             {kPlateau, "plateau"},
                                             {kConstant, "constant"}});
}

enum class StopMetric { kBleu, kLoss, kPerplexity };
constexpr auto choices(StopMetric) {
  using enum StopMetric;
  return std::to_array<Named<StopMetric>>(
      {{kBleu, "bleu"}, {kLoss, "loss"}, {kPerplexity, "perplexity"}});
}

}  // namespace dragoman

template <dragoman::Choice Enum>
struct fmt::formatter<Enum> : dragoman::ByToString {};
