#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/tokenizer/moses.h"
#include "compat/tokenizer/python_text.h"

namespace compat {
namespace {

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out;
  for (std::size_t at; (at = text.find(what)) != std::string_view::npos;) {
    out.append(text.substr(0, at)).append(by);
    text.remove_prefix(at + what.size());
  }
  return out.append(text);
}

std::string unescaped(std::string text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kNames{
      {{"&bar;", "|"},
       {"&#124;", "|"},
       {"&lt;", "<"},
       {"&gt;", ">"},
       {"&bra;", "["},
       {"&ket;", "]"},
       {"&quot;", "\""},
       {"&apos;", "'"},
       {"&#91;", "["},
       {"&#93;", "]"},
       {"&amp;", "&"}}};
  if (text.find('&') == std::string::npos) return text;
  for (const auto& [name, sign] : kNames) text = replaced(text, name, sign);
  return text;
}

/// As sacremoses has it: the ends of a block are not in it.
bool is_cjk(std::uint32_t code) {
  static constexpr std::pair<std::uint32_t, std::uint32_t> kBlocks[] = {
      {0x1100, 0x11FF},   {0x2E80, 0xA4CF},   {0xA840, 0xA87F},  {0xAC00, 0xD7AF},
      {0xF900, 0xFAFF},   {0xFE30, 0xFE4F},   {0xFF65, 0xFFDC},  {0x17000, 0x18AFF},
      {0x1B000, 0x1B12F}, {0x1B170, 0x1B2FF}, {0x20000, 0x2FFFF}};
  for (const auto& [first, last] : kBlocks)
    if (code < last) return code > first;
  return false;
}

using Codes = std::u32string;

template <class Predicate>
bool all(const Codes& codes, Predicate&& predicate) {
  return !codes.empty() && std::ranges::all_of(codes, predicate);
}

bool is_one_of(std::uint32_t code, std::u32string_view signs) {
  return signs.find(static_cast<char32_t>(code)) != std::u32string_view::npos;
}

bool is_number(const Codes& codes) {
  return all(codes, [](std::uint32_t c) { return c >= '0' && c <= '9'; });
}

/// Joins tokens one after the other.
class Joining {
 public:
  Joining(std::vector<std::string_view> words, const MosesTables& tables,
          const std::string& language)
      : words_(std::move(words)), tables_(tables), language_(language) {
    for (const std::string_view word : words_) codes_.push_back(code_points_of(word));
  }

  std::string run() {
    for (std::size_t i = 0; i < words_.size(); ++i) i += add(i);
    return std::move(text_);
  }

 private:
  /// With a space before it where the last word allows one, and whether the next one may have one.
  void put(std::string_view word, bool space_after) {
    text_.append(space_ ? " " : "").append(word);
    space_ = space_after;
  }
  void glue(std::string_view word) {
    text_ += word;
    space_ = true;
  }

  bool letter(std::size_t i, bool at_end) const {
    if (i >= codes_.size()) return false;
    return tables_.plain_alpha.contains(at_end ? codes_[i].back() : codes_[i].front());
  }

  /// Adds word `i`. Returns how many words after it are added, too.
  std::size_t add(std::size_t i) {
    const std::string_view word = words_[i];
    const Codes& codes = codes_[i];
    const auto currency = [&](std::uint32_t c) {
      return tables_.currency.contains(c) || is_one_of(c, U"([{\u00BF\u00A1");
    };
    const auto stop = [](std::uint32_t c) { return is_one_of(c, U",.?!:;\\%}])"); };
    const auto quote = [](std::uint32_t c) { return is_one_of(c, U"'\"\u201E\u201C`"); };
    if (is_cjk(codes.front()) && language_ != "ko") {
      if (i > 0 && is_cjk(codes_[i - 1].back()))
        glue(word);
      else
        put(word, true);
    } else if (all(codes, currency)) {
      put(word, false);
    } else if (all(codes, stop)) {
      if (language_ == "fr" && codes.size() == 1 && is_one_of(codes.front(), U"?!:;\\%"))
        text_ += ' ';
      glue(word);
    } else if (language_ == "en" && i > 0 && codes.size() > 1 && codes.front() == '\'' &&
               tables_.plain_alpha.contains(codes[1])) {
      glue(word);
    } else if (continues_czech_number(i)) {
      glue(word);
    } else if (is_french(language_) && ends_in_apostrophe(i) && letter(i + 1, false)) {
      put(word, false);
    } else if (is_czech_compound(i)) {
      put(word, false);
      text_ += words_[i + 1];
      return 1;
    } else if (all(codes, quote)) {
      add_quote(i);
    } else {
      put(word, true);
    }
    return 0;
  }

  static bool is_french(const std::string& language) {
    return language == "fr" || language == "it" || language == "ga";
  }

  bool ends_in_apostrophe(std::size_t i) const {
    const Codes& codes = codes_[i];
    return codes.size() > 1 && codes.back() == '\'' &&
           tables_.plain_alpha.contains(codes[codes.size() - 2]);
  }

  /// sacremoses looks at the last two words of the text, not at those before.
  bool continues_czech_number(std::size_t i) const {
    if (language_ != "cs" || i < 2) return false;
    const Codes& last = codes_.back();
    return is_number(codes_[codes_.size() - 2]) && last.size() == 1 &&
           is_one_of(last.front(), U".,") && is_number(codes_[i]);
  }

  /// WORD' - li, WORD' - mail...
  bool is_czech_compound(std::size_t i) const {
    if (language_ != "cs" || i + 2 >= words_.size() || !ends_in_apostrophe(i)) return false;
    const Codes& dash = codes_[i + 1];
    const std::string next = python_lower(words_[i + 2]);
    return dash.size() == 1 && is_one_of(dash.front(), U"-\u2013") &&
           (next == "li" || next.starts_with("mail"));
  }

  /// The first quotation mark of its kind belongs to the next word, the second to the word before.
  void add_quote(std::size_t i) {
    const std::string_view word = words_[i];
    const bool curly =
        all(codes_[i], [](std::uint32_t c) { return is_one_of(c, U"\u201E\u201C\u201D"); });
    int& count = quotes_[curly ? "\"" : std::string(word)];
    if (language_ == "cs" && word == "\u201E") count = 0;
    if (language_ == "cs" && word == "\u201C") count = 1;
    if (count % 2 != 0) {
      glue(word);
      ++count;
    } else if (language_ == "en" && word == "'" && i > 0 && words_[i - 1].ends_with('s')) {
      glue(word);  // The Jones' house
    } else {
      put(word, false);
      ++count;
    }
  }

  std::vector<std::string_view> words_;
  std::vector<Codes> codes_;
  const MosesTables& tables_;
  const std::string& language_;
  std::string text_;
  bool space_ = true;
  std::map<std::string, int> quotes_;
};

/// Each run of spaces as one.
std::string with_one_space(std::string text) {
  text.erase(
      std::unique(text.begin(), text.end(), [](char a, char b) { return a == ' ' && b == ' '; }),
      text.end());
  return text;
}

}  // namespace

std::string moses_detokenize(std::string_view tokens, const MosesTables& tables,
                             const std::string& language) {
  std::string text = " ";
  for_each_word(tokens, [&](std::string_view word) { text.append(word).append(" "); });
  if (text.size() == 1) text += ' ';
  text = unescaped(replaced(text, " @-@ ", "-"));
  return std::string(
      strip(with_one_space(Joining(split_whitespace(text), tables, language).run())));
}

}  // namespace compat
