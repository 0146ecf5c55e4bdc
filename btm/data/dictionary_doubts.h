// Signs that a model was trained with another dictionary, for files that keep no digest to compare.
#pragma once

#include <string>

#include "compat/fairseq/dictionary.h"

namespace btm {

/// A warning when the mean loss of `model`, in bits a token, is above that of guessing evenly among
/// all symbols of `dictionary` (log2 of their number); else "".
std::string doubt_by_loss(const std::string& model, double loss_base2,
                          const compat::Dictionary& dictionary, const std::string& dictionary_file);

/// A warning when `dictionary_file` has a line of its own for <s>, <pad> or </s> (with
/// #fairseq:overwrite), whose id text then gets in the place of 0, 1 or 2; else "".
std::string doubt_by_special_symbols(const compat::Dictionary& dictionary,
                                     const std::string& dictionary_file);

}  // namespace btm
