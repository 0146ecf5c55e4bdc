#include <gtest/gtest.h>

#include <random>

#include "compat/base/error.h"
#include "compat/fairseq/huffman_code.h"
#include "compat/fairseq/huffman_dataset.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::read_file;
using compat::IndexedDataset;

/// A data set with the symbols of the golden huffman files, and a dictionary in another order.
TEST(HuffmanDatasetBuilder, WritesWhatFairseqWrote) {
  // The golden files have no dictionary. One of the symbols of their vocabulary replaces it.
  const auto vocabulary = compat::HuffmanCode::load(
      *compat::MappedFile::open(golden("data-bin-impl/huffman_other_set/test.vocab")));
  compat::Dictionary dictionary;
  for (const auto& symbol : vocabulary.symbols()) dictionary.add_symbol(symbol.text);
  const auto dataset =
      IndexedDataset::open(golden("data-bin-impl/huffman_other_set/test"), &dictionary);
  const btm_test::TempDir folder;
  compat::write_huffman_dataset(folder / "test", *dataset, dictionary);
  for (const char* const suffix : {".bin", ".idx", ".vocab"})
    EXPECT_EQ(read_file((folder / "test").string() + suffix),
              read_file(golden("data-bin-impl/huffman_other_set/test").string() + suffix))
        << suffix;
}

TEST(HuffmanDatasetBuilder, RandomIdsComeBackThroughTheDictionary) {
  std::mt19937 random(3);
  compat::Dictionary dictionary;
  for (int i = 0; i < 300; ++i) dictionary.add_symbol("word" + std::to_string(i));
  for (int round = 0; round < 10; ++round) {
    const btm_test::TempDir folder;
    const auto builder = compat::IndexedDatasetBuilder::create(
        folder / "in", compat::DatasetImpl::kMmap, dictionary.size());
    for (unsigned i = random() % 30; i-- > 0;) {
      std::vector<std::int64_t> ids(random() % 20);
      for (auto& id : ids)
        id = static_cast<std::int64_t>(random() % (random() % 2 == 0 ? 304 : 10));
      builder->add(ids);
    }
    builder->finalize();
    const auto in = IndexedDataset::open(folder / "in");
    compat::write_huffman_dataset(folder / "out", *in, dictionary);
    const auto out = IndexedDataset::open(folder / "out", &dictionary);
    ASSERT_EQ(out->size(), in->size());
    for (std::int64_t i = 0; i < in->size(); ++i) EXPECT_EQ(out->sequence(i), in->sequence(i));
  }
}

TEST(HuffmanDatasetBuilder, RefusesWhatTheVocabularyCannotHold) {
  const btm_test::TempDir folder;
  compat::Dictionary dictionary;
  dictionary.add_symbol("two words");
  const auto builder = compat::IndexedDatasetBuilder::create(
      folder / "in", compat::DatasetImpl::kMmap, dictionary.size());
  builder->add(std::vector<std::int64_t>{4, 2});
  builder->finalize();
  const auto in = IndexedDataset::open(folder / "in");
  expect_error<compat::UnsupportedError>(
      [&] { compat::write_huffman_dataset(folder / "out", *in, dictionary); }, "'two words'");
  expect_error<compat::FormatError>(
      [&] { compat::write_huffman_dataset(folder / "out", *in, compat::Dictionary()); },
      "token id 4");
  EXPECT_FALSE(std::filesystem::exists(folder / "out.bin"));
}

TEST(HuffmanDataset, RefusesADictionaryThatLacksASymbol) {
  const compat::Dictionary dictionary;
  expect_error<compat::FormatError>(
      [&] { IndexedDataset::open(golden("data-bin-impl/huffman_other_set/test"), &dictionary); },
      "is not in the dictionary");
}

}  // namespace
