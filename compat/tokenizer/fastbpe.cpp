#include "compat/tokenizer/fastbpe.h"

#include <limits>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/mapped_file.h"

namespace compat {
namespace {

constexpr std::string_view kEndOfWord = "</w>", kContinues = "@@";

struct Tables {
  std::unordered_map<std::string, std::uint32_t> ranks;                        ///< By "LEFT RIGHT".
  std::unordered_map<std::string, std::pair<std::string, std::string>> parts;  ///< By LEFTRIGHT.
  std::unordered_set<std::string> vocabulary;  ///< Symbols as they are written; may be empty.
};

/// Calls `visit(words)` for every line; the words are those between single spaces or more.
template <class Visit>
void for_each_line(const MappedFile& file, std::size_t words, std::string_view expected,
                   Visit&& visit) {
  std::string_view text = as_chars(file.bytes());
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    std::vector<std::string> found;
    while (!line.empty()) {
      const std::size_t end = std::min(line.find(' '), line.size());
      if (end > 0) found.emplace_back(line.substr(0, end));
      line.remove_prefix(std::min(line.size(), end + 1));
    }
    const Location where{file.path(), concat("line ", number), {}};
    if (found.size() != words || !number_of<std::int64_t>(found.back()))
      throw FormatError(where, concat("has ", found.size(), " words, expected ", expected));
    if (!visit(found)) throw FormatError(where, "repeats '" + printable(found[0]) + "'");
  }
}

std::shared_ptr<const Tables> read_tables(const std::filesystem::path& codes,
                                          const std::filesystem::path& vocabulary) {
  auto tables = std::make_shared<Tables>();
  const auto file = MappedFile::open(codes);
  if (first_invalid_utf8(as_chars(file->bytes())) != std::string_view::npos)
    throw FormatError({file->path(), {}, {}}, "is not UTF-8, expected codes of fastBPE");
  for_each_line(
      *file, 3, "two symbols and a count, as in codes of fastBPE",
      [&](const std::vector<std::string>& words) {
        const auto rank = static_cast<std::uint32_t>(tables->ranks.size());
        return tables->ranks.emplace(words[0] + ' ' + words[1], rank).second &&
               tables->parts.emplace(words[0] + words[1], std::pair(words[0], words[1])).second;
      });
  if (tables->ranks.empty())
    throw FormatError({file->path(), {}, {}}, "no merges, expected codes of fastBPE");
  if (!vocabulary.empty())
    for_each_line(*MappedFile::open(vocabulary), 2, "a symbol and a count",
                  [&](const std::vector<std::string>& words) {
                    return tables->vocabulary.insert(words[0]).second;
                  });
  return tables;
}

using Pieces = std::vector<std::string>;

/// The characters of a word; the last one carries the end of the word.
Pieces characters_of(std::string_view word) {
  Pieces pieces;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '\0') {  // the library stops there, so that the rest stays with the last piece
      if (pieces.empty()) pieces.emplace_back();
      pieces.back() += word.substr(i);
      break;
    }
    if (pieces.empty() || (static_cast<unsigned char>(word[i]) & 0xC0) != 0x80)
      pieces.emplace_back();
    pieces.back() += word[i];
  }
  pieces.back() += kEndOfWord;
  return pieces;
}

/// Merges the pair of the lowest rank, wherever it is, until no pair has a rank.
void merge(const Tables& tables, Pieces& pieces) {
  while (pieces.size() > 1) {
    constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t best = kNone;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
      const auto found = tables.ranks.find(pieces[i] + ' ' + pieces[i + 1]);
      if (found != tables.ranks.end() && found->second < best) best = found->second, at = i;
    }
    if (best == kNone) return;
    const std::string left = pieces[at], right = pieces[at + 1];
    Pieces merged;
    for (std::size_t i = 0; i < pieces.size(); ++i)
      if (i + 1 < pieces.size() && pieces[i] == left && pieces[i + 1] == right)
        merged.push_back(left + right), ++i;
      else
        merged.push_back(pieces[i]);
    pieces = std::move(merged);
  }
}

/// A piece as it is written: without the end of the word, or with what says that the word goes on.
std::string written(const std::string& piece, bool is_last) {
  return is_last ? piece.substr(0, piece.size() - kEndOfWord.size())
                 : piece + std::string(kContinues);
}

/// Takes a piece that the vocabulary lacks apart, as it was merged, until the vocabulary has the
/// parts or they are characters.
void limit(const Tables& tables, const std::string& piece, bool is_last, Pieces& out) {
  // A part is shorter than its whole, so that a list of what is left replaces the recursion.
  std::vector<std::pair<std::string, bool>> left{{piece, is_last}};
  while (!left.empty()) {
    const auto [here, last] = std::move(left.back());
    left.pop_back();
    const auto parts = tables.parts.find(here);
    if (tables.vocabulary.contains(written(here, last)) || parts == tables.parts.end()) {
      out.push_back(here);
      continue;
    }
    left.emplace_back(parts->second.second, last);
    left.emplace_back(parts->second.first, false);
  }
}

class FastBpe final : public Tokenizer {
 public:
  explicit FastBpe(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}

  std::unique_ptr<Tokenizer> clone() const override { return std::make_unique<FastBpe>(tables_); }

  void encode(std::string_view text, Tokens& out) override {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find(' '), text.size());
      if (end > 0) encode_word(text.substr(0, end), out);
      text.remove_prefix(std::min(text.size(), end + 1));
    }
  }
  std::int32_t size() const noexcept override { return 1; }
  std::int32_t unknown_id() const noexcept override { return 0; }
  std::string symbol(std::int32_t) const override { return {}; }
  std::string symbol_of_special(const std::string& name) const override { return name; }
  std::optional<bool> writes(std::string_view symbol) const override {
    const bool continues = symbol.ends_with(kContinues);
    if (continues) symbol.remove_suffix(kContinues.size());
    const bool is_character = !symbol.empty() && utf8_length(symbol) == symbol.size();
    const std::string piece = std::string(symbol) + (continues ? "" : std::string(kEndOfWord));
    return is_character || tables_->parts.contains(piece);
  }
  std::string decode(std::span<const std::string_view> symbols) const override {
    std::string text;
    for (const std::string_view symbol : symbols) {
      const bool continues = symbol.ends_with(kContinues);
      text += continues ? symbol.substr(0, symbol.size() - kContinues.size()) : symbol;
      if (!continues) text += ' ';
    }
    while (text.ends_with(' ')) text.pop_back();
    return text;
  }

 private:
  static constexpr std::size_t kMostKept = std::size_t{1} << 16, kLongestKept = 64;

  void encode_word(std::string_view word, Tokens& out) {
    const std::string key(word);
    const auto found = kept_.find(key);
    const Pieces pieces = found == kept_.end() ? pieces_of(word) : found->second;
    for (const std::string& piece : pieces) {
      out.ids.push_back(0);
      out.unknown.push_back(piece);
    }
    if (found != kept_.end() || word.size() > kLongestKept) return;
    if (kept_.size() >= kMostKept) kept_.clear();
    kept_.emplace(key, pieces);
  }

  Pieces pieces_of(std::string_view word) const {
    Pieces pieces = characters_of(word);
    merge(*tables_, pieces);
    if (!tables_->vocabulary.empty()) {
      Pieces limited;
      for (std::size_t i = 0; i < pieces.size(); ++i)
        limit(*tables_, pieces[i], i + 1 == pieces.size(), limited);
      pieces = std::move(limited);
    }
    for (std::size_t i = 0; i < pieces.size(); ++i)
      pieces[i] = written(pieces[i], i + 1 == pieces.size());
    return pieces;
  }

  std::shared_ptr<const Tables> tables_;
  std::unordered_map<std::string, Pieces> kept_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_fastbpe(const std::filesystem::path& codes,
                                        const std::filesystem::path& vocabulary) {
  return std::make_unique<FastBpe>(read_tables(codes, vocabulary));
}

}  // namespace compat
