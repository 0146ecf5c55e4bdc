// The text files that a flag names: files, folders of them, patterns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace converters {

struct TextInputs {
  std::vector<std::filesystem::path> files;
  std::set<std::filesystem::path>
      of_folders;  ///< Those found in a folder: plain text among them is a document a file.
  std::size_t passed_over = 0;  ///< Other files in the folders.

  void append(const TextInputs& more);
};

/// What each part of `names` stands for, parts being separated by commas. A part is a file, a
/// folder (its .txt, .jsonl, .ndjson and .json files, compressed or not, in all folders below it,
/// sorted; hidden ones left out) or a pattern with *, ? or [...], whose matches are joined in
/// order. The whole of `names` is one part when there is such a file. IoError for what is not
/// there, is no text file, or holds none.
std::vector<TextInputs> text_inputs(const std::string& names);

/// text_inputs() joined.
TextInputs all_text_inputs(const std::string& names);

}  // namespace converters
