// How a raw line becomes the words that a metric counts. The names are those of sacreBLEU, and so
// is the outcome: a published score names its tokenizer, and the same name must mean the same
// words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dragoman {

/// Turns a UTF-8 line into its tokens, joined by one space each. No token holds white space, so a
/// substring from the start of one token to the end of another is an n-gram.
using Tokenizer = std::string (*)(std::string_view line);

/// Splits at white space only; for text that is already tokenised.
std::string tokenize_none(std::string_view line);

/// The tokenisation of NIST's mteval-v13a script, the default at WMT: undoes the four SGML
/// entities, splits ASCII punctuation from words, keeps full stops and commas inside numbers, and
/// splits a dash from a digit before it.
std::string tokenize_13a(std::string_view line);

/// The tokenisation of NIST's mteval-v14 script for any language: splits Unicode punctuation from
/// words unless it stands between digits, and every symbol. Entities stay as they are.
std::string tokenize_intl(std::string_view line);

/// For Chinese: each Chinese character, symbol or punctuation mark is a token, and the rest is
/// split as 13a splits it. Entities stay as they are.
std::string tokenize_zh(std::string_view line);

/// Every code point that is not white space is a token of its own.
std::string tokenize_char(std::string_view line);

/// The tokenizer of that name. Throws UsageError naming the valid ones.
Tokenizer find_tokenizer(std::string_view name);

/// The names that `find_tokenizer` knows, the default first.
std::vector<std::string> tokenizer_names();

/// How Tercom, the program that defined TER, prepares a line.
struct TercomOptions {
  bool normalized = false;      ///< undo SGML entities and split punctuation from words
  bool no_punct = false;        ///< leave punctuation out
  bool asian_support = false;   ///< do both for Chinese and Japanese too, and split characters
  bool case_sensitive = false;  ///< otherwise, everything is made lower case
};

/// The words of a line for TER, joined by one space each.
std::string tokenize_tercom(std::string_view line, const TercomOptions& options);

}  // namespace dragoman
