// What the kinds of tokenizer.json have in common: the dictionary's symbols, and a BPE model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "compat/fairseq/dictionary.h"
#include "converters/hugging_face_tokenizer.h"

namespace converters {

/// Strings that are long, of any length, or come in tens of thousands: ordered_json looks for each
/// name from the front.
using Vocabulary = std::map<std::string, std::int64_t>;
using Merges = std::vector<std::pair<std::string, std::string>>;

/// The dictionary's symbols that a text may hold, and the ids of tokens that are none of them.
class Symbols {
 public:
  Symbols(const compat::Dictionary& dictionary, const std::filesystem::path& file)
      : dictionary_(dictionary), file_(file), next_(dictionary.size()) {}

  /// Of a token that is called `symbol` in the dictionary. `is_part`: merges look for its id.
  std::int64_t id_of(const std::string& symbol, bool is_part);
  /// Special symbols, padding and the user's own (<mask>) are in no text.
  bool is_text(std::int64_t id) const;
  /// FormatError: the symbol of `id` is not the tokenizer's.
  [[noreturn]] void refuse(std::int64_t id, const std::string& expected) const;
  std::int64_t size() const { return dictionary_.size(); }
  const std::string& operator[](std::int64_t id) const { return dictionary_.symbol(id); }
  std::int64_t unk() const { return dictionary_.unk(); }

  HuggingFaceTokenizer result;

 private:
  const compat::Dictionary& dictionary_;
  std::filesystem::path file_;
  std::int64_t next_;
};

/// The special symbols, whose names the file's added tokens look for.
void add_special(const Symbols& symbols, Vocabulary& vocabulary);

/// "model" of a tokenizer.json of the type BPE.
nlohmann::ordered_json bpe_model(const Symbols& symbols, const Vocabulary& vocabulary,
                                 const Merges& merges);

}  // namespace converters
