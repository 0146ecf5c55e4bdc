// Documents of text files: a line, a block of lines between blank ones, a file, or a line of JSONL.
// Read in blocks of whole documents, so that threads can share the work and memory stays the same
// however long the files are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "compat/program/command_line.h"
#include "converters/text_file.h"

namespace converters {

struct DocumentFormat {
  /// Of plain text: line, blank-line, file, or auto: line, but file for whole_files. JSONL has a
  /// document a line.
  std::string document_break = "auto";
  std::set<std::filesystem::path> whole_files = {};
  std::string input_format =
      "auto";  ///< text, jsonl, or auto: jsonl for .jsonl, .ndjson and .json, compressed or not.
  std::string text_key = "text";  ///< Of JSONL's objects.
  bool strip =
      false;  ///< Take white space off both ends, as fairseq's scripts do before a tokeniser.
  bool drop_empty = false;
  std::int64_t max_document_mib = 256;
};

/// Whether `file` is read as JSONL.
bool is_jsonl(const DocumentFormat& format, const std::filesystem::path& file);
/// What ends a document of `file`: line, blank-line or file.
std::string_view document_break(const DocumentFormat& format, const std::filesystem::path& file);
/// The flags that set a format.
/// --padding-factor, of at most 65536 (fairseq's is 8): each one more is a word of the dictionary.
compat::Flag padding_factor_flag(std::int64_t& field);

compat::FlagGroup document_flags(DocumentFormat& format);

/// Whole documents of one file, one behind the other.
struct Block {
  std::string bytes;
  std::filesystem::path file;
  std::uint64_t file_number = 0;  ///< Place of the file among all.
  std::uint64_t offset = 0;       ///< Of `bytes` in the file (of its text, when compressed).
  std::uint64_t disk_bytes = 0;   ///< Read from the disk for it: progress.
};

class BlockReader {
 public:
  BlockReader(std::vector<std::filesystem::path> files, const DocumentFormat& format);

  /// The next block, or false at the end of the last file. FormatError for a document longer than
  /// the format allows.
  bool next(Block& block);

 private:
  void take(Block& block, std::size_t size);
  std::size_t last_cut(std::string_view text) const;

  std::vector<std::filesystem::path> files_;
  const DocumentFormat& format_;
  std::unique_ptr<TextFile> file_;
  std::size_t file_number_ = 0;  ///< Of the file after file_.
  std::string rest_;             ///< Read, but not part of a block yet.
  std::uint64_t offset_ = 0, disk_bytes_ = 0;
};

/// Calls `document(text, offset)` for the documents of a block in order; `offset` is that of the
/// document's first line in the file and `text` lives until the next one. FormatError where the
/// block is not UTF-8 or not JSONL.
void for_each_document(
    const Block& block, const DocumentFormat& format,
    const std::function<void(std::string_view text, std::uint64_t offset)>& document);

}  // namespace converters
