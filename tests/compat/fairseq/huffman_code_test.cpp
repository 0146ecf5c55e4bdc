#include "compat/fairseq/huffman_code.h"

#include <gtest/gtest.h>

#include <numeric>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::operator""_bytes;
using Ids = std::vector<std::int64_t>;

HuffmanCode loaded(const std::string& text) {
  auto owner = std::make_shared<const std::string>(text);
  const auto span = as_byte_span(*owner);
  return HuffmanCode::load(*MappedFile::of_memory("v", span, std::move(owner)));
}

std::string names(const HuffmanCode& code) {
  std::string out;
  for (const HuffmanSymbol& symbol : code.symbols())
    out += symbol.text + "=" + std::to_string(symbol.count) + " ";
  return out;
}

TEST(HuffmanCode, OrdersSymbolsByFallingCount) {
  EXPECT_EQ(names(loaded("x 2\ny 9\nz 2\n")), "y=9 x=2 z=2 <s>=1 <pad>=1 </s>=1 <unk>=1 ");
  EXPECT_EQ(names(loaded("<unk> 5\n<pad> 0\na 3")), "<unk>=5 a=3 <pad>=1 <s>=1 </s>=1 ");
  EXPECT_EQ(names(loaded("a 1 more\na\t2\n")), "a=3 <s>=1 <pad>=1 </s>=1 <unk>=1 ");
}

TEST(HuffmanCode, RefusesAVocabularyThatIsNone) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "v: is empty, expected a huffman vocabulary"},
      {"a\n", "v[line 1]: 'a', expected '<token> <count>'"},
      {"a 1\n\n", "v[line 2]: ''"},
      {"a 1\nb x\n", "v[line 2]: 'b x'"},
      {"a -1\n", "'a -1'"},
      {"a 1.5\n", "'a 1.5'"},
      {"a 4294967297\n", "'a 4294967297'"},
      {"a 4294967296\na 1\n", "v[line 2]: 'a 1'"},  // the sum is too large
      {"a 99999999999999999999\n", "expected '<token> <count>'"},
      {"a\xff 1\n", "v+0x1: not UTF-8"},
      {"a\x1b 1 \x1b\nb\n", "'b'"},
      {"\x1b[2J\n", "'\\x1b[2J'"},
  };
  for (const auto& [text, phrase] : rows) {
    SCOPED_TRACE(phrase);
    expect_error<FormatError>([&text = text] { loaded(text); }, phrase);
  }
}

TEST(HuffmanCode, GivesFrequentSymbolsShortCodes) {
  const HuffmanCode code = loaded("a 8\n");
  EXPECT_EQ(code.encode(Ids{0, 0, 0}), "10"_bytes);  // three 0, the end mark, padding
  EXPECT_EQ(code.encode(Ids{}), "80"_bytes);
  EXPECT_EQ(code.encode(Ids(7, 0)), "01"_bytes);     // the end mark fills the byte
  EXPECT_EQ(code.encode(Ids(8, 0)), "00 80"_bytes);  // and begins another one
  for (std::int64_t id = 1; id < 5; ++id)
    EXPECT_EQ(code.encode(Ids(5, id)).size(), 2U) << id;  // 3 bits each
}

TEST(HuffmanCode, DecodesWhatItEncodes) {
  std::vector<HuffmanSymbol> symbols;
  for (int i = 0; i < 40; ++i)
    symbols.push_back({"w" + std::to_string(i), std::int64_t{1} << (i / 2)});
  const HuffmanCode code(symbols);
  Ids all(code.symbols().size());
  std::iota(all.begin(), all.end(), 0);
  Ids found;
  const std::string bytes = code.encode(all);
  ASSERT_TRUE(code.decode(as_byte_span(bytes), static_cast<std::int64_t>(all.size()), found));
  EXPECT_EQ(found, all);
  for (const std::int64_t id : all) {
    const std::string one = code.encode(Ids{id});
    ASSERT_TRUE(code.decode(as_byte_span(one), 1, found)) << id;
    EXPECT_EQ(found, Ids{id});
  }
}

TEST(HuffmanCode, RefusesBitsThatAreNoSequence) {
  const HuffmanCode code = loaded("a 8\n");
  struct Row {
    std::string bytes;
    std::int64_t count;
  };
  const std::vector<Row> rows{
      {"", 0},             // no end mark
      {"00 00"_bytes, 0},  // none either
      {"10"_bytes, 2},     // three symbols
      {"10"_bytes, 4},     // three symbols
      {"c0"_bytes, 1},     // ends inside of a code
      {"80"_bytes, 1},     // nothing
      {"10"_bytes, -1},    // a count that is none
      {"10"_bytes, INT64_MAX},
  };
  Ids ids{7};
  for (const Row& row : rows)
    EXPECT_FALSE(code.decode(as_byte_span(row.bytes), row.count, ids)) << row.count;
  EXPECT_TRUE(code.decode(as_byte_span("10 00 00"_bytes), 3, ids));  // zeros behind are padding
}

// A count that doubles from symbol to symbol makes a code as long as there are symbols.
TEST(HuffmanCode, RefusesCodesBeyond64Bits) {
  std::vector<HuffmanSymbol> symbols;
  double count = 1;
  for (int i = 0; i < 75; ++i, count *= 1.65)
    symbols.push_back({"w" + std::to_string(i), static_cast<std::int64_t>(count)});
  const HuffmanCode code(symbols);
  EXPECT_EQ(code.encode(Ids{0}).size(), 1U);
  expect_error<UnsupportedError>(
      [&] { code.encode(Ids{static_cast<std::int64_t>(code.symbols().size()) - 1}); },
      "a huffman code of more than 64 bits");
}

TEST(HuffmanCode, WritesItsVocabularyAsFairseq) {
  EXPECT_EQ(loaded("b 1\na 3\n").vocabulary_text(),
            "a\t3\nb\t1\n<s>\t1\n<pad>\t1\n</s>\t1\n<unk>\t1\n");
  const std::string text = loaded("b 1\na 3\n").vocabulary_text();
  EXPECT_EQ(loaded(text).vocabulary_text(), text);
}

}  // namespace
}  // namespace compat
