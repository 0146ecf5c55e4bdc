#include "converters/tokenizer_symbols.h"

#include <nlohmann/json.hpp>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace converters {

using Json = nlohmann::ordered_json;

std::int64_t Symbols::id_of(const std::string& symbol, bool is_part) {
  if (dictionary_.contains(symbol)) return dictionary_.index(symbol);
  ++result.missing_tokens;
  if (!is_part) return dictionary_.unk();
  ++result.extra_ids;
  return next_++;
}

bool Symbols::is_text(std::int64_t id) const {
  const std::string& symbol = dictionary_.symbol(id);
  const bool bracketed = symbol.starts_with('<') && symbol.ends_with('>');
  return id > dictionary_.unk() && !symbol.starts_with("madeupword") && !bracketed &&
         dictionary_.index(symbol) == id;
}

void Symbols::refuse(std::int64_t id, const std::string& expected) const {
  throw compat::FormatError(
      {file_.string(), {}, {}},
      compat::concat("its symbol '", compat::printable(dictionary_.symbol(id)), "' (id ", id,
                     ") is not the tokenizer's, expected ", expected));
}

void add_special(const Symbols& symbols, Vocabulary& vocabulary) {
  for (std::int64_t id = 0; id <= symbols.unk(); ++id) vocabulary.emplace(symbols[id], id);
}

Json bpe_model(const Symbols& symbols, const Vocabulary& vocabulary, const Merges& merges) {
  Json lines = Json::array();
  for (const auto& [left, right] : merges) lines.push_back(left + " " + right);
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", symbols[symbols.unk()]},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", true},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", Json(nlohmann::json(vocabulary))},
          {"merges", std::move(lines)}};
}

}  // namespace converters
