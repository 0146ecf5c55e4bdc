// The terms that the cluster model counts in a document.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace btm {

enum class TermRule : std::uint32_t {
  /// c-BTM's terms (scikit-learn's TfidfVectorizer without numbers), in lower case: runs of two and
  /// more letters, digits and underscores that do not begin with a digit. Bytes beyond ASCII are
  /// letters and keep their case.
  kWords = 0,
  /// The tokens of tokenized text, separated by white space.
  kPieces = 1,
  /// Those of c-BTM's own vectoriser, by Python's rules: lower(), then runs of two and more \w; one
  /// whose first character isdigit() is "#NUMBER".
  kPythonWords = 2,
};

/// Whether the terms are words of text, which a data-bin's pieces have to be joined to.
constexpr bool is_of_words(TermRule rule) { return rule != TermRule::kPieces; }

void for_each_term(std::string_view document, TermRule rule,
                   const std::function<void(std::string_view term)>& visit);

}  // namespace btm
