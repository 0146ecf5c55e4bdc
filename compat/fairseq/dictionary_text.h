// The text of a dict.txt.
#pragma once

#include <string>

#include "compat/fairseq/dictionary.h"

namespace compat {

/// The bytes that Dictionary::save writes.
std::string dictionary_text(const Dictionary& dictionary);

}  // namespace compat
