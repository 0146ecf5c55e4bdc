#include "converters/hugging_face_tokenizer.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/tokenizer/document_encoder.h"
#include "compat/tokenizer/sentencepiece_model.h"
#include "converters/tokenizer_json.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using SpmModel = compat::SentencePieceModel;

/// A map with one entry per token. ordered_json is not used: it searches names linearly, and there
/// are tens of thousands.
using Vocabulary = std::map<std::string, std::int64_t>;
using Merges = std::vector<std::pair<std::string, std::string>>;

constexpr double kNeverChosen = -1e6;  // a unigram's score (a log-probability)

/// The dictionary's symbols that can occur in text, and the ids of all other tokens.
class Symbols {
 public:
  Symbols(const compat::Dictionary& dictionary, const fs::path& file)
      : dictionary_(dictionary), file_(file), next_(dictionary.size()) {}

  /// The id of the token with the symbol `symbol`. `is_part`: merges refer to its id.
  std::int64_t id_of(const std::string& symbol, bool is_part) {
    if (dictionary_.contains(symbol)) return dictionary_.index(symbol);
    ++result.missing_tokens;
    if (!is_part) return dictionary_.unk();
    ++result.extra_ids;
    return next_++;
  }
  /// Special symbols, padding and the user's own symbols (<mask>) do not occur in text.
  bool is_text(std::int64_t id) const {
    const std::string& symbol = dictionary_.symbol(id);
    const bool bracketed = symbol.starts_with('<') && symbol.ends_with('>');
    return id > dictionary_.unk() && !symbol.starts_with("madeupword") && !bracketed &&
           dictionary_.index(symbol) == id;
  }
  [[noreturn]] void refuse(std::int64_t id, const std::string& expected) const {
    throw compat::FormatError({file_.string(), {}, {}},
                              "its symbol '" + compat::printable(dictionary_.symbol(id)) +
                                  "' (id " + std::to_string(id) +
                                  ") is not the tokenizer's, expected " + expected);
  }
  std::int64_t size() const { return dictionary_.size(); }
  const std::string& operator[](std::int64_t id) const { return dictionary_.symbol(id); }
  std::int64_t unk() const { return dictionary_.unk(); }

  HuggingFaceTokenizer result;

 private:
  const compat::Dictionary& dictionary_;
  fs::path file_;
  std::int64_t next_;
};

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

/// The special symbols, which the file's added tokens name.
void add_special(const Symbols& symbols, Vocabulary& vocabulary) {
  for (std::int64_t id = 0; id <= symbols.unk(); ++id) vocabulary.emplace(symbols[id], id);
}

/// Byte-level BPE. The dictionary's symbols are the ids of encoder.json.
Json gpt2_tokenizer(Symbols& symbols, const compat::TokenizerOptions& options) {
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

/// How tokenizer.json encodes consecutive unknown characters: as a symbol of fairseq's dictionary,
/// or as <unk>.
struct UnknownRuns {
  std::set<std::uint32_t> known;  ///< The characters of the model, and the space.
  std::set<std::string>
      of_dictionary;      ///< Symbols that are not pieces, but consecutive unknown characters.
  std::string long_ones;  ///< Those of two or more characters, as alternatives of an expression.
};

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const auto byte = [&](std::size_t i) {
      return at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U;
    };
    const std::uint32_t bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t i = 0; i < 4; ++i)
      text += at + i > bytes.size() ? '=' : kDigits[bits >> (18 - 6 * i) & 63];
  }
  return text;
}

/// Refuses models that tokenizer.json cannot express.
void refuse_unsupported(const SpmModel& model, const std::string& file) {
  const auto refuse = [&](const std::string& what) {
    throw compat::UnsupportedError(compat::printable(file, 4096) +
                                   ": cannot be expressed in tokenizer.json: " + what);
  };
  if (model.algorithm != SpmModel::kBpe && model.algorithm != SpmModel::kUnigram)
    refuse("a model of words or characters");
  if (model.treat_whitespace_as_suffix) refuse("white space as a suffix");
  if (!model.escape_whitespaces) refuse("white space that is not escaped");
  std::set<std::string_view> pieces;
  for (const SpmModel::Piece& piece : model.pieces) {
    if (piece.type == SpmModel::kUserDefined || piece.type == SpmModel::kUnused)
      refuse("the " + std::string(piece.type == SpmModel::kUnused ? "unused" : "user-defined") +
             " piece '" + compat::printable(piece.text) + "'");
    if (piece.type == SpmModel::kNormal) pieces.insert(piece.text);
  }
  if (!pieces.contains(compat::kSpacePiece)) refuse("no piece for the space alone");
  for (const std::string_view piece : pieces)
    for (const auto& [code, bytes] : characters_of(piece))
      if (!pieces.contains(bytes))
        refuse("a character of the piece '" + compat::printable(piece) +
               "', without a piece of its own");
}

/// `text` as a regular expression that matches only it.
std::string literal(std::string_view text) {
  std::string expression;
  for (const auto& [code, bytes] : characters_of(text)) {
    const std::string set = characters_except({code});  // "[^\x{e9}]"
    expression += set.substr(2, set.size() - 3);
  }
  return expression;
}

UnknownRuns unknown_runs(const SpmModel& model, const Symbols& symbols) {
  UnknownRuns runs;
  runs.known.insert(' ');
  std::set<std::string_view> pieces;
  for (const SpmModel::Piece& piece : model.pieces) {
    if (piece.type == SpmModel::kNormal || piece.type == SpmModel::kByte) pieces.insert(piece.text);
    if (piece.type == SpmModel::kNormal)
      for (const auto& [code, bytes] : characters_of(piece.text)) runs.known.insert(code);
  }
  for (std::int64_t id = 0; id < symbols.size(); ++id) {
    if (!symbols.is_text(id) || pieces.contains(symbols[id])) continue;
    const auto characters = characters_of(symbols[id]);
    const auto is_known = [&](const auto& character) {
      return runs.known.contains(character.first);
    };
    if (model.byte_fallback || std::ranges::any_of(characters, is_known))
      symbols.refuse(id, "a piece of the model, or characters it does not have");
    runs.of_dictionary.insert(symbols[id]);
    if (characters.size() < 2) continue;
    if (!runs.long_ones.empty()) runs.long_ones += '|';
    runs.long_ones += literal(symbols[id]);
  }
  return runs;
}

/// sentencepiece's merges: any two pieces whose join is a piece, ordered by its score.
Merges merges_of(const SpmModel& model) {
  std::vector<const SpmModel::Piece*> by_score;
  std::set<std::string_view> pieces;
  for (const SpmModel::Piece& piece : model.pieces)
    if (piece.type == SpmModel::kNormal) by_score.push_back(&piece), pieces.insert(piece.text);
  std::ranges::stable_sort(by_score, std::ranges::greater{}, &SpmModel::Piece::score);
  Merges merges;
  for (const SpmModel::Piece* const piece : by_score) {
    std::size_t at = 0;
    for (const auto& [code, bytes] : characters_of(piece->text)) {
      const std::string_view left = piece->text.substr(0, at), right = piece->text.substr(at);
      if (at > 0 && pieces.contains(left) && pieces.contains(right))
        merges.emplace_back(left, right);
      at += bytes.size();
    }
  }
  return merges;
}

Json sentencepiece_bpe(Symbols& symbols, const SpmModel& model, const UnknownRuns& runs) {
  const Merges merges = merges_of(model);
  std::set<std::string> parts;
  for (const auto& [left, right] : merges) parts.insert(left), parts.insert(right);
  Vocabulary vocabulary;
  for (const SpmModel::Piece& piece : model.pieces) {
    const std::string text(piece.text);
    if (piece.type == SpmModel::kNormal || piece.type == SpmModel::kByte)
      vocabulary.emplace(text, symbols.id_of(text, parts.contains(text)));
  }
  for (const std::string& run : runs.of_dictionary)
    vocabulary.emplace(run, symbols.id_of(run, false));
  add_special(symbols, vocabulary);
  Json json = bpe_model(symbols, vocabulary, merges);
  json["byte_fallback"] = model.byte_fallback;
  json["ignore_merges"] = !runs.long_ones.empty();
  return json;
}

Json sentencepiece_unigram(Symbols& symbols, const SpmModel& model, const UnknownRuns& runs) {
  double least = 0;
  std::map<std::string_view, double> scores;
  std::vector<std::string> strays;
  for (const SpmModel::Piece& piece : model.pieces) {
    if (piece.type != SpmModel::kNormal && piece.type != SpmModel::kByte) continue;
    scores[piece.text] = piece.type == SpmModel::kByte ? kNeverChosen : piece.score;
    if (piece.type == SpmModel::kNormal) least = std::min<double>(least, piece.score);
    const std::string text(piece.text);
    if (symbols.id_of(text, true) >= symbols.size()) strays.push_back(text);
  }
  Json vocabulary = Json::array();
  for (std::int64_t id = 0; id < symbols.size(); ++id) {
    const auto score = scores.find(symbols[id]);
    const bool is_run = runs.of_dictionary.contains(symbols[id]);
    vocabulary.push_back({symbols[id], score != scores.end() ? score->second
                                       : is_run              ? least
                                                             : kNeverChosen});
  }
  for (const std::string& piece : strays) vocabulary.push_back({piece, scores[piece]});
  return {{"type", "Unigram"},
          {"unk_id", symbols.unk()},
          {"vocab", std::move(vocabulary)},
          {"byte_fallback", model.byte_fallback}};
}

/// With ignore_merges, a word that is a token becomes that token. This is meant for consecutive
/// unknown characters. Other such words ("<s>", and pieces that their merges do not make) must not:
/// a Split separates them where the first merged token ends.
Json split_of_merged_words(const Json& model, const UnknownRuns& runs) {
  const TokenizerJson written(
      Json{{"model", model}}.dump(-1, ' ', false, Json::error_handler_t::replace),
      "tokenizer.json");
  std::string words;
  for (const auto& [token, id] : model["vocab"].items()) {
    const auto merged = written.merged(token);
    const bool has_unknown = std::ranges::any_of(
        characters_of(token), [&](const auto& one) { return !runs.known.contains(one.first); });
    if (merged.size() < 2 || has_unknown) continue;
    std::string first;
    for (const auto& [code, bytes] : characters_of(token)) {
      first += bytes;
      if (written.merged(first) == std::vector{merged[0]} && written.id_of(first) == merged[0])
        break;
    }
    words += (words.empty() ? "" : "|") + literal(first) +
             "(?=" + literal(std::string_view(token).substr(first.size())) + "\\z)";
  }
  return {{"type", "Split"},
          {"pattern", {{"Regex", "\\A(?:" + words + ")"}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

Json normalizer_of(const SpmModel& model, const UnknownRuns& runs) {
  const auto replace = [](const std::string& expression, const std::string& content) {
    return Json{{"type", "Replace"}, {"pattern", {{"Regex", expression}}}, {"content", content}};
  };
  Json steps = Json::array();
  if (!model.charsmap.empty())
    steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", base64(model.charsmap)}});
  if (model.remove_extra_whitespaces) {
    steps.push_back({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
    steps.push_back(replace(" {2,}", " "));
  }
  // Otherwise unknown characters that are symbols themselves, but not as a run, would become those
  // symbols.
  if (!runs.of_dictionary.empty()) {
    std::uint32_t unused = 0xFFFD;
    std::string text = "\xEF\xBF\xBD";
    while (runs.known.contains(unused) || runs.of_dictionary.contains(text)) {
      unused = unused == 0xFFFD ? 0xE000 : unused + 1;
      text = {static_cast<char>(0xE0 | unused >> 12), static_cast<char>(0x80 | (unused >> 6 & 63)),
              static_cast<char>(0x80 | (unused & 63))};
    }
    const std::string other = characters_except(runs.known);
    const std::string but_symbols =
        runs.long_ones.empty() ? "" : "(?!(?:" + runs.long_ones + ")(?!" + other + "))";
    steps.push_back(replace("(?<!" + other + ")" + but_symbols + other + "{2,}", text));
  }
  return {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

Json sentencepiece_tokenizer(Symbols& symbols, const compat::TokenizerOptions& options) {
  const auto file = compat::MappedFile::open(options.sentencepiece_model);
  const auto model = compat::read_sentencepiece_model(compat::as_chars(file->bytes()));
  if (!model) throw compat::FormatError({file->path(), {}, {}}, "not a sentencepiece model");
  refuse_unsupported(*model, file->path());
  const UnknownRuns runs = unknown_runs(*model, symbols);
  const bool joins_words = std::ranges::any_of(model->pieces, [](const SpmModel::Piece& piece) {
    return piece.text.find(compat::kSpacePiece, 1) != std::string_view::npos;
  });
  const Json space{{"type", "Metaspace"},
                   {"replacement", std::string(compat::kSpacePiece)},
                   {"prepend_scheme", model->add_dummy_prefix ? "always" : "never"},
                   {"split", !joins_words}};
  Json words = Json::array({space});
  words.push_back({{"type", "Split"},
                   {"pattern", {{"Regex", characters_except(runs.known) + "+"}}},
                   {"behavior", "Isolated"},
                   {"invert", false}});
  Json json = model->algorithm == SpmModel::kBpe ? sentencepiece_bpe(symbols, *model, runs)
                                                 : sentencepiece_unigram(symbols, *model, runs);
  if (json.value("ignore_merges", false)) words.push_back(split_of_merged_words(json, runs));
  return {{"normalizer", normalizer_of(*model, runs)},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", std::move(words)}}},
          {"decoder", space},
          {"model", std::move(json)}};
}

/// The file, in the order in which the library writes it. As in a data-bin, no special symbol is
/// added around a text.
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

/// Texts of the dictionary's symbols: each symbol alone, then many together.
std::vector<std::string> sample_texts(const Symbols& symbols, const compat::Tokenizer& tokenizer) {
  constexpr std::size_t kMostAlone = 20'000, kLines = 1000, kWords = 24;
  std::vector<std::string_view> all;
  for (std::int64_t id = 0; id < symbols.size(); ++id)
    if (symbols.is_text(id)) all.push_back(symbols[id]);
  std::vector<std::string> texts;
  const std::size_t step = all.size() / kMostAlone + 1;
  for (std::size_t i = 0; i < all.size(); i += step)
    texts.push_back(tokenizer.decode(std::span(&all[i], 1)));
  std::mt19937_64 random(1);
  for (std::size_t line = 0; line < kLines && !all.empty(); ++line) {
    std::vector<std::string_view> drawn;
    for (std::size_t i = 0; i < kWords; ++i) drawn.push_back(all[random() % all.size()]);
    texts.push_back(tokenizer.decode(drawn));
  }
  return texts;
}

/// Whether the tokenizer's normalisation keeps `text`, which is its symbols joined.
bool is_normal(compat::DocumentEncoder& encoder, const std::string& text, bool sentencepiece) {
  if (!sentencepiece) return true;
  std::string symbols, joined;
  encoder.append_symbols(text, symbols);
  for (std::size_t at = 0; at < symbols.size(); ++at) {
    if (symbols[at] == ' ' || symbols[at] == '\n') continue;
    const bool space = symbols.compare(at, compat::kSpacePiece.size(), compat::kSpacePiece) == 0;
    joined += space ? ' ' : symbols[at];
    if (space) at += compat::kSpacePiece.size() - 1;
  }
  return joined == text || joined == " " + text;
}

std::string list_of(const std::vector<std::int64_t>& ids) {
  std::string text;
  for (std::size_t i = 0; i < ids.size() && i < 8; ++i)
    text += (i > 0 ? " " : "") + std::to_string(ids[i]);
  return ids.size() > 8 ? text + " ..." : text;
}

void prove(const fs::path& path, const compat::Dictionary& dictionary,
           const compat::Tokenizer& tokenizer, Symbols& symbols, bool sentencepiece) {
  const auto file = compat::MappedFile::open(path);
  const TokenizerJson written(compat::as_chars(file->bytes()), path.filename().string());
  compat::DocumentEncoder encoder(dictionary, &tokenizer, "");
  const std::vector<std::string> texts = sample_texts(symbols, tokenizer);
  for (const std::string& text : texts) {
    if (text.empty() || !is_normal(encoder, text, sentencepiece)) continue;
    std::vector<std::int64_t> expected, found = written.encode(text);
    encoder.encode(text, expected);
    expected.pop_back();  // </s>
    const bool tie = found != expected && written.is_tie(found, expected);
    symbols.result.ties += tie ? 1 : 0;
    for (std::int64_t& id : found) id = id < dictionary.size() ? id : dictionary.unk();
    if (found != expected && !tie)
      throw compat::FormatError({"tokenizer.json", {}, {}},
                                "cannot give the data-bin's ids: '" + compat::printable(text, 60) +
                                    "' is " + list_of(expected) + " in the data-bin, and here " +
                                    list_of(found));
    ++symbols.result.proven_texts;
    symbols.result.proven_tokens += static_cast<std::int64_t>(expected.size());
  }
  if (symbols.result.proven_texts * 2 < static_cast<std::int64_t>(texts.size()))
    throw compat::FormatError(
        {"tokenizer.json", {}, {}},
        "could not be compared: normalisation changes most texts of the dictionary's symbols");
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
  Json parts =
      sentencepiece ? sentencepiece_tokenizer(symbols, options) : gpt2_tokenizer(symbols, options);
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
  prove(path, dictionary, *tokenizer, symbols, sentencepiece);
  return symbols.result;
}

}  // namespace converters
