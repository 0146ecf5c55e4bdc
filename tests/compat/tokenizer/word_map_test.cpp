#include "compat/tokenizer/word_map.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <unordered_map>

namespace compat {
namespace {

TEST(WordMap, AgreesWithUnorderedMapOnRandomWords) {
  std::mt19937 random(11);
  WordMap<std::int64_t> map;
  std::unordered_map<std::string, std::int64_t> expected;
  for (int i = 0; i < 50'000; ++i) {
    std::string word;
    const std::size_t size = random() % 40;
    for (std::size_t j = 0; j < size; ++j)
      word += static_cast<char>(random() % (i % 2 == 0 ? 3 : 256));
    *map.insert(word, 0).first += i;
    expected[word] += i;
  }
  ASSERT_EQ(map.size(), expected.size());
  for (const auto& [word, value] : expected) {
    const std::int64_t* const found = map.find(word);
    ASSERT_NE(found, nullptr);
    ASSERT_EQ(*found, value);
  }
  std::size_t visited = 0;
  map.for_each([&](std::string_view word, std::int64_t value) {
    ++visited;
    EXPECT_EQ(expected.at(std::string(word)), value);
  });
  EXPECT_EQ(visited, expected.size());
  EXPECT_EQ(map.find("never put there"), nullptr);
}

TEST(WordMap, KeepsTheFirstValueAndSaysSo) {
  WordMap<int> map;
  EXPECT_TRUE(map.insert("a", 1).second);
  const auto [value, fresh] = map.insert("a", 2);
  EXPECT_FALSE(fresh);
  EXPECT_EQ(*value, 1);
}

TEST(WordMap, KeepsWordsLongerThanItsBlocks) {
  WordMap<int> map;
  const std::string longest(200'000, 'x');
  map.insert(longest, 1);
  map.insert("y", 2);
  EXPECT_EQ(*map.find(longest), 1);
  EXPECT_EQ(*map.find("y"), 2);
}

TEST(WordMap, IsEmptyAfterClear) {
  WordMap<int> map;
  for (int i = 0; i < 1000; ++i) map.insert(std::to_string(i), i);
  map.clear();
  EXPECT_EQ(map.size(), 0U);
  EXPECT_EQ(map.find("7"), nullptr);
  EXPECT_TRUE(map.insert("7", 7).second);
}

}  // namespace
}  // namespace compat
