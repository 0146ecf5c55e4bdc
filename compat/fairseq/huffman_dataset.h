// Reader and writer of fairseq's 'huffman' data-bin. Layout: compat/fairseq/indexed_dataset.md
#pragma once

#include <filesystem>
#include <memory>

#include "compat/fairseq/indexed_dataset.h"

namespace compat {

/// Opens PREFIX.idx, PREFIX.bin and PREFIX.vocab. Without `dictionary` ids are those of the
/// vocabulary's order, as fairseq's reader yields them; with one they are its ids of the same
/// symbols. FormatError on an index that does not fit the data or a symbol the dictionary lacks; a
/// damaged bit stream is found when its sequence is read.
std::unique_ptr<IndexedDataset> open_huffman_dataset(std::shared_ptr<const MappedFile> index,
                                                     std::shared_ptr<const MappedFile> tokens,
                                                     const MappedFile& vocabulary,
                                                     const Dictionary* dictionary = nullptr);

/// Writes `dataset`, whose ids are `dictionary`'s, as PREFIX.bin, .vocab and .idx: byte-identical
/// to fairseq's HuffmanMMapIndexedDatasetBuilder with a coder built from the symbols in the order
/// they appear. Reads everything twice. FormatError for an id outside the dictionary,
/// UnsupportedError for a symbol that the vocabulary file cannot hold.
void write_huffman_dataset(const std::filesystem::path& prefix, const IndexedDataset& dataset,
                           const Dictionary& dictionary);

}  // namespace compat
