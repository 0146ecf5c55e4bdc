#include "converters/hugging_face_tokenizer.h"

#include <nlohmann/json.hpp>
#include <set>

#include "compat/base/byte_reader.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "converters/sentencepiece_json.h"
#include "converters/tokenizer_proof.h"
#include "converters/tokenizer_symbols.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Byte-level BPE: the dictionary calls tokens by their ids in encoder.json.
Json gpt2_json(Symbols& symbols, const compat::TokenizerOptions& options) {
  const auto file = compat::MappedFile::open(options.gpt2_encoder_json);
  const auto encoder = compat::parse_json_object(compat::as_chars(file->bytes()),
                                                 {file->path(), {}, {}}, "GPT-2's encoder.json");
  Merges merges;
  std::set<std::string> parts, called;
  for (compat::Gpt2Merge& merge : compat::read_gpt2_merges(options.gpt2_vocab_bpe)) {
    parts.insert(merge.left), parts.insert(merge.right);
    merges.emplace_back(std::move(merge.left), std::move(merge.right));
  }
  Vocabulary vocabulary;
  for (const auto& [token, id] : encoder.items()) {
    const std::string symbol = id.dump();
    called.insert(symbol);
    vocabulary.emplace(token, symbols.id_of(symbol, parts.contains(token)));
  }
  for (std::int64_t id = 0; id < symbols.size(); ++id)
    if (symbols.is_text(id) && !called.contains(symbols[id]))
      symbols.refuse(id, "an id of encoder.json");
  add_special(symbols, vocabulary);
  const Json step{{"type", "ByteLevel"},
                  {"add_prefix_space", false},
                  {"trim_offsets", true},
                  {"use_regex", true}};
  return {{"normalizer", nullptr},
          {"pre_tokenizer", step},
          {"decoder", step},
          {"model", bpe_model(symbols, vocabulary, merges)}};
}

/// The file, in the order in which the library writes it. No special symbol is put around a text,
/// as in a data-bin.
std::string file_text(Json parts, const Symbols& symbols) {
  Json added = Json::array();
  for (std::int64_t id = 0; id <= symbols.unk(); ++id)
    added.push_back({{"id", id},
                     {"content", symbols[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  Json root{{"version", "1.0"},
            {"truncation", nullptr},
            {"padding", nullptr},
            {"added_tokens", std::move(added)}};
  for (const char* const key :
       {"normalizer", "pre_tokenizer", "post_processor", "decoder", "model"})
    root[key] = std::move(parts[key]);
  return root.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

HuggingFaceTokenizer write_hugging_face_tokenizer(const fs::path& folder,
                                                  const compat::Dictionary& dictionary,
                                                  const fs::path& dictionary_file,
                                                  const compat::TokenizerOptions& options,
                                                  std::int64_t positions) {
  const std::unique_ptr<compat::Tokenizer> tokenizer = compat::load_tokenizer(options);
  const bool sentencepiece = options.bpe == "sentencepiece";
  Symbols symbols(dictionary, dictionary_file);
  Json parts = sentencepiece ? sentencepiece_json(symbols, options) : gpt2_json(symbols, options);
  const fs::path path = folder / "tokenizer.json";
  compat::write_file_atomically(path, file_text(std::move(parts), symbols));
  const std::string& eos = dictionary.symbol(dictionary.eos());
  const Json config{{"tokenizer_class", "PreTrainedTokenizerFast"},
                    {"bos_token", eos},
                    {"eos_token", eos},
                    {"unk_token", dictionary.symbol(dictionary.unk())},
                    {"pad_token", dictionary.symbol(dictionary.pad())},
                    {"model_max_length", positions},
                    {"clean_up_tokenization_spaces", false},
                    {"split_special_tokens", true}};
  compat::write_file_atomically(folder / "tokenizer_config.json", config.dump(2) + "\n");
  prove_tokenizer(path, dictionary, *tokenizer, symbols, sentencepiece);
  return symbols.result;
}

}  // namespace converters
