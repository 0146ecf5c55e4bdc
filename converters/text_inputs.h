// Finds the text files that a flag names: files, folders, patterns.
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
      of_folders;  ///< Those found in a folder. In them, a file of plain text is one document.
  std::size_t skipped = 0;  ///< Number of other files in the folders.

  void append(const TextInputs& more);
};

/// The files for each part of `names`, which commas separate. A part is a file, a folder or a
/// pattern with *, ? or [...]. A folder stands for its .txt, .jsonl, .ndjson and .json files, also
/// compressed, at any depth, sorted; hidden files are left out. The matches of a pattern are joined
/// in order. When a file is called `names` as a whole, that is the only part. IoError when a part
/// does not exist, is no text file, or contains none.
std::vector<TextInputs> text_inputs(const std::string& names);

/// The files of all parts of `names`.
TextInputs all_text_inputs(const std::string& names);

}  // namespace converters
