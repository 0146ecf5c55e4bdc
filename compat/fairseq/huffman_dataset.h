// Reader and writer of fairseq's 'huffman' data-bin. Layout: compat/fairseq/indexed_dataset.md
#pragma once

#include <filesystem>
#include <memory>

#include "compat/fairseq/indexed_dataset.h"

namespace compat {

/// Opens PREFIX.idx, PREFIX.bin and PREFIX.vocab. With `dictionary` the ids are its ids of the same
/// symbols; without one they are those of the vocabulary file, as in fairseq's reader. FormatError
/// when the index does not fit the data, or when the dictionary lacks a symbol. A damaged bit
/// stream is a FormatError when its sequence is read.
std::unique_ptr<IndexedDataset> open_huffman_dataset(std::shared_ptr<const MappedFile> index,
                                                     std::shared_ptr<const MappedFile> tokens,
                                                     const MappedFile& vocabulary,
                                                     const Dictionary* dictionary = nullptr);

/// Writes `dataset`, whose ids are those of `dictionary`, as PREFIX.bin, .vocab and .idx. The bytes
/// equal those of fairseq's HuffmanMMapIndexedDatasetBuilder, with the code built from the symbols
/// in their order of occurrence. Reads everything twice. FormatError for an id outside the
/// dictionary, UnsupportedError for a symbol that the vocabulary file cannot hold.
void write_huffman_dataset(const std::filesystem::path& prefix, const IndexedDataset& dataset,
                           const Dictionary& dictionary);

}  // namespace compat
