// What a structure of settings says about each of its fields. One list, `fields(visitor)`, serves
// reading YAML and --set, checking, writing, the commented reference and comparison:
//
//   template <class Visitor>
//   void fields(Visitor& v) {
//     v("type", type, "the kind of piece", one_of({"unigram", "bpe", "char", "word"}));
//     v("sampling_nbest", sampling_nbest, "...", at_least(-1), only_if(type == "unigram", "..."));
//     v.section("encoder", encoder, "...");
//   }
#pragma once

#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

inline Rule anything() { return {}; }
inline Rule at_least(double low) { return {.low = low}; }
inline Rule positive() { return {.low = 0, .low_open = true}; }
inline Rule between(double low, double high) { return {.low = low, .high = high}; }
/// From 0 to below 1: a probability of dropping something, a decay.
inline Rule fraction() { return {.low = 0, .high = 1, .high_open = true}; }
inline Rule filled() { return {.filled = true}; }
inline Rule one_of(std::initializer_list<const char*> choices) {
  return {.choices = {choices.begin(), choices.end()}};
}

/// Whether a field has an effect, given the fields before it, and when it has, in words.
struct Condition {
  bool holds = true;
  std::string text;  ///< completes "applies only when ..."; empty: always
};

inline Condition only_if(bool holds, std::string text) { return {holds, std::move(text)}; }

}  // namespace dragoman
