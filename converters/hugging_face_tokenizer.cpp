#include "converters/hugging_face_tokenizer.h"

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "compat/atomic_file.h"
#include "compat/byte_reader.h"
#include "compat/error.h"
#include "compat/json_text.h"
#include "compat/mapped_file.h"

namespace converters {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void write_gpt2_tokenizer(const fs::path& folder, const compat::Dictionary& dictionary, const fs::path& encoder_json, const fs::path& vocab_bpe) {
  const auto file = compat::MappedFile::open(encoder_json);
  const auto encoder = compat::parse_json_object(compat::as_chars(file->bytes()), {file->path(), {}, {}}, "GPT-2's encoder.json");
  std::unordered_map<std::string, std::string> token_of;
  for (const auto& [token, id] : encoder.items()) {
    if (!id.is_number_unsigned()) throw compat::FormatError({file->path(), {}, {}}, "'" + compat::printable(token) + "' has no id");
    token_of.emplace(std::to_string(id.get<std::uint64_t>()), token);
  }
  Json vocabulary = Json::object();
  for (std::int64_t id = 0; id < dictionary.size(); ++id) {
    const auto token = token_of.find(dictionary.symbol(id));
    vocabulary[token == token_of.end() ? dictionary.symbol(id) : token->second] = id;
  }
  const Json config{{"tokenizer_class", "GPT2Tokenizer"}, {"bos_token", "</s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"},
                    {"pad_token", "<pad>"}, {"add_prefix_space", false}, {"add_bos_token", false}};
  compat::write_file_atomically(folder / "vocab.json", vocabulary.dump(-1, ' ', false, Json::error_handler_t::replace));
  compat::write_file_atomically(folder / "merges.txt", compat::as_chars(compat::MappedFile::open(vocab_bpe)->bytes()));
  compat::write_file_atomically(folder / "tokenizer_config.json", config.dump(2) + "\n");
}

}  // namespace converters
