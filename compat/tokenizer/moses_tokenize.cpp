#include <algorithm>
#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/tokenizer/byte_characters.h"
#include "compat/tokenizer/moses.h"
#include "compat/tokenizer/python_text.h"

namespace compat {
namespace {

constexpr std::string_view kDots = "DOTMULTI";  ///< sacremoses' word for a run of dots.

std::string encoded(std::u32string_view codes) {
  std::string text;
  text.reserve(codes.size());
  for (const char32_t code : codes) append_utf8(code, text);
  return text;
}

/// A place in a pattern of three characters: the middle one is fixed, the others have a rule each.
using Rule = std::function<bool(char32_t)>;

/// Replaces LEFT MIDDLE RIGHT by LEFT + `between` + RIGHT, from left to right; what was replaced is
/// not looked at again, as in Python's re.sub.
void part_at(std::u32string& text, char32_t middle, const Rule& left, const Rule& right,
             std::u32string_view between) {
  if (text.find(middle) == std::u32string::npos) return;
  std::u32string out;
  std::size_t i = 0;
  while (i < text.size())
    if (i + 2 < text.size() && text[i + 1] == middle && left(text[i]) && right(text[i + 2])) {
      out += text[i];
      out += between;
      out += text[i + 2];
      i += 3;
    } else {
      out += text[i++];
    }
  text = std::move(out);
}

class Pass {
 public:
  Pass(const MosesTables& tables, const std::string& language, const MosesOptions& options)
      : tables_(tables), language_(language), options_(options) {}

  std::string run(std::string_view text) const {
    const std::string clean = without_junk(single_spaces(text));
    if (clean.find(kDots) != std::string::npos)
      throw UnsupportedError("the text holds the word " + std::string(kDots) +
                             ", which --tokenizer moses uses for itself");
    std::u32string codes = code_points_of(strip(clean));
    codes = apart(codes);
    part_commas(codes);
    part_apostrophes(codes);
    std::string words(strip(single_spaces(with_full_stops(encoded(codes)))));
    if (words.ends_with(".'")) words.replace(words.size() - 2, 2, " . ' ");
    return finished(words);
  }

 private:
  static std::string without_junk(std::string text) {
    std::erase_if(text, [](char c) { return c >= 0 && c < 0x20; });
    return text;
  }

  bool alpha(char32_t c) const { return tables_.alpha.contains(c); }
  bool alnum(char32_t c) const { return tables_.alnum.contains(c); }
  bool number(char32_t c) const { return tables_.number.contains(c); }

  /// Sets signs, dashes within words and runs of dots apart.
  std::u32string apart(const std::u32string& text) const {
    std::u32string signs;
    for (const char32_t c : text) {
      const bool stays =
          alnum(c) || c == ' ' || c == '.' || c == '\'' || c == '`' || c == ',' || c == '-';
      signs += stays ? std::u32string(1, c) : U" " + std::u32string(1, c) + U" ";
    }
    std::u32string out;
    for (std::size_t i = 0; i < signs.size();) {
      const char32_t c = signs[i];
      std::size_t end = i + 1;
      if (c == '-' && options_.dash_splits && i > 0 && alnum(signs[i - 1]) &&
          i + 1 < signs.size() && alnum(signs[i + 1])) {
        out += U" @-@ ";
      } else if (c == '.' && end < signs.size() && signs[end] == '.') {
        while (end < signs.size() && signs[end] == '.') ++end;
        out += dots(end - i);
        if (end < signs.size()) out += ' ';
      } else {
        out += c;
      }
      i = end;
    }
    return out;
  }

  /// What sacremoses puts in the place of `count` dots.
  static std::u32string dots(std::size_t count) {
    std::u32string word = U" ";
    for (std::size_t i = 1; i < count; ++i) word += U"DOT";
    return word + U"DOTMULTI";
  }

  void part_commas(std::u32string& text) const {
    if (text.find(U',') == std::u32string::npos) return;
    std::u32string out;
    for (std::size_t i = 0; i < text.size();)  // after what is no number
      if (i + 1 < text.size() && text[i + 1] == ',' && !number(text[i])) {
        out += text[i];
        out += U" , ";
        i += 2;
      } else {
        out += text[i++];
      }
    text = std::move(out);
    out.clear();
    for (std::size_t i = 0; i < text.size();)  // before what is no number
      if (i + 1 < text.size() && text[i] == ',' && !number(text[i + 1])) {
        out += U" , ";
        out += text[i + 1];
        i += 2;
      } else {
        out += text[i++];
      }
    text = std::move(out);
    if (text.size() >= 2 && text.back() == ',' && number(text[text.size() - 2]))
      text.replace(text.size() - 1, 1, U" , ");
  }

  void part_apostrophes(std::u32string& text) const {
    const Rule letter = [this](char32_t c) { return alpha(c); },
               other = [this](char32_t c) { return !alpha(c); },
               sign = [this](char32_t c) { return !alpha(c) && !number(c); },
               digit = [this](char32_t c) { return number(c); },
               small_s = [](char32_t c) { return c == 's'; };
    const auto part = [&](const Rule& left, const Rule& right, std::u32string_view between) {
      part_at(text, '\'', left, right, between);
    };
    if (language_ == "en") {
      part(other, other, U" ' ");
      part(sign, letter, U" ' ");
      part(letter, other, U" ' ");
      part(letter, letter, U" '");
      part(digit, small_s, U" '");
    } else if (language_ == "fr" || language_ == "it") {
      part(other, other, U" ' ");
      part(other, letter, U" ' ");
      part(letter, other, U" ' ");
      part(letter, letter, U"' ");
    } else {
      std::u32string out;
      for (const char32_t c : text) out += c == '\'' ? U" ' " : std::u32string(1, c);
      text = std::move(out);
    }
  }

  /// Sets a full stop at a word's end apart, unless the word is an abbreviation or a small letter
  /// follows.
  std::string with_full_stops(const std::string& text) const {
    const std::vector<std::string_view> words = split_whitespace(text);
    std::string out;
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (i > 0) out += ' ';
      const std::string_view word = words[i];
      if (word.size() < 2 || word.back() != '.' ||
          keeps_stop(std::string(word.substr(0, word.size() - 1)),
                     i + 1 < words.size() ? words[i + 1] : std::string_view()))
        out += word;
      else
        out.append(word.substr(0, word.size() - 1)).append(" .");
    }
    return out;
  }

  bool keeps_stop(const std::string& word, std::string_view next) const {
    const auto any_letter = [&] {
      for (const char32_t c : code_points_of(word))
        if (alpha(c)) return true;
      return false;
    };
    if (word.find('.') != std::string::npos && any_letter()) return true;
    const bool before_digits = tables_.numeric_prefixes.contains(word);
    if (tables_.prefixes.contains(word) && !before_digits) return true;
    if (next.empty()) return false;
    if (tables_.lower.contains(code_point(next, std::max<std::size_t>(utf8_length(next), 1))))
      return true;
    return before_digits && next.front() >= '0' && next.front() <= '9';
  }

  /// With dots in the place of their words, and signs of XML escaped.
  std::string finished(std::string_view text) const {
    static constexpr std::array<std::pair<char, std::string_view>, 8> kEscaped{{{'&', "&amp;"},
                                                                                {'|', "&#124;"},
                                                                                {'<', "&lt;"},
                                                                                {'>', "&gt;"},
                                                                                {'\'', "&apos;"},
                                                                                {'"', "&quot;"},
                                                                                {'[', "&#91;"},
                                                                                {']', "&#93;"}}};
    std::string out;
    while (!text.empty()) {
      std::size_t dots = 0;
      while (text.substr(3 * dots).starts_with("DOT") && !text.substr(3 * dots).starts_with(kDots))
        ++dots;
      if (dots > 0) {
        const bool run = text.substr(3 * dots).starts_with(kDots);
        out += run ? std::string(dots + 1, '.') : std::string(text.substr(0, 3 * dots));
        text.remove_prefix(3 * dots + (run ? kDots.size() : 0));
        continue;
      }
      const auto found =
          std::ranges::find(kEscaped, text.front(), &std::pair<char, std::string_view>::first);
      if (options_.escape && found != kEscaped.end())
        out += found->second;
      else
        out += text.front();
      text.remove_prefix(1);
    }
    return out;
  }

  const MosesTables& tables_;
  const std::string& language_;
  const MosesOptions& options_;
};

}  // namespace

std::string moses_tokenize(std::string_view text, const MosesTables& tables,
                           const std::string& language, const MosesOptions& options) {
  return Pass(tables, language, options).run(text);
}

}  // namespace compat
