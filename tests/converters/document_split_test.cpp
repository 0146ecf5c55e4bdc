#include "converters/document_split.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace converters {
namespace {

/// One file with documents of these sizes. Document i has the offset i.
struct Corpus {
  std::vector<std::uint64_t> sizes;
  DocumentSplit split;

  Corpus(std::vector<std::uint64_t> documents, double valid, double test, std::int64_t seed = 1)
      : sizes(std::move(documents)), split(valid, test, seed) {
    for (std::size_t i = 0; i < sizes.size(); ++i) split.add(split.bucket(0, i), sizes[i]);
    split.assign();
  }
  std::size_t of(std::size_t i) const { return split.split_of(split.bucket(0, i)); }
  double share(std::size_t part) const {
    double sum = 0, all = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      all += static_cast<double>(sizes[i]);
      if (of(i) == part) sum += static_cast<double>(sizes[i]);
    }
    return sum / all;
  }
};

TEST(DocumentSplit, MeetsTheSharesOfTheText) {
  std::mt19937_64 random(3);
  std::vector<std::uint64_t> sizes(50'000);
  for (auto& size : sizes) size = 1 + random() % 1000 * (random() % 1000);
  for (const std::int64_t seed : {1, 2, 3}) {
    const Corpus corpus(sizes, 0.1, 0.05, seed);
    EXPECT_NEAR(corpus.share(1), 0.1, 0.003);  // a split is full at 49/50 of its share
    EXPECT_NEAR(corpus.share(2), 0.05, 0.0015);
    EXPECT_EQ(corpus.split.part(1).documents + corpus.split.part(2).documents +
                  corpus.split.part(0).documents,
              sizes.size());
  }
}

TEST(DocumentSplit, IsTheSameForTheSameSeedOnly) {
  const std::vector<std::uint64_t> sizes(20'000, 10);
  const Corpus one(sizes, 0.1, 0.05, 1), again(sizes, 0.1, 0.05, 1), other(sizes, 0.1, 0.05, 2);
  int same = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(one.of(i), again.of(i));
    same += one.of(i) == other.of(i);
  }
  EXPECT_NEAR(same, 14'700, 400);  // 0.85^2 + 0.1^2 + 0.05^2 of them
}

TEST(DocumentSplit, LeavesADocumentThatIsMostOfTheTextToTraining) {
  for (std::int64_t seed = 0; seed < 50; ++seed) {
    std::vector<std::uint64_t> sizes(200, 10);
    sizes[7] = 100'000;
    const Corpus corpus(sizes, 0.01, 0.01, seed);
    EXPECT_EQ(corpus.of(7), 0U);
    EXPECT_GT(corpus.split.part(1).documents, 0U);
    EXPECT_GT(corpus.split.part(2).documents, 0U);
  }
}

TEST(DocumentSplit, GivesEachSplitADocumentWhereThereAreEnough) {
  const Corpus three({500, 300, 400}, 0.01, 0.01);
  for (std::size_t split = 0; split < 3; ++split) EXPECT_EQ(three.split.part(split).documents, 1U);
  EXPECT_EQ(three.split.part(0).largest, 500U) << "valid and test get the smallest";
  const Corpus one({500}, 0.01, 0);
  EXPECT_EQ(one.split.part(0).documents, 1U);
  EXPECT_EQ(one.split.part(1).documents, 0U);
  const Corpus none({}, 0.01, 0.01);
  EXPECT_EQ(none.split.part(0).documents, 0U);
}

}  // namespace
}  // namespace converters
