// GPT-2's byte-level BPE. Text is split into words (gpt2_words.h). The bytes of a word are merged
// in the order of vocab.bpe.
#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <queue>
#include <unordered_map>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/tokenizer/gpt2_words.h"
#include "compat/tokenizer/token_cache.h"
#include "compat/tokenizer/tokenizer.h"

namespace compat {
namespace {

constexpr std::int32_t kMaxId = 1 << 24;
constexpr std::uint32_t kNoMerge = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t kStale =
    kNoMerge - 1;  ///< The rank must be looked up again after this round of merges.
constexpr std::size_t kShortWord =
    128;  ///< Up to this many bytes, plain scans are faster than a heap.
constexpr std::size_t kLongestWord = std::size_t{1}
                                     << 24;  ///< A word takes about 80 bytes of memory per byte.

struct Merge {
  std::uint32_t rank = kNoMerge;
  std::int32_t id = -1;
};

/// Maps a pair of token ids to its merge. Open addressing; filled once.
class MergeTable {
 public:
  explicit MergeTable(std::size_t count) {
    std::size_t size = 64;
    while (size < count * 2) size *= 2;
    slots_.resize(size);
  }
  Merge find(std::int32_t left, std::int32_t right) const noexcept {
    return slots_[position(key_of(left, right))].merge;
  }
  /// Adds a merge. For a pair that occurs twice the last rank counts, as in Python's dict.
  void put(std::int32_t left, std::int32_t right, Merge merge) {
    const std::uint64_t key = key_of(left, right);
    slots_[position(key)] = {key, merge};
  }

 private:
  struct Slot {
    std::uint64_t key = UINT64_MAX;
    Merge merge;
  };
  static std::uint64_t key_of(std::int32_t left, std::int32_t right) noexcept {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t position(std::uint64_t key) const noexcept {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = static_cast<std::size_t>((key * 0x9E3779B97F4A7C15) >> 20) & mask;
    while (slots_[at].key != key && slots_[at].key != UINT64_MAX) at = (at + 1) & mask;
    return at;
  }
  std::vector<Slot> slots_;
};

struct Gpt2Tables {
  std::array<std::int32_t, 256> byte_ids{};
  MergeTable merges{0};
  std::vector<std::string> bytes;  ///< The bytes of each id. Empty for an unused id.
  std::unordered_map<std::string, std::int32_t> ids;
};

/// The bytes for which the characters of `token` stand. `token` itself when a character stands for
/// none.
std::string bytes_of(std::string_view token,
                     const std::unordered_map<std::string_view, char>& byte_of) {
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const auto first = static_cast<unsigned char>(token[at]);
    const std::size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    const auto found = byte_of.find(token.substr(at, size));
    if (found == byte_of.end()) return std::string(token);
    bytes += found->second;
    at += size;
  }
  return bytes;
}

void read_encoder(const std::filesystem::path& path, Gpt2Tables& tables) {
  const auto file = MappedFile::open(path);
  const auto refuse = [&](const std::string& problem) {
    throw FormatError({file->path(), {}, {}}, problem);
  };
  const auto json =
      parse_json_object(as_chars(file->bytes()), {file->path(), {}, {}}, "GPT-2's encoder.json");
  const auto characters = gpt2_byte_characters();
  std::unordered_map<std::string_view, char> byte_of;
  for (std::size_t byte = 0; byte < 256; ++byte)
    byte_of.emplace(characters[byte], static_cast<char>(byte));
  for (const auto& [token, value] : json.items()) {
    if (token.empty() || !value.is_number_integer() || value.get<std::int64_t>() < 0 ||
        value.get<std::int64_t>() >= kMaxId)
      refuse("the token '" + printable(token) + "' has the id " + printable(value.dump()) +
             ", expected 0 to 16777215");
    const auto id = value.get<std::int32_t>();
    if (tables.bytes.size() <= static_cast<std::size_t>(id))
      tables.bytes.resize(static_cast<std::size_t>(id) + 1);
    std::string& bytes = tables.bytes[static_cast<std::size_t>(id)];
    if (!bytes.empty()) refuse(concat("two tokens have the id ", id));
    bytes = bytes_of(token, byte_of);
    tables.ids.emplace(token, id);
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto found = tables.ids.find(characters[byte]);
    if (found == tables.ids.end())
      refuse(concat("no token for the byte ", byte, " ('", characters[byte], "')"));
    tables.byte_ids[byte] = found->second;
  }
}

void read_merges(const std::filesystem::path& path, Gpt2Tables& tables) {
  const std::vector<Gpt2Merge> merges = read_gpt2_merges(path);
  tables.merges = MergeTable(merges.size());
  for (const Gpt2Merge& merge : merges) {
    const auto id_of = [&](const std::string& token) {
      const auto found = tables.ids.find(token);
      if (found == tables.ids.end())
        throw FormatError({path.string(), concat("line ", merge.line), {}},
                          "the token '" + printable(token) + "' is not in encoder.json");
      return found->second;
    };
    const std::int32_t left = id_of(merge.left), right = id_of(merge.right);
    tables.merges.put(left, right, {merge.line, id_of(merge.left + merge.right)});
  }
}

class Gpt2Bpe final : public Tokenizer {
 public:
  explicit Gpt2Bpe(std::shared_ptr<const Gpt2Tables> tables) : tables_(std::move(tables)) {}

  std::unique_ptr<Tokenizer> clone() const override { return std::make_unique<Gpt2Bpe>(tables_); }

  void encode(std::string_view text, Tokens& out) override {
    while (!text.empty()) {
      const std::string_view word = text.substr(0, gpt2_word_length(text));
      text.remove_prefix(word.size());
      cache_.append(word, out.ids, [this](std::string_view one, std::vector<std::int32_t>& ids) {
        append_merged(one, ids);
      });
    }
  }

  std::int32_t size() const noexcept override {
    return static_cast<std::int32_t>(tables_->bytes.size());
  }
  std::int32_t unknown_id() const noexcept override { return -1; }

  std::string symbol(std::int32_t id) const override {
    return tables_->bytes[static_cast<std::size_t>(id)].empty() ? "" : std::to_string(id);
  }

  std::string symbol_of_special(const std::string& name) const override {
    const auto found = tables_->ids.find(name);
    return found == tables_->ids.end() ? name : std::to_string(found->second);
  }

  std::string decode(std::span<const std::string_view> symbols) const override;

 private:
  void append_merged(std::string_view word, std::vector<std::int32_t>& out) const {
    if (word.size() > kLongestWord)
      throw UnsupportedError(
          concat("a word of ", word.size(),
                 " bytes (the longest that GPT-2's BPE takes here: ", kLongestWord, ')'));
    if (word.size() <= kShortWord)
      merge_short(word, out);
    else
      merge_long(word, out);
  }

  void merge_short(std::string_view word, std::vector<std::int32_t>& out) const;
  void merge_long(std::string_view word, std::vector<std::int32_t>& out) const;

  std::shared_ptr<const Gpt2Tables> tables_;
  TokenCache cache_;
};

/// In each round, all places of the pair that comes first in vocab.bpe become one token, from left
/// to right.
void Gpt2Bpe::merge_short(std::string_view word, std::vector<std::int32_t>& out) const {
  std::array<std::int32_t, kShortWord> ids;
  std::array<Merge, kShortWord> merges;  // merges[i] is that of the pair (i, i + 1)
  std::size_t count = word.size();
  for (std::size_t i = 0; i < count; ++i)
    ids[i] = tables_->byte_ids[static_cast<unsigned char>(word[i])];
  for (std::size_t i = 0; i + 1 < count; ++i) merges[i] = tables_->merges.find(ids[i], ids[i + 1]);
  while (count > 1) {
    std::uint32_t best = kNoMerge;
    for (std::size_t i = 0; i + 1 < count; ++i) best = std::min(best, merges[i].rank);
    if (best == kNoMerge) break;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++kept) {
      if (i + 1 < count && merges[i].rank == best) {
        ids[kept] = merges[i].id;
        merges[kept].rank = kStale;
        if (kept > 0) merges[kept - 1].rank = kStale;
        i += 2;
      } else {
        ids[kept] = ids[i];
        merges[kept] = merges[i];
        ++i;
      }
    }
    count = kept;
    for (std::size_t i = 0; i + 1 < count; ++i)
      if (merges[i].rank == kStale) merges[i] = tables_->merges.find(ids[i], ids[i + 1]);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
}

/// The same rounds in O(n log n), with a heap of pairs and a linked list of tokens.
void Gpt2Bpe::merge_long(std::string_view word, std::vector<std::int32_t>& out) const {
  struct Node {
    std::int32_t id;
    std::uint32_t previous, next;
  };
  struct Pair {
    std::uint32_t rank, at;
    std::int32_t left, right, merged;
    bool operator>(const Pair& other) const noexcept {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const auto end = static_cast<std::uint32_t>(word.size());
  std::vector<Node> nodes(end);
  for (std::uint32_t i = 0; i < end; ++i)
    nodes[i] = {tables_->byte_ids[static_cast<unsigned char>(word[i])], i - 1, i + 1};
  std::priority_queue<Pair, std::vector<Pair>, std::greater<>> pairs;
  const auto push = [&](std::uint32_t at) {
    if (at >= end || nodes[at].next >= end)
      return;  // previous of the first node wraps round beyond end
    const std::int32_t left = nodes[at].id, right = nodes[nodes[at].next].id;
    const Merge merge = tables_->merges.find(left, right);
    if (merge.rank != kNoMerge) pairs.push({merge.rank, at, left, right, merge.id});
  };
  for (std::uint32_t i = 0; i + 1 < end; ++i) push(i);
  std::vector<std::uint32_t> merged;
  while (!pairs.empty()) {
    // New pairs wait for the end of the round. A pair of a lower rank can so not be merged between
    // two places of this pair.
    merged.clear();
    for (const std::uint32_t rank = pairs.top().rank; !pairs.empty() && pairs.top().rank == rank;
         pairs.pop()) {
      const Pair& pair = pairs.top();
      Node& node = nodes[pair.at];
      if (node.id != pair.left || node.next >= end || nodes[node.next].id != pair.right) continue;
      nodes[node.next].id = -1;
      node.id = pair.merged;
      node.next = nodes[node.next].next;
      if (node.next < end) nodes[node.next].previous = pair.at;
      merged.push_back(pair.at);
    }
    for (const std::uint32_t at : merged) push(nodes[at].previous), push(at);
  }
  for (std::uint32_t at = 0; at < end; at = nodes[at].next) out.push_back(nodes[at].id);
}

/// `bytes` as Python's bytes.decode(errors="replace").
std::string with_replacements(std::string_view bytes) {
  std::string text;
  while (true) {
    const std::size_t bad = first_invalid_utf8(bytes);
    text += bytes.substr(0, bad);
    if (bad == std::string_view::npos) return text;
    bytes.remove_prefix(bad);
    // One U+FFFD for the longest part that begins a character, or for one byte.
    const auto byte = [&](std::size_t i) {
      return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U;
    };
    const unsigned first = byte(0), second = byte(1);
    const bool starts =
        (first == 0xE0 && second >= 0xA0 && second < 0xC0) ||
        (first == 0xED && second >= 0x80 && second < 0xA0) ||
        (first > 0xE0 && first < 0xF0 && first != 0xED && second >= 0x80 && second < 0xC0) ||
        (first == 0xF0 && second >= 0x90 && second < 0xC0) ||
        (first == 0xF4 && second >= 0x80 && second < 0x90) ||
        (first > 0xF0 && first < 0xF4 && second >= 0x80 && second < 0xC0);
    const std::size_t cut = !starts                                              ? 1
                            : first >= 0xF0 && byte(2) >= 0x80 && byte(2) < 0xC0 ? 3
                                                                                 : 2;
    bytes.remove_prefix(cut);
    text += "\xEF\xBF\xBD";
  }
}

std::string Gpt2Bpe::decode(std::span<const std::string_view> symbols) const {
  std::string bytes;
  for (const std::string_view symbol : symbols) {
    const std::int32_t id = number_of<std::int32_t>(symbol).value_or(-1);
    const bool known =
        id >= 0 && id < size() && !tables_->bytes[static_cast<std::size_t>(id)].empty();
    bytes += known ? tables_->bytes[static_cast<std::size_t>(id)] : symbol;
  }
  return with_replacements(bytes);
}

}  // namespace

std::vector<Gpt2Merge> read_gpt2_merges(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  std::string_view text = as_chars(file->bytes());
  text = text.substr(0, std::min(text.size(), text.rfind('\n') + 1));
  std::vector<Gpt2Merge> merges;
  std::uint32_t number = 0;
  for (; !text.empty(); text.remove_prefix(text.find('\n') + 1)) {
    std::string_view line = text.substr(0, text.find('\n'));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (++number == 1 || line.empty()) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
      throw FormatError({file->path(), concat("line ", number), {}},
                        "'" + printable(line) + "', expected two tokens as in GPT-2's vocab.bpe");
    merges.push_back(
        {std::string(line.substr(0, space)), std::string(line.substr(space + 1)), number});
  }
  if (merges.empty())
    throw FormatError({file->path(), {}, {}}, "no merges, expected GPT-2's vocab.bpe");
  return merges;
}

std::unique_ptr<Tokenizer> load_gpt2_bpe(const std::filesystem::path& encoder_json,
                                         const std::filesystem::path& vocab_bpe) {
  auto tables = std::make_shared<Gpt2Tables>();
  read_encoder(encoder_json, *tables);
  read_merges(vocab_bpe, *tables);
  return std::make_unique<Gpt2Bpe>(std::move(tables));
}

}  // namespace compat
