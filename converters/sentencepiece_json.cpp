#include "converters/sentencepiece_json.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/json_line.h"
#include "compat/io/mapped_file.h"
#include "compat/tokenizer/sentencepiece_model.h"
#include "converters/tokenizer_json.h"

namespace converters {
namespace {

using Json = nlohmann::ordered_json;
using SpmModel = compat::SentencePieceModel;

constexpr double kNeverChosen = -1e6;  // a unigram's score (a log-probability)

/// Unknown characters in a row are one symbol of fairseq's dictionary, or <unk>: what
/// tokenizer.json has to be told.
struct UnknownRuns {
  std::set<std::uint32_t> known;        ///< Characters of the model, and the space.
  std::set<std::string> of_dictionary;  ///< Symbols that are no pieces: each a run.
  std::string long_ones;  ///< Those of two characters and more, as alternatives of an expression.
  /// White space that is no space to the model: fairseq splits its pieces there and drops it.
  std::set<std::uint32_t> separators;
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

/// What of a sentencepiece model tokenizer.json cannot say.
void refuse_unsupported(const SpmModel& model, const std::string& file) {
  const auto refuse = [&](const std::string& what) {
    throw compat::UnsupportedError(compat::printable(file, 4096) +
                                   ": has no counterpart in tokenizer.json: " + what);
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
        refuse("a character of the piece '" + compat::printable(piece) + "' that is no piece");
}

/// `text` as an expression for itself.
std::string literal(std::string_view text) {
  std::string expression;
  for (const auto& [code, bytes] : characters_of(text)) {
    const std::string set = characters_except({code});  // "[^\x{e9}]"
    expression += set.substr(2, set.size() - 3);
  }
  return expression;
}

/// What str.split() splits at.
std::vector<std::uint32_t> python_spaces() {
  constexpr std::uint32_t kHighest = 0x3000;
  std::vector<std::uint32_t> spaces;
  for (std::uint32_t code = 1; code <= kHighest; ++code) {
    std::string character;
    compat::append_utf8(code, character);
    if (compat::strip(character).empty()) spaces.push_back(code);
  }
  return spaces;
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
    compat::append_item(runs.long_ones, literal(symbols[id]), "|");
  }
  if (model.byte_fallback) return runs;  // no character is unknown
  for (const std::uint32_t code : python_spaces())
    if (runs.known.insert(code).second) runs.separators.insert(code);
  return runs;
}

/// sentencepiece's pairs: any two pieces that make a piece, that of the best score first.
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
  Json bpe = bpe_model(symbols, vocabulary, merges);
  bpe["byte_fallback"] = model.byte_fallback;
  bpe["ignore_merges"] = !runs.long_ones.empty();
  return bpe;
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

/// With ignore_merges a word that is a token is that token, which is meant for runs of unknown
/// characters. A split where their merges leave an end keeps apart the words that are no token by
/// their merges ("<s>", and pieces made of others).
Json split_of_merged_words(const Json& model, const UnknownRuns& runs) {
  const TokenizerJson written(compat::json_line(Json{{"model", model}}), "tokenizer.json");
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
    steps.push_back(replace(kOuterSpaces, ""));
    steps.push_back(replace(" {2,}", " "));
  }
  // Without this, a run whose characters are symbols, but not itself, would be these.
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

}  // namespace

Json sentencepiece_json(Symbols& symbols, const compat::TokenizerOptions& options) {
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
  const auto split = [](const std::string& characters, const char* behavior) {
    return Json{{"type", "Split"},
                {"pattern", {{"Regex", characters + "+"}}},
                {"behavior", behavior},
                {"invert", false}};
  };
  Json words = Json::array({space});
  if (!runs.separators.empty())
    words.push_back(split("[" + characters_except(runs.separators).substr(2), "Removed"));
  words.push_back(split(characters_except(runs.known), "Isolated"));
  Json json = model->algorithm == SpmModel::kBpe ? sentencepiece_bpe(symbols, *model, runs)
                                                 : sentencepiece_unigram(symbols, *model, runs);
  if (json.value("ignore_merges", false)) words.push_back(split_of_merged_words(json, runs));
  return {{"normalizer", normalizer_of(*model, runs)},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", std::move(words)}}},
          {"decoder", space},
          {"model", std::move(json)}};
}

}  // namespace converters
