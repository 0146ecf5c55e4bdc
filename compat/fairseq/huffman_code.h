// The code of fairseq's 'huffman' data-bin: its vocabulary file, the tree, ids to bits and back.
// Layout: compat/fairseq/indexed_dataset.md
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compat/io/mapped_file.h"

namespace compat {

struct HuffmanSymbol {
  std::string text;
  std::int64_t count = 0;
};

/// A symbol's id is its place by falling count, equal counts in the order given.
class HuffmanCode {
 public:
  /// Reads PREFIX.vocab (SYMBOL COUNT lines). FormatError on anything else.
  static HuffmanCode load(const MappedFile& vocabulary);

  /// Of symbols with their counts. Special symbols that are missing are appended, as fairseq does.
  explicit HuffmanCode(std::vector<HuffmanSymbol> symbols);

  const std::vector<HuffmanSymbol>& symbols() const noexcept { return symbols_; }

  /// Decodes one sequence: bits from the most significant of each byte, ended by a 1 and padding
  /// zeros. False when the bits end inside a code or do not give exactly `count` ids.
  bool decode(std::span<const std::byte> bytes, std::int64_t count,
              std::vector<std::int64_t>& ids) const;

  /// What decode() reads back. Ids are those of symbols().
  std::string encode(std::span<const std::int64_t> ids) const;

  /// PREFIX.vocab, byte-identical to fairseq's HuffmanCoder.to_file.
  std::string vocabulary_text() const;

 private:
  struct Node {
    std::int64_t count = 0;
    std::int32_t zero = -1, one = -1;  // children by bit; -1 in a leaf
    std::int64_t id = -1;
  };
  struct Bits {
    std::uint64_t bits = 0;
    unsigned length = 0;
  };
  void build_tree();
  void build_table();

  std::vector<HuffmanSymbol> symbols_;
  std::vector<Node> nodes_;  // leaves first, in the order of ids
  std::int32_t root_ = -1;
  std::vector<Bits> table_;  // by id; a length beyond 64 marks a code that is not kept
};

}  // namespace compat
