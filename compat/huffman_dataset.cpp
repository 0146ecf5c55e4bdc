#include "compat/huffman_dataset.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <string>
#include <unordered_map>

#include "compat/byte_reader.h"
#include "compat/error.h"
#include "compat/indexed_dataset_layout.h"
#include "compat/text.h"

namespace compat {
namespace {

/// Counts are summed up the tree: fewer than 2^31 symbols of at most this count cannot overflow.
constexpr std::int64_t kMaxCount = std::int64_t{1} << 32;

/// The code tree as an array: inner nodes have two children, leaves an id.
class HuffmanTree {
 public:
  explicit HuffmanTree(const MappedFile& vocabulary);

  /// Decodes one sequence: bits from the most significant of each byte, ended by a 1 and padding zeros. False when the
  /// bits end inside a code or do not give exactly `count` ids.
  bool decode(std::span<const std::byte> bytes, std::int64_t count, std::vector<std::int64_t>& ids) const;

 private:
  struct Node {
    std::int64_t count = 0;
    std::int32_t zero = -1, one = -1;  // children by bit; -1 in a leaf
    std::int64_t id = -1;
  };
  std::vector<Node> nodes_;
  std::int32_t root_ = -1;
};

struct Symbol {
  std::string text;
  std::int64_t count = 0;
};

/// SYMBOL COUNT lines; equal symbols are added up, the special symbols appended where they are missing.
std::vector<Symbol> read_symbols(const MappedFile& file) {
  const std::string_view text = as_chars(file.bytes());
  if (const std::size_t bad = first_invalid_utf8(text); bad != std::string_view::npos)
    throw FormatError({file.path(), {}, bad}, "not UTF-8, expected a huffman vocabulary");
  std::vector<Symbol> symbols;
  std::unordered_map<std::string, std::size_t> places;
  const auto increment = [&](std::string_view symbol, std::int64_t count) {
    const auto [place, is_new] = places.emplace(symbol, symbols.size());
    if (is_new) symbols.push_back({std::string(symbol), 0});
    return symbols[place->second].count += count;
  };
  std::int64_t number = 0;
  for_each_line(text, [&](std::string_view line) {
    ++number;
    const auto words = split_whitespace(line);
    std::int64_t count = 0;
    const bool numeric = words.size() >= 2 &&
                         std::from_chars(words[1].data(), words[1].data() + words[1].size(), count).ptr ==
                             words[1].data() + words[1].size();
    if (!numeric || count < 0 || count > kMaxCount || increment(words[0], count) > kMaxCount)
      throw FormatError({file.path(), "line " + std::to_string(number), {}},
                        "'" + printable(line) + "', expected '<token> <count>'");
  });
  if (symbols.empty()) throw FormatError({file.path(), {}, {}}, "is empty, expected a huffman vocabulary");
  for (const std::string_view special : {"<s>", "<pad>", "</s>", "<unk>"})
    if (const auto found = places.find(std::string(special)); found == places.end() || symbols[found->second].count == 0)
      increment(special, 1);
  return symbols;
}

HuffmanTree::HuffmanTree(const MappedFile& vocabulary) {
  auto symbols = read_symbols(vocabulary);
  std::ranges::stable_sort(symbols, std::greater{}, &Symbol::count);
  for (std::size_t i = 0; i < symbols.size(); ++i)
    nodes_.push_back({symbols[i].count, -1, -1, static_cast<std::int64_t>(i)});
  // Leaves are taken from the rarest, inner nodes from the oldest; on equal counts the inner node goes first.
  auto leaf = static_cast<std::int32_t>(symbols.size());
  auto inner = static_cast<std::int32_t>(symbols.size());
  const auto smallest = [&] {
    const bool have_leaf = leaf > 0, have_inner = inner < static_cast<std::int32_t>(nodes_.size());
    const auto count = [&](std::int32_t node) { return nodes_[static_cast<std::size_t>(node)].count; };
    if (have_leaf && (!have_inner || count(leaf - 1) < count(inner))) return --leaf;
    return inner++;
  };
  while (leaf > 0 || inner + 1 < static_cast<std::int32_t>(nodes_.size())) {
    const std::int32_t first = smallest(), second = smallest();
    const std::int64_t count = nodes_[static_cast<std::size_t>(first)].count + nodes_[static_cast<std::size_t>(second)].count;
    nodes_.push_back({count, second, first, -1});
  }
  root_ = static_cast<std::int32_t>(nodes_.size()) - 1;
}

bool HuffmanTree::decode(std::span<const std::byte> bytes, std::int64_t count, std::vector<std::int64_t>& ids) const {
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

class HuffmanDataset final : public IndexedDataset {
 public:
  HuffmanDataset(std::shared_ptr<const MappedFile> index, std::shared_ptr<const MappedFile> tokens,
                 const MappedFile& vocabulary)
      : index_(std::move(index)), tokens_(std::move(tokens)), tree_(vocabulary) {
    ByteReader in(index_->bytes(), {index_->path(), {}, 0});
    in.take(kHuffmanMagic.size(), "the magic");
    if (const auto version = in.read<std::uint64_t>("the version"); version != 1)
      in.fail("version " + std::to_string(version) + ", expected 1");
    const auto data_size = in.read<std::uint64_t>("the data's size");
    if (data_size > tokens_->bytes().size())
      in.fail("data of " + std::to_string(data_size) + " bytes, but " + printable(tokens_->path(), 4096) + " has " +
              std::to_string(tokens_->bytes().size()));
    const auto count = in.read<std::uint64_t>("the number of sequences");
    if (count > in.remaining() / 12) in.fail(std::to_string(count) + " sequences do not fit the file");
    for (std::uint64_t i = 0; i < count; ++i) sizes_.push_back(in.read<std::int32_t>("a size"));
    std::uint64_t start = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto end = in.read<std::uint64_t>("a pointer");
      const std::string name = "sequence " + std::to_string(i) + ": ";
      if (end < start || end > data_size)
        in.fail(name + "ends at byte " + std::to_string(end) + ", expected " + std::to_string(start) + " to " +
                std::to_string(data_size));
      // A code has at least one bit.
      if (sizes_[i] < 0 || static_cast<std::uint64_t>(sizes_[i]) > (end - start) * 8)
        in.fail(name + std::to_string(sizes_[i]) + " tokens do not fit its " + std::to_string(end - start) + " bytes");
      ends_.push_back(end);
      start = end;
      total_tokens_ += sizes_[i];
    }
    if (!in.at_end()) in.fail(std::to_string(in.remaining()) + " bytes follow the pointers");
  }

  DatasetImpl impl() const noexcept override { return DatasetImpl::kHuffman; }
  std::string_view dtype() const noexcept override { return "huffman"; }
  const std::string& path() const noexcept override { return tokens_->path(); }

  void read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const override {
    const auto place = static_cast<std::size_t>(i);
    const std::uint64_t start = place == 0 ? 0 : ends_[place - 1];
    std::vector<std::int64_t> ids;
    if (!tree_.decode(tokens_->bytes().subspan(start, ends_[place] - start), sizes_[place], ids))
      throw FormatError({tokens_->path(), {}, start}, "the bits of sequence " + std::to_string(i) + " do not decode to its " +
                                                          std::to_string(sizes_[place]) + " tokens");
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(from), out.size(), out.begin());
  }

 private:
  std::shared_ptr<const MappedFile> index_, tokens_;
  HuffmanTree tree_;
  std::vector<std::uint64_t> ends_;
};

}  // namespace

std::unique_ptr<IndexedDataset> open_huffman_dataset(std::shared_ptr<const MappedFile> index,
                                                     std::shared_ptr<const MappedFile> tokens,
                                                     const MappedFile& vocabulary) {
  return std::make_unique<HuffmanDataset>(std::move(index), std::move(tokens), vocabulary);
}

}  // namespace compat
