// The tables that sacremoses reads: which characters are letters, digits and signs, and after which
// words a full stop ends no sentence. Format: moses.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_set>
#include <vector>

namespace compat {

/// A set of code points.
class CharacterSet {
 public:
  void insert(std::uint32_t code);
  bool contains(std::uint32_t code) const noexcept { return code < has_.size() && has_[code]; }

 private:
  std::vector<bool> has_;
};

struct MosesTables {
  CharacterSet alpha, alnum;  ///< With the marks of Indic scripts that belong to a word.
  CharacterSet plain_alpha;   ///< Without them, as the detokenizer has it.
  CharacterSet number, lower, currency;
  std::unordered_set<std::string> prefixes, numeric_prefixes;  ///< UTF-8; the latter before digits.
};

/// The files that read_moses_tables() reads, for digests. None is opened.
std::vector<std::filesystem::path> moses_table_files(const std::filesystem::path& folder,
                                                     const std::string& language);

/// The tables in `folder`, which is the folder "data" of the Python package sacremoses, for texts
/// in `language`. A language without a list of prefixes has the English one. IoError and
/// FormatError name the file.
MosesTables read_moses_tables(const std::filesystem::path& folder, const std::string& language);

}  // namespace compat
