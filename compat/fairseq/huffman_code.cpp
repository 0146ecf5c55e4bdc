#include "compat/fairseq/huffman_code.h"

#include <algorithm>
#include <unordered_map>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"

namespace compat {
namespace {

/// The tree adds counts up. Fewer than 2^31 symbols with at most this count cannot overflow.
constexpr std::int64_t kMaxCount = std::int64_t{1} << 32;

}  // namespace

HuffmanCode HuffmanCode::load(const MappedFile& file) {
  const std::string_view text = as_chars(file.bytes());
  if (const std::size_t bad = first_invalid_utf8(text); bad != std::string_view::npos)
    throw FormatError({file.path(), {}, bad}, "not UTF-8, expected a huffman vocabulary");
  std::vector<HuffmanSymbol> symbols;
  std::unordered_map<std::string_view, std::size_t> places;
  std::int64_t number = 0;
  for_each_line(text, [&](std::string_view line) {
    ++number;
    const auto words = split_whitespace(line);
    const auto count = number_of<std::int64_t>(words.size() >= 2 ? words[1] : std::string_view());
    const auto refuse = [&] {
      throw FormatError({file.path(), concat("line ", number), {}},
                        "'" + printable(line) + "', expected '<token> <count>'");
    };
    if (!count || *count < 0 || *count > kMaxCount) refuse();
    const auto [place, is_new] = places.emplace(words[0], symbols.size());
    if (is_new) symbols.push_back({std::string(words[0]), 0});
    if ((symbols[place->second].count += *count) > kMaxCount) refuse();
  });
  if (symbols.empty())
    throw FormatError({file.path(), {}, {}}, "is empty, expected a huffman vocabulary");
  return HuffmanCode(std::move(symbols));
}

HuffmanCode::HuffmanCode(std::vector<HuffmanSymbol> symbols) : symbols_(std::move(symbols)) {
  for (const std::string_view special : {"<s>", "<pad>", "</s>", "<unk>"}) {
    const auto found = std::ranges::find(symbols_, special, &HuffmanSymbol::text);
    if (found == symbols_.end())
      symbols_.push_back({std::string(special), 1});
    else if (found->count == 0)
      found->count = 1;
  }
  std::ranges::stable_sort(symbols_, std::greater{}, &HuffmanSymbol::count);
  build_tree();
  build_table();
}

void HuffmanCode::build_tree() {
  for (std::size_t i = 0; i < symbols_.size(); ++i)
    nodes_.push_back({symbols_[i].count, -1, -1, static_cast<std::int64_t>(i)});
  // Leaves are taken from the rarest, inner nodes from the oldest. On equal counts the inner node
  // is taken first.
  auto leaf = static_cast<std::int32_t>(symbols_.size());
  auto inner = static_cast<std::int32_t>(symbols_.size());
  const auto smallest = [&] {
    const bool have_leaf = leaf > 0, have_inner = inner < static_cast<std::int32_t>(nodes_.size());
    const auto count = [&](std::int32_t node) {
      return nodes_[static_cast<std::size_t>(node)].count;
    };
    if (have_leaf && (!have_inner || count(leaf - 1) < count(inner))) return --leaf;
    return inner++;
  };
  while (leaf > 0 || inner + 1 < static_cast<std::int32_t>(nodes_.size())) {
    const std::int32_t first = smallest(), second = smallest();
    const std::int64_t count = nodes_[static_cast<std::size_t>(first)].count +
                               nodes_[static_cast<std::size_t>(second)].count;
    nodes_.push_back({count, second, first, -1});
  }
  root_ = static_cast<std::int32_t>(nodes_.size()) - 1;
}

void HuffmanCode::build_table() {
  std::vector<Bits> codes(nodes_.size());
  // Children come before their parents in the list. The loop runs from the root down, so a node's
  // own code is known when its turn comes.
  for (std::size_t i = nodes_.size(); i-- > symbols_.size();) {
    const Bits code = codes[i];
    // A code that does not fit has a length above 64, and so have all codes below it.
    const auto child = [&](std::uint64_t bit) {
      return Bits{code.bits << 1 | bit, std::min(code.length + 1, 65U)};
    };
    codes[static_cast<std::size_t>(nodes_[i].zero)] = child(0);
    codes[static_cast<std::size_t>(nodes_[i].one)] = child(1);
  }
  codes.resize(symbols_.size());
  table_ = std::move(codes);
}

bool HuffmanCode::decode(std::span<const std::byte> bytes, std::int64_t count,
                         std::vector<std::int64_t>& ids) const {
  ids.clear();
  while (!bytes.empty() && bytes.back() == std::byte{0}) bytes = bytes.first(bytes.size() - 1);
  if (bytes.empty()) return false;
  const auto last = static_cast<unsigned>(bytes.back());
  const std::size_t bits = bytes.size() * 8 - 1 - static_cast<std::size_t>(__builtin_ctz(last));
  std::int32_t at = root_;
  for (std::size_t i = 0; i < bits; ++i) {
    const bool one = (static_cast<unsigned>(bytes[i / 8]) >> (7 - i % 8) & 1U) != 0;
    const Node& node = nodes_[static_cast<std::size_t>(at)];
    at = one ? node.one : node.zero;
    const Node& next = nodes_[static_cast<std::size_t>(at)];
    if (next.id < 0) continue;
    if (static_cast<std::int64_t>(ids.size()) == count) return false;
    ids.push_back(next.id);
    at = root_;
  }
  return at == root_ && static_cast<std::int64_t>(ids.size()) == count;
}

std::string HuffmanCode::encode(std::span<const std::int64_t> ids) const {
  std::string out;
  unsigned char byte = 0;
  unsigned filled = 0;
  const auto put = [&](std::uint64_t bits, unsigned length) {
    for (unsigned i = length; i-- > 0;) {
      byte = static_cast<unsigned char>(byte << 1 | (bits >> i & 1));
      if (++filled < 8) continue;
      out += static_cast<char>(byte);
      byte = 0;
      filled = 0;
    }
  };
  for (const std::int64_t id : ids) {
    const Bits& code = table_.at(static_cast<std::size_t>(id));
    if (code.length > 64) throw UnsupportedError("a huffman code of more than 64 bits");
    put(code.bits, code.length);
  }
  put(1, 1);
  if (filled > 0) put(0, 8 - filled);
  return out;
}

std::string HuffmanCode::vocabulary_text() const {
  std::string text;
  for (const HuffmanSymbol& symbol : symbols_) append(text, symbol.text, '\t', symbol.count, '\n');
  return text;
}

}  // namespace compat
