#include "btm/cluster/corpus.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/json_text.h"
#include "compat/io/text_file.h"
#include "compat/tokenizer/find_tokenizer.h"
#include "compat/tokenizer/gpt2_words.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWordStart = "\xE2\x96\x81";  ///< sentencepiece's U+2581
constexpr std::string_view kContinues = "@@";

fs::path dictionary_of(const fs::path& prefix) {
  const fs::path folder = prefix.parent_path();
  for (const fs::path& candidate : {folder / "dict.txt", folder / ".." / "dict.txt"})
    if (fs::exists(candidate)) return candidate;
  throw compat::IoError(prefix.string(),
                        "no dict.txt beside this data-bin nor in the folder above");
}

constexpr std::string_view kJson = ".json";

std::shared_ptr<const compat::MappedFile> open_text(const fs::path& path) {
  const auto file = compat::TextFile::open(path);
  if (!file->is_compressed()) return compat::MappedFile::open(path);
  const auto text = std::make_shared<const std::string>(file->rest());
  return compat::MappedFile::of_memory(path.string(), compat::as_byte_span(*text), text);
}

/// The bytes of each symbol that is the id of a token of GPT-2's encoder.json.
std::vector<std::string> gpt2_bytes(const compat::Dictionary& dictionary, const std::string& path) {
  const auto file = compat::MappedFile::open(path);
  const compat::Location where{file->path(), {}, {}};
  const auto tokens =
      compat::parse_json_object(compat::as_chars(file->bytes()), where, "GPT-2's encoder.json");
  std::unordered_map<std::string, char> byte_of;
  const auto characters = compat::gpt2_byte_characters();
  for (std::size_t i = 0; i < characters.size(); ++i)
    byte_of.emplace(characters[i], static_cast<char>(i));
  std::unordered_map<std::string, std::string> bytes_of;  // by the id in decimal digits
  for (const auto& [token, id] : tokens.items()) {
    if (!id.is_number_integer())
      throw compat::FormatError(where, "the value of '" + compat::printable(token) +
                                           "' is not an integer, expected GPT-2's encoder.json");
    std::string bytes;
    for (std::string_view left = token; !left.empty();) {
      const std::size_t length = std::max<std::size_t>(compat::utf8_length(left), 1);
      const auto found = byte_of.find(std::string(left.substr(0, length)));
      if (found != byte_of.end()) bytes += found->second;
      left.remove_prefix(length);
    }
    bytes_of.emplace(std::to_string(id.get<std::int64_t>()), std::move(bytes));
  }
  std::vector<std::string> bytes(static_cast<std::size_t>(dictionary.size()));
  for (std::int64_t id = dictionary.unk() + 1; id < dictionary.size(); ++id)
    if (const auto found = bytes_of.find(dictionary.symbol(id)); found != bytes_of.end())
      bytes[static_cast<std::size_t>(id)] = found->second;
  return bytes;
}

}  // namespace

TokenText::TokenText(const compat::Dictionary& dictionary, const std::string& post_process)
    : dictionary_(dictionary),
      join_(join_of(dictionary, post_process)),
      bytes_(join_ == Join::kBytes ? gpt2_bytes(dictionary, post_process)
                                   : std::vector<std::string>()) {}

TokenText::Join TokenText::join_of(const compat::Dictionary& dictionary,
                                   const std::string& post_process) {
  if (post_process.empty() || post_process == "none") return Join::kNot;
  if (post_process == "sentencepiece") return Join::kSentencepiece;
  if (post_process.ends_with(kJson)) return Join::kBytes;
  if (post_process == "subword_nmt" || post_process == "@@ ") return Join::kSubword;
  if (!post_process.empty() && post_process != "auto" && post_process != "none")
    throw compat::UsageError("--post-process '" + compat::printable(post_process) +
                             "', expected auto, none, sentencepiece, subword_nmt or GPT-2's "
                             "encoder.json");
  switch (compat::symbol_kind(dictionary)) {
    case compat::SymbolKind::kPieces:
      return Join::kSentencepiece;
    case compat::SymbolKind::kGpt2Ids:
      throw compat::UsageError(
          "the symbols are ids of GPT-2, whose words are not known here: name GPT-2's encoder.json "
          "(--post-process, for ensembles --cluster-post-process), or none, which makes terms of "
          "the ids");
    case compat::SymbolKind::kWords:
      break;
  }
  for (std::int64_t id = 0; id < dictionary.size(); ++id)
    if (dictionary.symbol(id).ends_with(kContinues)) return Join::kSubword;
  return Join::kWords;
}

void TokenText::append(std::int64_t token, std::string& text) const {
  if (join_ == Join::kBytes) {
    text += bytes_.at(static_cast<std::size_t>(token));
    return;
  }
  const bool special = token == dictionary_.bos() || token == dictionary_.pad() ||
                       token == dictionary_.eos() || token == dictionary_.unk();
  std::string_view symbol =
      special ? std::string_view{} : std::string_view(dictionary_.symbol(token));
  if (join_ == Join::kSentencepiece) {
    if (special || symbol.starts_with(kWordStart)) text += ' ';
    if (symbol.starts_with(kWordStart)) symbol.remove_prefix(kWordStart.size());
    text += symbol;
    return;
  }
  const bool continues = join_ == Join::kSubword && symbol.ends_with(kContinues);
  if (continues) symbol.remove_suffix(kContinues.size());
  text += symbol;
  if (!continues) text += ' ';
}

Corpus::Corpus(const fs::path& path, const std::string& post_process) : path_(path.string()) {
  fs::path index = path;
  index += ".idx";
  if (fs::exists(index)) {
    open_data_bin(path);
    tokens_ = std::make_unique<TokenText>(dictionary_, post_process);
    rule_ = tokens_->joins() ? TermRule::kWords : TermRule::kPieces;
    refuse_empty();
    return;
  }
  if (!post_process.empty() && post_process != "auto" && post_process != "none")
    throw compat::UsageError("--post-process is for data-bins, " + compat::printable(path_, 4096) +
                             " is text");
  json_ = compat::names_json_lines(path);
  file_ = open_text(path);
  compat::for_each_line(compat::as_chars(file_->bytes()),
                        [&](std::string_view line) { lines_.push_back(line); });
  refuse_empty();
}

void Corpus::refuse_empty() const {
  if (size() == 0) throw compat::FormatError({path_, {}, {}}, "holds no documents");
}

void Corpus::open_data_bin(const fs::path& prefix) {
  dictionary_file_ = dictionary_of(prefix);
  dictionary_ = compat::Dictionary::load(dictionary_file_);
  dataset_ = compat::IndexedDataset::open(prefix, &dictionary_);
  compat::check_token_ids(*dataset_, dictionary_);
}

std::int64_t Corpus::size() const noexcept {
  return dataset_ ? dataset_->size() : static_cast<std::int64_t>(lines_.size());
}

std::string Corpus::text(std::int64_t i) const {
  if (dataset_) {
    std::string text;
    for (const std::int64_t token : dataset_->sequence(i)) tokens_->append(token, text);
    return text;
  }
  const std::string_view line = lines_[static_cast<std::size_t>(i)];
  if (!json_) return std::string(line);
  const auto json = compat::parse_json(line);
  const auto place = [&] { return compat::Location{path_, compat::concat("line ", i + 1), {}}; };
  if (!json.is_object()) throw compat::FormatError(place(), "is no JSON object");
  const auto text = json.find("text");
  if (text == json.end() || !text->is_string())
    throw compat::FormatError(place(), "has no \"text\"");
  return text->get<std::string>();
}

}  // namespace btm
