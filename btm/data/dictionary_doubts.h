// Signs that a model was trained with another dictionary, for files that keep no digest to compare.
#pragma once

#include <string>

#include "compat/fairseq/dictionary.h"

namespace btm {

/// A warning when the mean loss of `model`, in bits per token, is above log2 of the number of
/// symbols in `dictionary`, which a uniform guess reaches. Otherwise "".
std::string doubt_by_loss(const std::string& model, double loss_base2,
                          const compat::Dictionary& dictionary, const std::string& dictionary_file);

/// A warning when `dictionary_file` has a line for <s>, <pad> or </s> (with #fairseq:overwrite), so
/// that text gets that line's id instead of 0, 1 or 2. Otherwise "".
std::string doubt_by_special_symbols(const compat::Dictionary& dictionary,
                                     const std::string& dictionary_file);

}  // namespace btm
