#include "compat/tokenizer/document_encoder.h"

#include "compat/base/error.h"
#include "compat/base/text.h"

namespace compat {
namespace {

/// Whether fairseq-preprocess reads `symbol` as one word. Pieces of a model that keeps white space
/// may be several words or none.
bool is_one_word(std::string_view symbol) {
  std::size_t words = 0;
  bool whole = false;
  for_each_word(symbol,
                [&](std::string_view word) { ++words, whole = word.size() == symbol.size(); });
  return words == 1 && whole;
}

/// The symbol for the value of --end-of-document.
std::string end_symbol(const Tokenizer* tokenizer, const std::string& name) {
  return tokenizer != nullptr && !name.empty() ? tokenizer->symbol_of_special(name) : name;
}

}  // namespace

SymbolCounter::SymbolCounter(const Tokenizer* tokenizer, const std::string& end_of_document)
    : tokenizer_(tokenizer != nullptr ? tokenizer->clone() : nullptr),
      end_of_document_(end_symbol(tokenizer, end_of_document)) {
  if (tokenizer_) by_id_.resize(static_cast<std::size_t>(tokenizer_->size()));
}

void SymbolCounter::count_word(std::string_view word, std::int64_t times) {
  *by_word_.insert(word, 0).first += times;
}

void SymbolCounter::count(std::string_view document) {
  ++documents_;
  if (!tokenizer_) {
    for_each_word(document, [this](std::string_view word) { count_word(word, 1); });
    return;
  }
  tokens_.ids.clear();
  tokens_.unknown.clear();
  tokenizer_->encode(document, tokens_);
  for (const std::int32_t id : tokens_.ids) ++by_id_[static_cast<std::size_t>(id)];
  for (const std::string& text : tokens_.unknown)
    for_each_word(text, [this](std::string_view word) { count_word(word, 1); });
}

void SymbolCounter::add_to(Dictionary& dictionary) const {
  by_word_.for_each(
      [&](std::string_view word, std::int64_t times) { dictionary.add_symbol(word, times); });
  for (std::size_t id = 0; id < by_id_.size(); ++id) {
    if (by_id_[id] == 0 || static_cast<std::int32_t>(id) == tokenizer_->unknown_id()) continue;
    for_each_word(tokenizer_->symbol(static_cast<std::int32_t>(id)),
                  [&](std::string_view word) { dictionary.add_symbol(word, by_id_[id]); });
  }
  if (!end_of_document_.empty() && documents_ > 0)
    dictionary.add_symbol(end_of_document_, documents_);
  dictionary.add_symbol(dictionary.symbol(dictionary.eos()), documents_);
}

DocumentEncoder::DocumentEncoder(const Dictionary& dictionary, const Tokenizer* tokenizer,
                                 const std::string& end_of_document) {
  auto shared = std::make_shared<Shared>();
  shared->ids = WordMap<std::int32_t>(static_cast<std::size_t>(dictionary.size()));
  for (std::int64_t id = 0; id < dictionary.size(); ++id) {
    const std::string& symbol = dictionary.symbol(id);
    shared->ids.insert(symbol, static_cast<std::int32_t>(dictionary.index(
                                   symbol)));  // of an overwritten word: its last id
  }
  shared->unk = static_cast<std::int32_t>(dictionary.unk());
  shared->eos = static_cast<std::int32_t>(dictionary.eos());
  shared->unk_symbol = dictionary.symbol(dictionary.unk());
  if (tokenizer != nullptr) {
    shared->tokenizer = tokenizer->clone();
    shared->of_token.assign(static_cast<std::size_t>(tokenizer->size()), kByText);
    for (std::int32_t id = 0; id < tokenizer->size(); ++id) {
      const std::string symbol = tokenizer->symbol(id);
      const std::int32_t* const found = shared->ids.find(symbol);
      if (id != tokenizer->unknown_id() && found != nullptr && is_one_word(symbol))
        shared->of_token[static_cast<std::size_t>(id)] = *found;
    }
  }
  if (!end_of_document.empty()) {
    shared->end_of_document = end_symbol(tokenizer, end_of_document);
    if (shared->ids.find(shared->end_of_document) == nullptr)
      throw UsageError("--end-of-document: the dictionary has no symbol '" +
                       printable(shared->end_of_document) + "'");
  }
  shared_ = std::move(shared);
  if (shared_->tokenizer) tokenizer_ = shared_->tokenizer->clone();
}

DocumentEncoder::DocumentEncoder(std::shared_ptr<const Shared> shared)
    : shared_(std::move(shared)) {
  if (shared_->tokenizer) tokenizer_ = shared_->tokenizer->clone();
}

DocumentEncoder DocumentEncoder::clone() const { return DocumentEncoder(shared_); }

void DocumentEncoder::encode_word(std::string_view word, std::vector<std::int64_t>& ids) {
  const std::int32_t* const found = shared_->ids.find(word);
  const std::int32_t id = found != nullptr ? *found : shared_->unk;
  if (id == shared_->unk && word != shared_->unk_symbol) ++replaced_;
  ids.push_back(id);
}

void DocumentEncoder::encode_tokens(std::string_view document, std::vector<std::int64_t>& ids) {
  tokens_.ids.clear();
  tokens_.unknown.clear();
  tokenizer_->encode(document, tokens_);
  const auto words = [&](std::string_view text) {
    for_each_word(text, [&](std::string_view word) { encode_word(word, ids); });
  };
  std::size_t unknown = 0;
  for (const std::int32_t token : tokens_.ids) {
    const std::int32_t id = shared_->of_token[static_cast<std::size_t>(token)];
    if (id != kByText)
      ids.push_back(id);
    else if (token == tokenizer_->unknown_id())
      words(tokens_.unknown[unknown++]);
    else
      words(tokenizer_->symbol(token));
  }
}

void DocumentEncoder::encode(std::string_view document, std::vector<std::int64_t>& ids) {
  if (tokenizer_)
    encode_tokens(document, ids);
  else
    for_each_word(document, [&](std::string_view word) { encode_word(word, ids); });
  if (!shared_->end_of_document.empty())
    ids.push_back(*shared_->ids.find(shared_->end_of_document));
  ids.push_back(shared_->eos);
}

void DocumentEncoder::append_symbols(std::string_view document, std::string& text) {
  const auto append = [&](std::string_view word) {
    if (!text.empty() && text.back() != '\n') text += ' ';
    text += word;
    if (!shared_->ids.find(word)) ++replaced_;
  };
  const auto words = [&](std::string_view piece) { for_each_word(piece, append); };
  if (!tokenizer_) {
    words(document);
  } else {
    tokens_.ids.clear();
    tokens_.unknown.clear();
    tokenizer_->encode(document, tokens_);
    std::size_t unknown = 0;
    for (const std::int32_t token : tokens_.ids)
      words(token == tokenizer_->unknown_id() ? tokens_.unknown[unknown++]
                                              : tokenizer_->symbol(token));
  }
  if (!shared_->end_of_document.empty()) append(shared_->end_of_document);
  text += '\n';
}

}  // namespace compat
