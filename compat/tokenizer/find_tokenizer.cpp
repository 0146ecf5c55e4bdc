#include "compat/tokenizer/find_tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "compat/base/error.h"
#include "compat/base/natural_order.h"
#include "compat/base/numbers.h"
#include "compat/tokenizer/sentencepiece_model.h"
#include "compat/tokenizer/text_codec.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostListed = 10'000;  // files of a folder
constexpr std::uintmax_t kLargestModel = std::uintmax_t{256} << 20;

bool is_file(const fs::path& path) {
  std::error_code unknown;
  return fs::is_regular_file(path, unknown);
}

/// The files *.model of a folder, sorted.
std::vector<fs::path> sentencepiece_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::size_t listed = 0;
  for (fs::directory_iterator entry(folder, error), end;
       !error && entry != end && listed < kMostListed; entry.increment(error), ++listed)
    if (entry->path().extension() == ".model" && is_file(entry->path()))
      names.push_back(entry->path().filename().string());
  std::ranges::sort(names, natural_less);
  std::vector<fs::path> files;
  for (const std::string& name : names) files.push_back(folder / name);
  return files;
}

/// The tokenizers of a folder that suit `kind`.
std::vector<TokenizerOptions> tokenizers_in(const fs::path& folder, SymbolKind kind) {
  std::vector<TokenizerOptions> found;
  if (kind == SymbolKind::kPieces) {
    for (const fs::path& file : sentencepiece_files(folder))
      found.push_back({"sentencepiece", {}, {}, file.string()});
  } else {
    static constexpr std::array<std::pair<const char*, const char*>, 2> kNames{
        std::pair{"encoder.json", "vocab.bpe"}, std::pair{"vocab.json", "merges.txt"}};
    for (const auto& [encoder, merges] : kNames)
      if (is_file(folder / encoder) && is_file(folder / merges))
        found.push_back({"gpt2", (folder / encoder).string(), (folder / merges).string(), {}});
  }
  return found;
}

/// The first file, or the kind where it has none.
std::string file_of(const TokenizerOptions& options) {
  const std::vector<std::string> files = options.files();
  return files.empty() ? "--bpe " + options.bpe : files.front();
}

/// The tokenizer, or null for a file that is none: other programs write *.model as well.
std::unique_ptr<Tokenizer> load_candidate(const TokenizerOptions& options) {
  std::error_code unknown;
  if (options.bpe == "sentencepiece" &&
      fs::file_size(options.sentencepiece_model, unknown) > kLargestModel)
    return nullptr;
  try {
    return load_tokenizer(options);
  } catch (const FormatError&) {
    return nullptr;
  }
}

/// `options` with the --bpe that its files imply.
TokenizerOptions with_kind(TokenizerOptions options) {
  if (options.bpe != kFoundTokenizer) return options;
  std::string kind;
  for (const char* const bpe : {"gpt2", "hf_byte_bpe", "sentencepiece", "fastbpe"}) {
    options.bpe = bpe;
    if (options.files().empty()) continue;
    if (!kind.empty())
      throw UsageError("files for --bpe " + kind + " and --bpe " + bpe +
                       " exclude each other (--bpe chooses one)");
    kind = bpe;
  }
  options.bpe = kind.empty() ? kFoundTokenizer : kind;
  return options;
}

/// Whether the options alone tell the tokenizer.
bool names_tokenizer(const TokenizerOptions& options) {
  const bool searched = options.bpe == "gpt2" || options.bpe == "sentencepiece";
  return options.bpe != "none" && options.bpe != kFoundTokenizer &&
         (!searched || !options.files().empty());
}

[[noreturn]] void refuse_none(SymbolKind kind, const std::string& dictionary_file) {
  const bool pieces = kind == SymbolKind::kPieces;
  throw UsageError(printable(dictionary_file, 4096) + " holds " +
                   (pieces ? "pieces of a sentencepiece model" : "ids of GPT-2's BPE") +
                   ", and there is none beside it or the model: expected " +
                   (pieces ? "--sentencepiece-model" : "--gpt2-encoder-json and --gpt2-vocab-bpe") +
                   " (--bpe none for text that is split already)");
}

}  // namespace

SymbolKind symbol_kind(const Dictionary& dictionary) {
  std::int64_t symbols = 0, pieces = 0, numbers = 0;
  for (std::int64_t id = dictionary.unk() + 1; id < dictionary.size(); ++id) {
    const std::string& symbol = dictionary.symbol(id);
    if (symbol.starts_with("madeupword")) continue;
    ++symbols;
    pieces += symbol.starts_with(kSpacePiece) ? 1 : 0;
    numbers += number_of<std::uint32_t>(symbol) ? 1 : 0;
  }
  if (pieces * 100 > symbols || dictionary.contains(kSpacePiece)) return SymbolKind::kPieces;
  return symbols > 0 && numbers * 100 >= symbols * 95 ? SymbolKind::kGpt2Ids : SymbolKind::kWords;
}

std::vector<std::string> tokenizer_words(const TokenizerOptions& options) {
  std::vector<std::string> words{"--bpe", options.bpe, "--tokenizer", options.tokenizer};
  for (const auto& [flag, file] : {std::pair{"--gpt2-encoder-json", &options.gpt2_encoder_json},
                                   {"--gpt2-vocab-bpe", &options.gpt2_vocab_bpe},
                                   {"--sentencepiece-model", &options.sentencepiece_model},
                                   {"--bpe-codes", &options.bpe_codes},
                                   {"--fastbpe-vocab", &options.fastbpe_vocab},
                                   {"--bpe-vocab", &options.bpe_vocab},
                                   {"--bpe-merges", &options.bpe_merges},
                                   {"--moses-data", &options.moses_data}})
    if (!file->empty()) words.insert(words.end(), {flag, *file});
  if (options.bpe_add_prefix_space) words.emplace_back("--bpe-add-prefix-space");
  if (options.tokenizer != "moses") return words;
  words.insert(words.end(), {"--moses-source-lang", options.moses_source_lang,
                             "--moses-target-lang", options.moses_target_lang});
  if (options.moses_no_dash_splits) words.emplace_back("--moses-no-dash-splits");
  if (options.moses_no_escape) words.emplace_back("--moses-no-escape");
  return words;
}

FoundTokenizer find_tokenizer(const TokenizerOptions& options, const Dictionary& dictionary,
                              const std::string& dictionary_file,
                              std::span<const fs::path> folders) {
  check_pretokenizer(options.tokenizer);  // before files are looked for
  const TokenizerOptions named = with_kind(options);
  if (names_tokenizer(named)) return {load_tokenizer(named), file_of(named), named};
  const SymbolKind kind = named.bpe == "gpt2"            ? SymbolKind::kGpt2Ids
                          : named.bpe == "sentencepiece" ? SymbolKind::kPieces
                          : named.bpe == "none"          ? SymbolKind::kWords
                                                         : symbol_kind(dictionary);
  if (kind == SymbolKind::kWords) {
    TokenizerOptions words = named;
    words.bpe = "none";
    return {load_tokenizer(named), {}, words};
  }
  TokenizerOptions before = named;  // so that its errors are not taken for those of a model
  before.bpe = "none";
  load_tokenizer(before);
  FoundTokenizer unfit;
  for (const fs::path& folder : folders) {
    FoundTokenizer found;
    std::vector<TokenizerOptions> candidates = tokenizers_in(folder, kind);
    for (TokenizerOptions& candidate : candidates) {
      TokenizerOptions whole = named;  // with what comes before
      whole.bpe = candidate.bpe;
      whole.gpt2_encoder_json = candidate.gpt2_encoder_json;
      whole.gpt2_vocab_bpe = candidate.gpt2_vocab_bpe;
      whole.sentencepiece_model = candidate.sentencepiece_model;
      auto tokenizer = load_candidate(whole);
      if (!tokenizer) continue;
      if (tokenizer_fit(dictionary, *tokenizer).foreign_share > kMostForeign) {
        unfit = {std::move(tokenizer), file_of(candidate), whole};
        continue;
      }
      if (found.tokenizer)
        throw UsageError(printable(found.file, 4096) + " and " +
                         printable(file_of(candidate), 4096) +
                         " both fit the dictionary: name one of them (--sentencepiece-model)");
      found = {std::move(tokenizer), file_of(candidate), whole};
    }
    if (found.tokenizer) return found;
  }
  if (unfit.tokenizer) return unfit;
  refuse_none(kind, dictionary_file);
}

}  // namespace compat
