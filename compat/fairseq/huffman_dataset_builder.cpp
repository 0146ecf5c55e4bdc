#include <algorithm>

#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/fairseq/huffman_code.h"
#include "compat/fairseq/huffman_dataset.h"
#include "compat/fairseq/indexed_dataset_layout.h"
#include "compat/io/atomic_file.h"

namespace compat {
namespace {

/// The code of the ids that occur, and the id of each in that code.
struct DataCode {
  HuffmanCode code;
  std::vector<std::int64_t> places;  // by id of the dictionary
};

DataCode code_for(const IndexedDataset& dataset, const Dictionary& dictionary) {
  check_token_ids(dataset, dictionary);
  std::vector<std::size_t> seen(static_cast<std::size_t>(dictionary.size()), SIZE_MAX);
  std::vector<HuffmanSymbol> symbols;
  for (std::int64_t i = 0; i < dataset.size(); ++i)
    for (const std::int64_t id : dataset.sequence(i)) {
      std::size_t& place = seen[static_cast<std::size_t>(id)];
      if (place == SIZE_MAX) {
        place = symbols.size();
        symbols.push_back({dictionary.symbol(id), 0});
      }
      ++symbols[place].count;
    }
  for (std::int64_t id = 0; id < dictionary.size(); ++id) {
    if (seen[static_cast<std::size_t>(id)] == SIZE_MAX) continue;
    const std::string& symbol = dictionary.symbol(id);
    if (const auto words = split_whitespace(symbol); words.size() != 1 || words[0] != symbol)
      throw UnsupportedError("the symbol '" + printable(symbol) +
                             "' in a huffman vocabulary (white space separates its columns)");
    if (dictionary.index(symbol) != id)
      throw UnsupportedError("the symbol '" + printable(symbol) +
                             "' in a huffman vocabulary (two ids of the dictionary have it)");
  }
  DataCode result{HuffmanCode(std::move(symbols)),
                  std::vector<std::int64_t>(static_cast<std::size_t>(dictionary.size()), -1)};
  std::int64_t place = 0;
  for (const HuffmanSymbol& symbol : result.code.symbols())
    result.places[static_cast<std::size_t>(dictionary.index(symbol.text))] = place++;
  return result;
}

}  // namespace

void write_huffman_dataset(const std::filesystem::path& prefix, const IndexedDataset& dataset,
                           const Dictionary& dictionary) {
  const DataCode data_code = code_for(dataset, dictionary);
  AtomicFile tokens(prefix.string() + ".bin"), vocabulary(prefix.string() + ".vocab"),
      index(prefix.string() + ".idx");
  std::vector<std::int64_t> ends;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    std::vector<std::int64_t> ids = dataset.sequence(i);
    for (std::int64_t& id : ids) id = data_code.places[static_cast<std::size_t>(id)];
    tokens.write(data_code.code.encode(ids));
    ends.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  vocabulary.write(data_code.code.vocabulary_text());
  index.write(kHuffmanMagic);
  const auto write = [&](std::uint64_t value) { index.write(std::as_bytes(std::span(&value, 1))); };
  write(1);
  write(tokens.size());
  write(ends.size());
  index.write(std::as_bytes(dataset.sizes()));
  index.write(std::as_bytes(std::span(ends)));
  // The index is put in place last, so that a reader that finds it also finds the other files.
  const SignalsWait together;
  tokens.commit();
  vocabulary.commit();
  index.commit();
}

}  // namespace compat
