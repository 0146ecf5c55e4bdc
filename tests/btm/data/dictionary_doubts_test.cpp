#include "btm/data/dictionary_doubts.h"

#include <gtest/gtest.h>

#include <cmath>

namespace btm {
namespace {

const compat::Dictionary& four_words() {
  static const compat::Dictionary dictionary =
      compat::Dictionary::parse("a 1\nb 1\nc 1\nd 1\n", "dict.txt");  // 8 symbols: 3 bits
  return dictionary;
}

TEST(DictionaryDoubts, StartAboveTheLossOfGuessing) {
  EXPECT_EQ(doubt_by_loss("m.pt", 3.0, four_words(), "dict.txt"), "");
  EXPECT_EQ(doubt_by_loss("m.pt", std::nan(""), four_words(), "dict.txt"), "");
  EXPECT_EQ(doubt_by_loss("m\x1b.pt", 3.25, four_words(), "dict.txt"),
            "the loss of m\\x1b.pt, 3.25 bits per token, is above that of a uniform guess among 8 "
            "symbols, 3.00: was it trained with the "
            "dictionary dict.txt? It keeps no digest to compare");
}

TEST(DictionaryDoubts, StartWithASpecialSymbolOutOfItsPlace) {
  EXPECT_EQ(doubt_by_special_symbols(four_words(), "dict.txt"), "");
  for (const auto& [symbol, id] :
       {std::pair<std::string, int>{"<s>", 0}, {"<pad>", 1}, {"</s>", 2}}) {
    const auto dictionary =
        compat::Dictionary::parse("a 1\n" + symbol + " 1 #fairseq:overwrite\n", "dict.txt");
    EXPECT_EQ(doubt_by_special_symbols(dictionary, "dict.txt"),
              "dict.txt: has a line for " + symbol +
                  ", so that text gets id 5 for it, where fairseq's models have " +
                  std::to_string(id) +
                  ": is it the models' dictionary? They keep no digest to compare");
  }
}

}  // namespace
}  // namespace btm
