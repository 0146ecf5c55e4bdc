#include "compat/tokenizer/moses_tables.h"

#include <initializer_list>
#include <string_view>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/mapped_file.h"
#include "compat/tokenizer/python_text.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kLastCode = 0x10FFFF;
constexpr std::string_view kNumericOnly = "#NUMERIC_ONLY#";
constexpr std::size_t kLongestLanguage = 16;

/// Marks of Indic scripts that sacremoses counts as letters: the virama and the nukta of each.
constexpr std::uint32_t kMarks[] = {
    0x94D,   0x9CD,   0xA4D,   0xACD,   0xB4D,   0xBCD,   0xC4D,   0xCCD,   0xD3B,
    0xD3C,   0xD4D,   0xEBA,   0x1039,  0x1714,  0x1BAB,  0xA8C4,  0xA8F3,  0xA8F4,
    0xA953,  0xAAF6,  0x10A3F, 0x11046, 0x110B9, 0x11133, 0x111C0, 0x11235, 0x112EA,
    0x1134D, 0x11442, 0x114C2, 0x115BF, 0x1163F, 0x116B6, 0x11839, 0x119E0, 0x11A34,
    0x11C3F, 0x11D45, 0x11D97, 0xDCA,   0x93C,   0x9BC,   0xA3C,   0xABC,   0xAFD,
    0xAFE,   0xAFF,   0xB3C,   0xCBC,   0x1C37,  0x110BA, 0x11173, 0x111CA, 0x11236,
    0x112E9, 0x1133C, 0x11446, 0x114C3, 0x115C0, 0x116B7, 0x1183A, 0x11D42, 0x1E94A};

/// The text of a file, which is UTF-8.
std::shared_ptr<const MappedFile> text_file(const fs::path& path) {
  auto file = MappedFile::open(path);
  if (const std::size_t bad = first_invalid_utf8(as_chars(file->bytes()));
      bad != std::string_view::npos)
    throw FormatError({file->path(), {}, bad}, "is not UTF-8, expected a table of sacremoses");
  return file;
}

fs::path set_file(const fs::path& folder, const char* name) {
  return folder / "perluniprops" / (std::string(name) + ".txt");
}

fs::path prefix_file(const fs::path& folder, const std::string& language) {
  fs::path path = folder / "nonbreaking_prefixes" / ("nonbreaking_prefix." + language);
  return fs::exists(path) ? path : path.replace_extension(".en");
}

/// Adds the characters of a file: all that it holds.
void add_characters(const fs::path& folder, const char* name, CharacterSet& set) {
  const auto file = text_file(set_file(folder, name));
  for (const char32_t code : code_points_of(as_chars(file->bytes()))) set.insert(code);
}

/// The scripts whose characters are letters in a language, besides those in IsAlpha.
std::vector<const char*> scripts_of(const std::string& language) {
  if (language == "ko") return {"Hangul"};
  if (language == "zh") return {"Han"};
  if (language == "ja") return {"Hiragana", "Katakana", "Han"};
  if (language == "cjk") return {"Hangul", "Han", "Hiragana", "Katakana"};
  return {};
}

void read_prefixes(const fs::path& folder, const std::string& language, MosesTables& tables) {
  const auto file = text_file(prefix_file(folder, language));
  for_each_line(as_chars(file->bytes()), [&](std::string_view line) {
    line = strip(line);
    if (line.empty() || line.front() == '#') return;
    tables.prefixes.emplace(line);
    // The mark stands after white space, and the prefix is what stands before the last space.
    const std::size_t mark = line.find(kNumericOnly), space = line.rfind(' ');
    if (mark == std::string_view::npos || mark == 0 || strip(line.substr(mark - 1, 1)).size() == 1)
      return;
    tables.numeric_prefixes.emplace(line.substr(0, space == std::string_view::npos ? 0 : space));
  });
}

}  // namespace

void CharacterSet::insert(std::uint32_t code) {
  if (code > kLastCode) return;
  if (has_.size() <= code) has_.resize(code + 1);
  has_[code] = true;
}

std::vector<fs::path> moses_table_files(const fs::path& folder, const std::string& language) {
  std::vector<const char*> names = scripts_of(language);
  names.insert(names.end(), {"IsAlpha", "IsAlnum", "IsN", "IsLower", "IsSc"});
  std::vector<fs::path> files{prefix_file(folder, language)};
  for (const char* const name : names) files.push_back(set_file(folder, name));
  return files;
}

MosesTables read_moses_tables(const fs::path& folder, const std::string& language) {
  if (language.empty() || language.size() > kLongestLanguage ||
      language.find_first_not_of("abcdefghijklmnopqrstuvwxyz") != std::string::npos)
    throw UsageError("the language '" + printable(language) +
                     "' of --tokenizer moses, expected a code such as en");
  if (!fs::is_directory(folder / "perluniprops") ||
      !fs::is_directory(folder / "nonbreaking_prefixes"))
    throw IoError(folder.string(),
                  "has no folders perluniprops and nonbreaking_prefixes, expected the folder data "
                  "of the Python package sacremoses (--moses-data)");
  MosesTables tables;
  add_characters(folder, "IsAlpha", tables.plain_alpha);
  tables.alpha = tables.plain_alpha;
  add_characters(folder, "IsAlnum", tables.alnum);
  add_characters(folder, "IsN", tables.number);
  add_characters(folder, "IsLower", tables.lower);
  add_characters(folder, "IsSc", tables.currency);
  for (CharacterSet* const set : {&tables.alpha, &tables.alnum}) {
    for (const std::uint32_t mark : kMarks) set->insert(mark);
    for (const char* const script : scripts_of(language)) add_characters(folder, script, *set);
  }
  read_prefixes(folder, language, tables);
  return tables;
}

}  // namespace compat
