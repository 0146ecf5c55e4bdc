// The code of fairseq's 'huffman' data-bin: vocabulary file, tree, encoding and decoding. Layout:
// compat/fairseq/indexed_dataset.md
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

/// Ids are ordered by falling count. Equal counts keep the order given.
class HuffmanCode {
 public:
  /// Reads PREFIX.vocab, whose lines are `SYMBOL COUNT`. FormatError for another form.
  static HuffmanCode load(const MappedFile& vocabulary);

  /// Makes the code of symbols with their counts. Missing special symbols are appended, as in
  /// fairseq.
  explicit HuffmanCode(std::vector<HuffmanSymbol> symbols);

  const std::vector<HuffmanSymbol>& symbols() const noexcept { return symbols_; }

  /// Decodes one sequence. Bits start at the most significant of each byte; a 1 and zeros follow
  /// the last code. False when the bits end inside a code or do not give exactly `count` ids.
  bool decode(std::span<const std::byte> bytes, std::int64_t count,
              std::vector<std::int64_t>& ids) const;

  /// The inverse of decode(). Ids are indices of symbols().
  std::string encode(std::span<const std::int64_t> ids) const;

  /// Writes PREFIX.vocab, byte for byte as fairseq's HuffmanCoder.to_file.
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
  std::vector<Bits> table_;  // by id; a length above 64 marks a code that is not stored
};

}  // namespace compat
