// YAML within limits: plain lists, maps and words. It is read without LibTorch, because it is
// fuzzed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace btm {

struct YamlEntry;

struct YamlValue {
  enum class Kind : std::uint8_t { kNull, kWord, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 1;
  std::string word;                ///< Without quotes.
  std::vector<YamlValue> items;    ///< Of a list.
  std::vector<YamlEntry> entries;  ///< Of a map, in the order of the text. No key is there twice.

  /// The value of a key; null when a map has none.
  const YamlValue* find(std::string_view key) const;
};

struct YamlEntry {
  std::string key;
  YamlValue value;
};

struct YamlLimits {
  std::size_t bytes = std::size_t{1} << 16;
  std::size_t depth = 16;  ///< Lists and maps within each other.
};

/// The value of a text of one document. FormatError, with the line, for what is no YAML, exceeds a
/// limit, or has an anchor, an alias, a tag, a second document, a key twice, or a key that is no
/// word. `file` is named in errors.
YamlValue parse_yaml(std::string_view text, const std::string& file, const YamlLimits& limits = {});

}  // namespace btm
