#include "compat/fairseq/dictionary.h"

#include <algorithm>
#include <optional>
#include <set>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/fairseq/dictionary_text.h"
#include "compat/io/atomic_file.h"
#include "compat/io/mapped_file.h"

namespace compat {
namespace {

constexpr std::int64_t kSpecialSymbols = 4;
constexpr std::size_t kLongestWord = std::size_t{16} << 20;
constexpr std::string_view kOverwriteFlag = "#fairseq:overwrite";

/// Splits at the last space, as str.rsplit(" ", 1). False when there is none.
bool split_last(std::string_view text, std::string_view& front, std::string_view& back) {
  const std::size_t space = text.rfind(' ');
  if (space == std::string_view::npos) return false;
  front = text.substr(0, space);
  back = text.substr(space + 1);
  return true;
}

std::optional<std::int64_t> parse_count(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  return number_of<std::int64_t>(text);
}

/// The dictionaries of a side or language (dict.en.txt, dict.prompt.txt) beside a missing dict.txt.
/// Translation and prompting recipes write those. "" when dict.txt exists or there are none.
std::string other_dictionaries(const std::filesystem::path& path) {
  std::error_code error;
  if (path.filename() != "dict.txt" || std::filesystem::exists(path, error)) return {};
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::set<std::string> names;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.size() > std::string_view("dict..txt").size() && name.starts_with("dict.") &&
        name.ends_with(".txt"))
      names.insert(printable(name));
  }
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " or ") + name;
  return text;
}

}  // namespace

Dictionary::Dictionary() {
  for (const char* symbol : {"<s>", "<pad>", "</s>", "<unk>"}) add_symbol(symbol);
}

Dictionary Dictionary::load(const std::filesystem::path& path) {
  if (const std::string others = other_dictionaries(path); !others.empty())
    throw IoError(path.string(), "does not exist, but " + others +
                                     " does: if that is the dictionary of this data, copy it to " +
                                     path.filename().string());
  const auto file = MappedFile::open(path);
  return parse(as_chars(file->bytes()), file->path());
}

Dictionary Dictionary::parse(std::string_view text, const std::string& file) {
  if (const std::size_t bad = first_invalid_utf8(text); bad != std::string_view::npos)
    throw FormatError({file, {}, bad}, "not UTF-8, expected a dict.txt");
  Dictionary dictionary;
  std::int64_t number = 0;
  for_each_line(text, [&](std::string_view line) {
    ++number;
    const auto refuse = [&](const std::string& problem) {
      throw FormatError({file, concat("line ", number), {}}, problem);
    };
    std::string_view word, field;
    bool overwrite = false;
    bool split = split_last(strip_right(line), word, field);
    if (split && field == kOverwriteFlag) {
      overwrite = true;
      const std::string_view rest = word;
      split = split_last(rest, word, field);
    }
    const std::optional<std::int64_t> count = split ? parse_count(field) : std::nullopt;
    if (!count) refuse("'" + printable(line) + "', expected '<token> <count> [flags]'");
    if (word.size() > kLongestWord)
      refuse(concat("a word of ", word.size(), " bytes, expected at most ", kLongestWord));
    if (!overwrite && dictionary.contains(word))
      refuse("the word '" + printable(word) + "' exists already (allowed with the flag " +
             std::string(kOverwriteFlag) + ")");
    dictionary.add_symbol(word, *count, overwrite);
  });
  return dictionary;
}

std::int64_t Dictionary::index(std::string_view symbol) const noexcept {
  const auto found = index_.find(symbol);
  return found == index_.end() ? unk() : found->second;
}

bool Dictionary::contains(std::string_view symbol) const noexcept {
  return index_.contains(symbol);
}

const std::string& Dictionary::symbol(std::int64_t id) const {
  return symbols_[static_cast<std::size_t>(id >= 0 && id < size() ? id : unk())];
}

std::int64_t Dictionary::count(std::int64_t id) const {
  return counts_.at(static_cast<std::size_t>(id));
}

std::int64_t Dictionary::add_symbol(std::string_view symbol, std::int64_t count, bool overwrite) {
  const auto found = index_.find(symbol);
  if (found != index_.end() && !overwrite) {
    auto& sum = counts_[static_cast<std::size_t>(found->second)];
    if (__builtin_add_overflow(sum, count, &sum)) sum = INT64_MAX;
    return found->second;
  }
  const std::int64_t id = size();
  index_.insert_or_assign(std::string(symbol), id);
  symbols_.emplace_back(symbol);
  counts_.push_back(count);
  return id;
}

void Dictionary::finalize(std::int64_t threshold, std::int64_t nwords,
                          std::int64_t padding_factor) {
  std::vector<std::pair<std::string, std::int64_t>> words;
  for (auto i = static_cast<std::size_t>(kSpecialSymbols); i < symbols_.size(); ++i)
    words.emplace_back(symbols_[i], counts_[i]);
  std::ranges::sort(words, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  const std::int64_t limit =
      std::max<std::int64_t>(0, (nwords <= 0 ? size() : nwords) - kSpecialSymbols);
  symbols_.resize(kSpecialSymbols);
  counts_.resize(kSpecialSymbols);
  index_.clear();
  for (std::int64_t i = 0; i < kSpecialSymbols; ++i)
    index_.emplace(symbols_[static_cast<std::size_t>(i)], i);
  std::int64_t kept = 0;
  for (const auto& [word, count] : words) {
    if (kept == limit || count < threshold) break;
    if (contains(word)) continue;  // overwritten before: fairseq keeps one, with the larger count
    add_symbol(word, count);
    ++kept;
  }
  pad_to_multiple(padding_factor);
}

void Dictionary::pad_to_multiple(std::int64_t padding_factor) {
  for (int i = 0; padding_factor > 1 && size() % padding_factor != 0; ++i) {
    add_symbol("madeupword" + zero_filled(i, 4), 0);
  }
}

std::string dictionary_text(const Dictionary& dictionary) {
  std::string text;
  for (std::int64_t id = kSpecialSymbols; id < dictionary.size(); ++id)
    append(text, dictionary.symbol(id), ' ', dictionary.count(id), '\n');
  return text;
}

void Dictionary::save(const std::filesystem::path& path) const {
  write_file_atomically(path, dictionary_text(*this));
}

std::vector<std::int64_t> Dictionary::encode_line(std::string_view line, bool append_eos) const {
  std::vector<std::int64_t> ids;
  for (const std::string_view word : split_whitespace(line)) ids.push_back(index(word));
  if (append_eos) ids.push_back(eos());
  return ids;
}

}  // namespace compat
