// fairseq's encoders 'characters' and 'bytes', and its tokenizer 'space'.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "compat/tokenizer/tokenizer.h"

namespace compat {

/// --bpe characters: every character is a symbol, and a space is U+2581. The symbols are not
/// numbered: each has the unknown id and its text.
std::unique_ptr<Tokenizer> character_tokenizer();

/// --bpe bytes: runs of white space become one space; every byte is a symbol. Printable Latin-1
/// stands for itself, other bytes b for U+0100 + b, and a space is U+2581. decode() leaves out
/// bytes that are not UTF-8.
std::unique_ptr<Tokenizer> byte_tokenizer();

/// Words between white space, for what comes before --bpe none. decode() puts single spaces between
/// them. The symbols are not numbered.
std::unique_ptr<Tokenizer> word_tokenizer();

/// --tokenizer space before another: each run of Python's white space becomes one space.
std::unique_ptr<Tokenizer> with_single_spaces(std::unique_ptr<Tokenizer> tokenizer);

/// --bpe-add-prefix-space before another: a space before a text that does not begin with one.
std::unique_ptr<Tokenizer> with_prefix_space(std::unique_ptr<Tokenizer> tokenizer);

/// The text with a space in the place of each run of Python's white space.
std::string single_spaces(std::string_view text);

}  // namespace compat
