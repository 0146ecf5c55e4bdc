// A model's vocabulary made as long as a dictionary's.
#pragma once

#include <cstdint>
#include <string>

#include "compat/checkpoint/checkpoint.h"
#include "compat/fairseq/dictionary.h"

namespace converters {

struct VocabularyFit {
  compat::NamedTensors model;
  std::int64_t old_rows = 0, new_rows = 0;
};

/// Embeddings and output projection with as many rows as `dictionary` has symbols. Rows are dropped
/// at the end, or added: for madeupwords, which no text holds, copies of <unk>'s; for words, with
/// `allow_new_symbols`, the mean row. Which rows are whose is not in a checkpoint: symbols before
/// the end must be the same, which the caller vouches for. FormatError when rows of words would be
/// added without leave or the lengths agree already.
VocabularyFit fit_vocabulary(const compat::Checkpoint& checkpoint,
                             const compat::Dictionary& dictionary,
                             const std::string& dictionary_file, bool allow_new_symbols);

}  // namespace converters
