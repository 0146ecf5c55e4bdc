#include "compat/tokenizer/fastbpe.h"

#include <functional>
#include <limits>
#include <queue>
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

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

/// What the codes say of a pair: its place among the lines, and the number of the joined symbol.
struct Code {
  std::uint32_t rank = kNone, joined = kNone;
};

struct Tables {
  std::unordered_map<std::string, std::uint32_t> numbers;  ///< Of all symbols in the codes.
  std::unordered_map<std::uint64_t, Code> codes;           ///< By key_of(LEFT, RIGHT).
  std::unordered_map<std::string, std::pair<std::string, std::string>> parts;  ///< By LEFTRIGHT.
  std::unordered_set<std::string> vocabulary;  ///< Symbols as they are written; may be empty.

  static std::uint64_t key_of(std::uint32_t left, std::uint32_t right) {
    return (std::uint64_t{left} << 32) | right;
  }
  std::uint32_t number_of_new(const std::string& symbol) {
    return numbers.emplace(symbol, static_cast<std::uint32_t>(numbers.size())).first->second;
  }
  /// kNone for a symbol that no code has.
  std::uint32_t number_of(const std::string& symbol) const {
    const auto found = numbers.find(symbol);
    return found == numbers.end() ? kNone : found->second;
  }
  Code code_of(std::uint32_t left, std::uint32_t right) const {
    const auto found = codes.find(key_of(left, right));
    return found == codes.end() ? Code{} : found->second;
  }
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
        const auto rank = static_cast<std::uint32_t>(tables->codes.size());
        const auto key =
            Tables::key_of(tables->number_of_new(words[0]), tables->number_of_new(words[1]));
        const Code code{rank, tables->number_of_new(words[0] + words[1])};
        return tables->codes.emplace(key, code).second &&
               tables->parts.emplace(words[0] + words[1], std::pair(words[0], words[1])).second;
      });
  if (tables->codes.empty())
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

/// Merges the pair of the lowest rank, wherever it is in a word, until no pair has a rank.
/// O(n log n) for n characters: the pieces are a linked list, and a heap has the pairs by rank and
/// then from left to right.
class Merging {
 public:
  /// `characters` outlives this.
  Merging(const Tables& tables, const Pieces& characters)
      : tables_(tables), characters_(characters), pieces_(characters.size()) {
    for (std::size_t i = 0; i < pieces_.size(); ++i)
      pieces_[i] = {tables.number_of(characters[i]), {}, i - 1, i + 1};  // before 0: kNowhere
    for (std::size_t i = 0; i < pieces_.size(); ++i) add_pair(i);
    while (!pairs_.empty()) merge_best();
  }

  Pieces result() const {
    Pieces result;
    for (std::size_t i = 0; i < pieces_.size(); i = pieces_[i].next) {
      result.emplace_back();
      for (std::size_t k = i; k < pieces_[i].next; ++k) result.back() += characters_[k];
    }
    return result;
  }

 private:
  static constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();
  /// A piece is known by its first character. `pair` is the code of it and the next piece.
  struct Piece {
    std::uint32_t number = kNone;
    Code pair;
    std::size_t previous = kNowhere, next = 0;
  };
  using Pair = std::pair<std::uint32_t, std::size_t>;  ///< The rank and the left piece.

  void add_pair(std::size_t left) {
    const std::size_t right = pieces_[left].next;
    if (right >= pieces_.size()) return;
    pieces_[left].pair = tables_.code_of(pieces_[left].number, pieces_[right].number);
    if (pieces_[left].pair.rank != kNone) pairs_.emplace(pieces_[left].pair.rank, left);
  }

  /// Merges all pairs of the lowest rank before it looks at the new pairs, as fastBPE does: a new
  /// pair may have a lower rank.
  void merge_best() {
    const std::uint32_t rank = pairs_.top().first;
    std::vector<std::size_t> merged;
    for (; !pairs_.empty() && pairs_.top().first == rank; pairs_.pop()) {
      const std::size_t left = pairs_.top().second;
      if (pieces_[left].pair.rank != rank) continue;  // a merge took one of its pieces
      merge(left);
      merged.push_back(left);
    }
    for (const std::size_t left : merged) {
      add_pair(left);
      if (pieces_[left].previous != kNowhere) add_pair(pieces_[left].previous);
    }
  }

  void merge(std::size_t left) {
    Piece& piece = pieces_[left];
    Piece& right = pieces_[piece.next];
    piece.number = piece.pair.joined;
    piece.next = right.next;
    piece.pair = right.pair = {};
    if (piece.next < pieces_.size()) pieces_[piece.next].previous = left;
    if (piece.previous != kNowhere) pieces_[piece.previous].pair = {};
  }

  const Tables& tables_;
  const Pieces& characters_;
  std::vector<Piece> pieces_;
  std::priority_queue<Pair, std::vector<Pair>, std::greater<>> pairs_;
};

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
    pieces = Merging(*tables_, pieces).result();
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
