#include "converters/tokenizer_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/io/json_text.h"
#include "compat/tokenizer/gpt2_words.h"
#include "compat/tokenizer/sentencepiece_model.h"

namespace converters {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int64_t>;

std::string hex_code(std::uint32_t code) {
  return compat::concat("\\x{", compat::hexadecimal(code), '}');
}

/// The inverse of characters_except(): the ranges of code points in the expression.
std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges_of(std::string_view expression) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
  const auto code = [&] {
    std::uint32_t value = 0;
    expression.remove_prefix(std::min(expression.find("\\x{"), expression.size() - 3) + 3);
    std::from_chars(expression.data(), expression.data() + expression.size(), value, 16);
    expression.remove_prefix(std::min(expression.find('}'), expression.size() - 1) + 1);
    return value;
  };
  while (expression.find("\\x{") != std::string_view::npos) {
    const std::uint32_t first = code();
    ranges.emplace_back(first, expression.starts_with('-') ? code() : first);
  }
  return ranges;
}

/// A member of `object`, or null.
const json& part(const json& object, const char* key) {
  static const json kNone;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return !object.is_object() || found == object.end() ? kNone : *found;
}

bool flag(const json& object, const char* key) { return part(object, key) == true; }

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

/// Calls `visit` for each member of a Sequence, or for `value` itself when it is none.
template <class Visit>
void for_each_step(const json& value, const char* list, Visit&& visit) {
  if (part(value, "type") != "Sequence") return visit(value);
  for (const json& step : part(value, list)) visit(step);
}

std::string byte_token(char byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto value = static_cast<unsigned char>(byte);
  return compat::concat("<0x", kDigits[value >> 4], kDigits[value & 15], '>');
}

}  // namespace

std::string characters_except(const std::set<std::uint32_t>& known) {
  std::string text = "[^";
  for (auto at = known.begin(); at != known.end();) {
    const std::uint32_t first = *at;
    std::uint32_t last = first;
    while (++at != known.end() && *at == last + 1) ++last;
    text += hex_code(first);
    if (last > first) text += "-" + hex_code(last);
  }
  return text + "]";
}

std::vector<std::pair<std::uint32_t, std::string_view>> characters_of(std::string_view text) {
  std::vector<std::pair<std::uint32_t, std::string_view>> characters;
  while (!text.empty()) {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t size = std::min<std::size_t>(text.size(), lead < 0xC0   ? 1
                                                                : lead < 0xE0 ? 2
                                                                : lead < 0xF0 ? 3
                                                                              : 4);
    std::uint32_t code = size == 1 ? lead : lead & (0xFFU >> (size + 1));
    for (std::size_t i = 1; i < size; ++i)
      code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3FU);
    characters.emplace_back(code, text.substr(0, size));
    text.remove_prefix(size);
  }
  return characters;
}

struct TokenizerJson::Parts {
  struct Merge {
    std::size_t rank = std::numeric_limits<std::size_t>::max();
    std::int64_t id = -1;
  };

  bool byte_level = false, bpe = false, fuse_unk = false, byte_fallback = false,
       ignore_merges = false;
  bool strips = false, prepends = false, splits = false;
  std::string replacement_of_runs;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> known, removed;
  bool isolates = false;
  std::set<std::string> merged_words;
  std::unordered_map<std::string, std::int64_t> ids;
  std::unordered_map<std::string, double> scores;
  std::vector<double> score_of_id;
  std::unordered_map<std::uint64_t, Merge> merges;
  double unk_score = 0;
  std::size_t longest = 1;
  std::int64_t unk = -1;

  static std::uint64_t pair_of(std::int64_t left, std::int64_t right) noexcept {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
  }
  static bool is_among(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& ranges,
                       std::uint32_t code) noexcept {
    const auto range =
        std::ranges::upper_bound(ranges, code, {}, [](const auto& one) { return one.first; });
    return range != ranges.begin() && code <= std::prev(range)->second;
  }
  bool is_known(std::uint32_t code) const noexcept { return is_among(known, code); }
  const std::int64_t* find(const std::string& token) const {
    const auto found = ids.find(token);
    return found == ids.end() ? nullptr : &found->second;
  }
  /// Appends the byte fallback tokens of `bytes`. False when a byte has none.
  bool append_bytes(std::string_view bytes, Ids& out) const {
    if (!byte_fallback) return false;
    Ids found;
    for (const char byte : bytes)
      if (const std::int64_t* const id = find(byte_token(byte))) found.push_back(*id);
    if (found.size() != bytes.size()) return false;
    out.insert(out.end(), found.begin(), found.end());
    return true;
  }

  void read_bpe(const json& model);
  void read_unigram(const json& model);
  void read_merged_words(std::string_view expression);
  void read_normalizer_step(const json& step);
  void read_pre_tokenizer_step(const json& step);
  std::vector<std::string> words(std::string_view text) const;
  void append_kept(std::string_view word, std::vector<std::string>& words) const;
  std::vector<std::string> parts_of(const std::string& word) const;
  Ids merged(std::string_view word) const;
  Ids best_path(const std::string& word) const;
  Ids encode_word(const std::string& word) const;
};

void TokenizerJson::Parts::read_bpe(const json& model) {
  bpe = true;
  fuse_unk = flag(model, "fuse_unk");
  byte_fallback = flag(model, "byte_fallback");
  ignore_merges = flag(model, "ignore_merges");
  for (const auto& [token, id] : part(model, "vocab").items())
    ids.emplace(token, id.get<std::int64_t>());
  if (const std::int64_t* const id = find(text_of(part(model, "unk_token")))) unk = *id;
  std::size_t rank = 0;
  for (const json& merge : part(model, "merges")) {
    const std::string line = text_of(merge);
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string left = line.substr(0, space),
                      right = line.substr(std::min(space + 1, line.size()));
    const std::int64_t *const a = find(left), *const b = find(right),
                              *const both = find(left + right);
    if (a == nullptr || b == nullptr || both == nullptr)
      throw std::runtime_error("out of vocabulary: " + line);
    merges[pair_of(*a, *b)] = {rank++, *both};
  }
}

void TokenizerJson::Parts::read_unigram(const json& model) {
  constexpr double kUnknownPenalty = 10;
  byte_fallback = flag(model, "byte_fallback");
  unk = part(model, "unk_id").get<std::int64_t>();
  for (const json& row : part(model, "vocab")) {
    const auto token = row.at(0).get<std::string>();
    const auto score = row.at(1).get<double>();
    ids[token] = static_cast<std::int64_t>(scores.size());
    scores[token] = score;
    score_of_id.push_back(score);
    unk_score = std::min(unk_score, score - kUnknownPenalty);
    longest = std::max(longest, token.size());
  }
  if (scores.size() != part(model, "vocab").size()) throw std::runtime_error("a token comes twice");
}

void TokenizerJson::Parts::read_normalizer_step(const json& step) {
  if (part(step, "type") != "Replace") return;
  const std::string pattern = text_of(part(part(step, "pattern"), "Regex"));
  if (pattern == kOuterSpaces) strips = true;
  if (pattern.starts_with("(?<!")) replacement_of_runs = text_of(part(step, "content"));
}

void TokenizerJson::Parts::read_pre_tokenizer_step(const json& step) {
  if (part(step, "type") == "ByteLevel") byte_level = true;
  if (part(step, "type") == "Metaspace") {
    prepends = part(step, "prepend_scheme") == "always";
    splits = flag(step, "split");
  }
  if (part(step, "type") != "Split") return;
  const std::string expression = text_of(part(part(step, "pattern"), "Regex"));
  if (expression.starts_with("\\A")) return read_merged_words(expression);
  if (part(step, "behavior") == "Removed") {
    removed = ranges_of(expression);
    return;
  }
  isolates = true;
  known = ranges_of(expression);
}

/// Reads "\A(?:A(?=B\z)|...)": AB is not looked up as a word.
void TokenizerJson::Parts::read_merged_words(std::string_view expression) {
  for (std::size_t at = 0; at < expression.size();) {
    const std::size_t end = std::min(expression.find("\\z", at), expression.size());
    std::string word;
    for (const auto& [first, last] : ranges_of(expression.substr(at, end - at)))
      compat::append_utf8(first, word);
    merged_words.insert(word);
    at = end + 2;
  }
}

/// The words of a text after the normalizer and the first pre-tokenizer.
std::vector<std::string> TokenizerJson::Parts::words(std::string_view text) const {
  std::vector<std::string> words;
  if (byte_level) {
    const auto characters = compat::gpt2_byte_characters();
    while (!text.empty()) {
      std::string& word = words.emplace_back();
      const std::size_t size = compat::gpt2_word_length(text);
      for (const char byte : text.substr(0, size))
        word += characters[static_cast<unsigned char>(byte)];
      text.remove_prefix(size);
    }
    return words;
  }
  while (strips && text.starts_with(' ')) text.remove_prefix(1);
  while (strips && text.ends_with(' ')) text.remove_suffix(1);
  if (text.empty()) return words;
  std::string marked;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (strips && text[i] == ' ' && i > 0 && text[i - 1] == ' ') continue;
    marked += text[i] == ' ' ? std::string(compat::kSpacePiece) : std::string(1, text[i]);
  }
  if (prepends && !marked.starts_with(compat::kSpacePiece)) marked.insert(0, compat::kSpacePiece);
  for (std::size_t at = 0; at < marked.size();) {
    const std::size_t end =
        splits ? std::min(marked.find(compat::kSpacePiece, at + 1), marked.size()) : marked.size();
    append_kept(std::string_view(marked).substr(at, end - at), words);
    at = end;
  }
  return words;
}

/// The parts of a word between characters that a pre-tokenizer removes.
void TokenizerJson::Parts::append_kept(std::string_view word,
                                       std::vector<std::string>& words) const {
  std::string kept;
  for (const auto& [code, bytes] : characters_of(word)) {
    if (!is_among(removed, code)) {
      kept += bytes;
    } else if (!kept.empty()) {
      words.push_back(std::move(kept));
      kept.clear();
    }
  }
  if (!kept.empty()) words.push_back(std::move(kept));
}

/// A word, divided at its runs of unknown characters.
std::vector<std::string> TokenizerJson::Parts::parts_of(const std::string& word) const {
  if (!isolates) return {word};
  std::vector<std::string> parts;
  bool was_known = false;
  for (const auto& [code, bytes] : characters_of(word)) {
    const bool now = is_known(code);
    if (parts.empty() || now != was_known) parts.emplace_back();
    parts.back() += bytes;
    was_known = now;
  }
  for (std::string& run : parts) {
    const auto characters = characters_of(run);
    const bool replaced = !replacement_of_runs.empty() && characters.size() > 1 &&
                          !is_known(characters[0].first) && find(run) == nullptr;
    if (replaced) run = replacement_of_runs;
  }
  return parts;
}

Ids TokenizerJson::Parts::merged(std::string_view word) const {
  Ids tokens;
  bool after_unknown = false;
  for (const auto& [code, bytes] : characters_of(word)) {
    const std::int64_t* const id = find(std::string(bytes));
    const bool unknown = id == nullptr && !append_bytes(bytes, tokens);
    if (id != nullptr) tokens.push_back(*id);
    if (unknown && !(fuse_unk && after_unknown)) tokens.push_back(unk);
    after_unknown = unknown;
  }
  while (tokens.size() > 1) {
    Merge best;
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      const auto found = merges.find(pair_of(tokens[i], tokens[i + 1]));
      if (found == merges.end() || found->second.rank >= best.rank) continue;
      best = found->second;
      place = i;
    }
    if (best.id < 0) break;
    tokens[place] = best.id;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
  return tokens;
}

/// Viterbi's best path. Consecutive unknown characters are one token.
Ids TokenizerJson::Parts::best_path(const std::string& word) const {
  struct Node {
    double score = -std::numeric_limits<double>::infinity();
    std::size_t start = 0;
    bool unknown = false;
  };
  std::vector<Node> ends(word.size() + 1);
  ends[0].score = 0;
  std::size_t at = 0;
  for (const auto& [code, bytes] : characters_of(word)) {
    bool has_single = false;
    for (std::size_t size = 1; size <= std::min(longest, word.size() - at); ++size) {
      const auto found = scores.find(word.substr(at, size));
      if (found == scores.end()) continue;
      has_single = has_single || size == bytes.size();
      if (const double score = ends[at].score + found->second; score > ends[at + size].score)
        ends[at + size] = {score, at, false};
    }
    if (const double score = ends[at].score + unk_score;
        !has_single && score > ends[at + bytes.size()].score)
      ends[at + bytes.size()] = {score, at, true};
    at += bytes.size();
  }
  std::vector<std::pair<std::string, bool>> tokens;
  for (std::size_t end = word.size(); end > 0; end = ends[end].start) {
    const std::string token = word.substr(ends[end].start, end - ends[end].start);
    if (ends[end].unknown && !tokens.empty() && tokens.back().second)
      tokens.back().first.insert(0, token);
    else
      tokens.emplace_back(token, ends[end].unknown);
  }
  Ids out;
  for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) {
    if (const std::int64_t* const id = find(token->first))
      out.push_back(*id);
    else if (!append_bytes(token->first, out))
      out.push_back(unk);
  }
  return out;
}

Ids TokenizerJson::Parts::encode_word(const std::string& word) const {
  if (!bpe) return best_path(word);
  const std::int64_t* const whole =
      ignore_merges && !merged_words.contains(word) ? find(word) : nullptr;
  return whole != nullptr ? Ids{*whole} : merged(word);
}

TokenizerJson::TokenizerJson(std::string_view text, const std::string& file) {
  const json root = compat::parse_json_object(text, {file, {}, {}}, "a tokenizer.json");
  auto parts = std::make_unique<Parts>();
  try {
    const json& model = part(root, "model");
    if (part(model, "type") == "BPE")
      parts->read_bpe(model);
    else
      parts->read_unigram(model);
    for_each_step(part(root, "normalizer"), "normalizers",
                  [&](const json& step) { parts->read_normalizer_step(step); });
    for_each_step(part(root, "pre_tokenizer"), "pretokenizers",
                  [&](const json& step) { parts->read_pre_tokenizer_step(step); });
  } catch (const std::exception& error) {
    throw compat::FormatError({file, {}, {}}, "is not a tokenizer.json of BPE or Unigram: " +
                                                  compat::printable(error.what(), 200));
  }
  parts_ = std::move(parts);
}

TokenizerJson::~TokenizerJson() = default;

std::vector<std::int64_t> TokenizerJson::encode(std::string_view text) const {
  Ids ids;
  for (const std::string& word : parts_->words(text))
    for (const std::string& run : parts_->parts_of(word))
      for (const std::int64_t id : parts_->encode_word(run)) ids.push_back(id);
  return ids;
}

bool TokenizerJson::is_tie(const std::vector<std::int64_t>& one,
                           const std::vector<std::int64_t>& other) const {
  constexpr double kRounding = 1e-3;  // sentencepiece adds in fp32
  if (parts_->bpe) return false;
  const auto score_of = [&](const Ids& ids) {
    double score = 0;
    for (const std::int64_t id : ids) score += parts_->score_of_id.at(static_cast<std::size_t>(id));
    return score;
  };
  return std::abs(score_of(one) - score_of(other)) < kRounding;
}

std::int64_t TokenizerJson::id_of(const std::string& token) const {
  const std::int64_t* const id = parts_->find(token);
  return id == nullptr ? -1 : *id;
}

std::vector<std::int64_t> TokenizerJson::merged(std::string_view word) const {
  return parts_->merged(word);
}

}  // namespace converters
