// --tokenizer moses: words and punctuation set apart by spaces, as the Python package sacremoses
// 0.1.1 does it for fairseq. Rules and tables: moses.md
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "compat/tokenizer/moses_tables.h"
#include "compat/tokenizer/tokenizer.h"

namespace compat {

/// What fairseq's encoder takes.
struct MosesOptions {
  bool dash_splits = true;  ///< "a-b" becomes "a @-@ b".
  bool escape = true;       ///< & | < > ' " [ ] become "&amp;" and so on.
};

/// The text with its tokens set apart, for a text in `language`. UnsupportedError for a text that
/// holds the word DOTMULTI, which sacremoses uses for itself.
std::string moses_tokenize(std::string_view text, const MosesTables& tables,
                           const std::string& language, const MosesOptions& options);

/// The text of tokens between white space.
std::string moses_detokenize(std::string_view tokens, const MosesTables& tables,
                             const std::string& language);

/// `inner` after moses_tokenize(), and moses_detokenize() after its decode(). The tables of
/// --moses-data, for the two languages of `options`.
std::unique_ptr<Tokenizer> with_moses(std::unique_ptr<Tokenizer> inner,
                                      const TokenizerOptions& options);

}  // namespace compat
