#include "btm/cluster/terms.h"

#include <string>

#include "compat/base/code_points.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/tokenizer/python_text.h"

namespace btm {
namespace {

bool is_word_byte(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c >= 0x80;
}

void for_each_word(std::string_view document, const std::function<void(std::string_view)>& visit) {
  std::string word;
  for (std::size_t from = 0; from < document.size();) {
    if (!is_word_byte(static_cast<unsigned char>(document[from]))) {
      ++from;
      continue;
    }
    std::size_t to = from;
    word.clear();
    for (; to < document.size() && is_word_byte(static_cast<unsigned char>(document[to])); ++to) {
      const char c = document[to];
      word += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    if (compat::code_points(word) >= 2 && !(word[0] >= '0' && word[0] <= '9')) visit(word);
    from = to;
  }
}

void for_each_python_term(std::string_view document,
                          const std::function<void(std::string_view)>& visit) {
  const std::string lower = compat::python_lower(document);
  compat::for_each_python_word(lower, [&](std::string_view word) {
    const std::uint32_t first = compat::code_point(word, compat::utf8_length(word));
    visit(compat::python_is_digit(first) ? std::string_view("#NUMBER") : word);
  });
}

}  // namespace

void for_each_term(std::string_view document, TermRule rule,
                   const std::function<void(std::string_view term)>& visit) {
  if (rule == TermRule::kWords) return for_each_word(document, visit);
  if (rule == TermRule::kPythonWords) return for_each_python_term(document, visit);
  for (const std::string_view piece : compat::split_whitespace(document)) visit(piece);
}

}  // namespace btm
