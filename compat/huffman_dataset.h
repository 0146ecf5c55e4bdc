// Reader for fairseq's 'huffman' data-bin. Layout: compat/indexed_dataset.md
#pragma once

#include <memory>

#include "compat/indexed_dataset.h"

namespace compat {

/// Opens PREFIX.idx, PREFIX.bin and PREFIX.vocab. Ids are those of the vocabulary's order, as fairseq's reader yields them.
/// FormatError on an index that does not fit the data; a damaged bit stream is found when its sequence is read.
std::unique_ptr<IndexedDataset> open_huffman_dataset(std::shared_ptr<const MappedFile> index,
                                                     std::shared_ptr<const MappedFile> tokens, const MappedFile& vocabulary);

}  // namespace compat
