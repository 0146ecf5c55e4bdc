#include "compat/tokenizer/document_encoder.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using Ids = std::vector<std::int64_t>;

Dictionary small_dictionary() { return Dictionary::parse("a 3\nb 2\n東 1\n<eod> 1\n", "dict.txt"); }

Ids encoded(DocumentEncoder& encoder, std::string_view text) {
  Ids ids;
  encoder.encode(text, ids);
  return ids;
}

TEST(DocumentEncoder, GivesWhatEncodeLineGives) {
  const Dictionary dictionary = small_dictionary();
  DocumentEncoder encoder(dictionary, nullptr, "");
  for (const std::string text :
       {"a b 東", " a\u3000\u3000b\x1c東 ", "", "  ", "x a <unk> </s> <pad>", "a\u200bb"})
    EXPECT_EQ(encoded(encoder, text), dictionary.encode_line(text)) << text;
  EXPECT_EQ(encoder.replaced(), 2);  // x and a\u200bb; <unk> itself does not count
  EXPECT_EQ(encoder.clone().replaced(), 0);
}

TEST(DocumentEncoder, TakesTheLastOfAnOverwrittenWord) {
  const auto dictionary = Dictionary::parse("a 3\na 2 #fairseq:overwrite\n", "dict.txt");
  DocumentEncoder encoder(dictionary, nullptr, "");
  EXPECT_EQ(encoded(encoder, "a"), (Ids{5, 2}));
}

TEST(DocumentEncoder, PutsTheEndOfDocumentBeforeEos) {
  DocumentEncoder encoder(small_dictionary(), nullptr, "<eod>");
  EXPECT_EQ(encoded(encoder, "a"), (Ids{4, 7, 2}));
  std::string text;
  encoder.append_symbols("a  b", text);
  encoder.append_symbols("", text);
  EXPECT_EQ(text, "a b <eod>\n<eod>\n");
  btm_test::expect_error<UsageError>([] { DocumentEncoder(small_dictionary(), nullptr, "<end>"); },
                                     "has no symbol '<end>'");
}

TEST(DocumentEncoder, LooksUpUnknownPiecesByTheirText) {
  const auto tokenizer = load_sentencepiece(btm_test::golden("corpus/spm.model"));
  const auto dictionary = Dictionary::parse("\u2581the 9\n東京 1\n", "dict.txt");
  DocumentEncoder encoder(dictionary, tokenizer.get(), "");
  EXPECT_EQ(encoded(encoder, "the 東京"),
            (Ids{4, 3, 5, 2}));  // ▁the, ▁ (not in the dictionary), 東京
  EXPECT_EQ(encoder.replaced(), 1);
}

TEST(SymbolCounter, CountsWordsAndDocuments) {
  SymbolCounter counter(nullptr, "<eod>");
  counter.count("b a b");
  counter.count("");
  Dictionary dictionary;
  counter.add_to(dictionary);
  EXPECT_EQ(dictionary.count(dictionary.index("a")), 1);
  EXPECT_EQ(dictionary.count(dictionary.index("b")), 2);
  EXPECT_EQ(dictionary.count(dictionary.index("<eod>")), 2);
  EXPECT_EQ(dictionary.count(dictionary.eos()),
            1 + 2);  // special symbols of a new dictionary have the count 1
}

TEST(SymbolCounter, CountsPiecesAsTheirText) {
  const auto tokenizer = load_sentencepiece(btm_test::golden("corpus/spm.model"));
  SymbolCounter counter(tokenizer.get(), "");
  counter.count("the 東京 the");
  Dictionary dictionary;
  counter.add_to(dictionary);
  EXPECT_EQ(dictionary.count(dictionary.index("\u2581the")), 2);
  EXPECT_EQ(dictionary.count(dictionary.index("東京")), 1);
}

}  // namespace
}  // namespace compat
