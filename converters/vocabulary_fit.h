// Changes the size of a model's vocabulary to that of a dictionary.
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

/// The model with as many rows in its embeddings and output projection as `dictionary` has symbols.
/// Rows are dropped or added at the end. A new row for a madeupword, which no text contains, is a
/// copy of the row of <unk>. A new row for a word is the mean row, and needs `allow_new_symbols`.
/// A checkpoint does not say which symbol a row belongs to: the caller ensures that the other
/// symbols are the same. FormatError for words without `allow_new_symbols`, and when the sizes
/// already agree.
VocabularyFit fit_vocabulary(const compat::Checkpoint& checkpoint,
                             const compat::Dictionary& dictionary,
                             const std::string& dictionary_file, bool allow_new_symbols);

}  // namespace converters
