// What a structure of settings says about each of its fields. One list, `fields(visitor)`, serves
// reading YAML and --set, checking, writing, the commented reference and comparison:
//
//   template <class Visitor>
//   void fields(Visitor& v) {
//     v("type", type, "what a sentence is cut into");
//     v("sampling", sampling, "...", between(0, 1), only_if(can_sample(), "type is ..."));
//     v("keep", keep, "...", at_least(0), free_to_change());
//     v.section("encoder", encoder, "...");
//   }
//
// What follows the meaning are the field's facts, in any order; what is not said has a default, the
// careful one. A visitor takes them as a pack and gathers them by `facts_of`. What an enum of
// config/choices.h may be need not be said.
#pragma once

#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/choices.h"

namespace dragoman {

/// The values that a field may take. Of a list, each element must be allowed.
struct Rule {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;   ///< `low` itself is not allowed
  bool high_open = false;  ///< `high` itself is not allowed
  bool filled = false;     ///< not the empty string, not the empty list
  /// "cuda:N" stands for cuda:0, cuda:1 and so on.
  std::vector<std::string> choices;

  bool allows(double value) const;
  bool allows(std::string_view value) const;
  /// "one of a, b, c", "at least 1", "from 0 to 1", ...; empty when everything is allowed.
  std::string text() const;
};

inline Rule at_least(double low) { return {.low = low}; }
inline Rule positive() { return {.low = 0, .low_open = true}; }
inline Rule between(double low, double high) { return {.low = low, .high = high}; }
/// From 0 to below 1: a probability of dropping something, a decay.
inline Rule fraction() { return {.low = 0, .high = 1, .high_open = true}; }
inline Rule filled() { return {.filled = true}; }
/// Text with a form of its own; what is one of a few names is an enum of config/choices.h.
inline Rule one_of(std::initializer_list<const char*> choices) {
  return {.choices = {choices.begin(), choices.end()}};
}

/// Whether a field has an effect, given the fields before it, and when it has, in words.
struct Condition {
  bool holds = true;
  std::string text;  ///< completes "applies only when ..."; empty: always
};

inline Condition only_if(bool holds, std::string text) { return {holds, std::move(text)}; }

/// Whether a run may go on with another value than it began with, because what it learns stays the
/// same. Not said: it may not.
struct FreeToChange {
  bool holds = true;
};

inline FreeToChange free_to_change(bool holds = true) { return {holds}; }

/// Whether models that differ in a field compute something else from the same parameters. Said of a
/// section it holds for the fields below it that do not say otherwise. Not said: they do not.
struct ShapesModel {
  bool holds = true;
};

inline ShapesModel shapes_model() { return {true}; }
inline ShapesModel in_training_only() { return {false}; }

/// All that the line of a field or section says besides its name and meaning.
struct Facts {
  Rule rule = {};
  Condition condition = {};
  bool free_to_change = false;
  std::optional<bool> shapes_model = {};  ///< Not said: as the section.

  void add(Rule given) { rule = std::move(given); }
  void add(Condition given) { condition = std::move(given); }
  void add(FreeToChange given) { free_to_change = given.holds; }
  void add(ShapesModel given) { shapes_model = given.holds; }
};

/// The facts of a field of the type of `field`.
template <class T, class... Given>
Facts facts_of(const T& field, const Given&... given) {
  Facts facts;
  if constexpr (Choice<T>) {
    for (const Named<T>& choice : choices(field)) facts.rule.choices.emplace_back(choice.name);
  }
  (facts.add(given), ...);
  return facts;
}

}  // namespace dragoman
