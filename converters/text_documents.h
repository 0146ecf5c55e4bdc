// Reads the documents of text files. A document is a line, a block of lines between blank ones, a
// whole file, or a line of JSONL. Files are read in blocks of whole documents: threads can share
// the work, and memory does not grow with the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "compat/io/text_file.h"
#include "compat/program/command_line.h"

namespace converters {

struct DocumentFormat {
  /// For plain text: line, blank-line, file, or auto (file for `whole_files`, else line). In JSONL
  /// each line is a document.
  std::string document_break = "auto";
  std::set<std::filesystem::path> whole_files = {};
  std::string input_format =
      "auto";  ///< text, jsonl, or auto: jsonl for .jsonl, .ndjson and .json, also when compressed.
  std::string text_key = "text";  ///< Key of the text in JSONL's objects.
  bool strip =
      false;  ///< Strip white space at both ends, as fairseq's scripts do before a tokenizer.
  bool drop_empty = false;
  std::int64_t max_document_mib = 256;
};

/// Whether `file` is read as JSONL.
bool is_jsonl(const DocumentFormat& format, const std::filesystem::path& file);
/// What ends a document of `file`: line, blank-line or file.
std::string_view document_break(const DocumentFormat& format, const std::filesystem::path& file);
/// The flags of a DocumentFormat.
/// --padding-factor, at most 65536 (fairseq's default is 8). Each unit can add one word to the
/// dictionary.
compat::Flag padding_factor_flag(std::int64_t& field);

compat::FlagGroup document_flags(DocumentFormat& format);

/// Consecutive whole documents of one file.
struct Block {
  std::string bytes;
  std::filesystem::path file;
  std::uint64_t file_number = 0;  ///< Index of the file.
  std::uint64_t offset = 0;       ///< Position of `bytes` in the (decompressed) file.
  std::uint64_t disk_bytes = 0;   ///< Bytes read from the disk for this block, for progress.
};

class BlockReader {
 public:
  BlockReader(std::vector<std::filesystem::path> files, const DocumentFormat& format);

  /// Reads the next block. False at the end of the last file. FormatError for a document above the
  /// format's limit.
  bool next(Block& block);

 private:
  void take(Block& block, std::size_t size);
  std::size_t last_cut(std::string_view text) const;

  std::vector<std::filesystem::path> files_;
  const DocumentFormat& format_;
  std::unique_ptr<compat::TextFile> file_;
  std::size_t file_number_ = 0;  ///< Index of the file after file_.
  std::string rest_;             ///< Text that is read but not yet part of a block.
  std::uint64_t offset_ = 0, disk_bytes_ = 0;
};

/// Calls `document(text, offset)` for each document of a block in order. `offset` is the position
/// of its first line in the file. `text` is valid during the call. FormatError when the block is
/// not UTF-8 or not JSONL. Returns the number of empty documents that were dropped.
std::size_t for_each_document(
    const Block& block, const DocumentFormat& format,
    const std::function<void(std::string_view text, std::uint64_t offset)>& document);

}  // namespace converters
