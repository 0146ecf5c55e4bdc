#include "converters/text_documents.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/json_text.h"

namespace converters {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

/// Position after the last line end of `text`, or 0. A '\r' at the very end may be half of "\r\n"
/// and does not count.
std::size_t behind_last_line(std::string_view text) {
  const std::size_t newline = text.rfind('\n');
  if (newline != std::string_view::npos) return newline + 1;
  const std::size_t carriage = text.substr(0, text.empty() ? 0 : text.size() - 1).rfind('\r');
  return carriage == std::string_view::npos ? 0 : carriage + 1;
}

/// Position after the last blank line, or 0.
std::size_t behind_last_blank_line(std::string_view text) {
  while (true) {
    const std::size_t end = text.rfind('\n');
    if (end == std::string_view::npos) return 0;
    const std::size_t start = text.substr(0, end).rfind('\n') + 1;  // npos + 1: the first line
    if (compat::strip(text.substr(start, end - start)).empty()) return end + 1;
    text = text.substr(0, end);
  }
}

/// Reads the string under one key of a JSON object and skips all other values.
class TextField final : public nlohmann::json_sax<nlohmann::json> {
 public:
  TextField(const std::string& key, std::string& text) : key_(key), text_(text) {}
  bool found() const noexcept { return found_; }

  bool null() override { return scalar(); }
  bool boolean(bool) override { return scalar(); }
  bool number_integer(number_integer_t) override { return scalar(); }
  bool number_unsigned(number_unsigned_t) override { return scalar(); }
  bool number_float(number_float_t, const string_t&) override { return scalar(); }
  bool binary(binary_t&) override { return scalar(); }
  bool string(string_t& value) override {
    if (depth_ == 1 && wanted_) text_.swap(value), found_ = true;
    return scalar();
  }
  bool key(string_t& name) override {
    if (depth_ == 1) {
      wanted_ = name == key_;
      if (wanted_) found_ = false;  // of a repeated key, the last value counts
    }
    return true;
  }
  bool start_object(std::size_t) override { return ++depth_ <= compat::JsonLimits{}.depth; }
  bool end_object() override { return --depth_, true; }
  bool start_array(std::size_t) override {
    return depth_ > 0 && ++depth_ <= compat::JsonLimits{}.depth;
  }
  bool end_array() override { return --depth_, true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  bool scalar() const noexcept { return depth_ > 0; }
  const std::string& key_;
  std::string& text_;
  std::size_t depth_ = 0;
  bool wanted_ = false, found_ = false;
};

[[noreturn]] void refuse_length(const std::filesystem::path& file, std::uint64_t offset,
                                const DocumentFormat& format) {
  throw compat::FormatError({file.string(), {}, offset},
                            compat::concat("a document of more than ", format.max_document_mib,
                                           " MiB (a line without end, or another kind of file?); "
                                           "--max-document-mib allows longer ones"));
}

std::size_t longest_document(const DocumentFormat& format) {
  return static_cast<std::size_t>(std::min(format.max_document_mib, std::int64_t{1} << 24)) << 20;
}

using Visit = std::function<void(std::string_view text, std::uint64_t offset)>;

void jsonl_documents(const Block& block, const DocumentFormat& format, const Visit& document) {
  std::string text;
  compat::for_each_line(block.bytes, [&](std::string_view line) {
    if (compat::strip(line).empty()) return;
    const std::uint64_t offset =
        block.offset + static_cast<std::uint64_t>(line.data() - block.bytes.data());
    TextField field(format.text_key, text);
    if (!nlohmann::json::sax_parse(line, &field) || !field.found())
      throw compat::FormatError({block.file.string(), {}, offset},
                                "not a JSON object with a text under '" +
                                    compat::printable(format.text_key) + "': '" +
                                    compat::printable(line) + "'");
    document(text, offset);
  });
}

/// The documents of plain text, whose lines are joined by '\n'. Blank lines separate documents,
/// unless the whole file is one.
void documents_of_lines(const Block& block, bool whole, const Visit& document) {
  std::string text;
  std::uint64_t offset = block.offset;
  const auto flush = [&] {
    if (!text.empty()) document(std::string_view(text).substr(0, text.size() - 1), offset);
    text.clear();
  };
  compat::for_each_line(block.bytes, [&](std::string_view line) {
    if (!whole && compat::strip(line).empty()) return flush();
    if (text.empty() && !whole)
      offset = block.offset + static_cast<std::uint64_t>(line.data() - block.bytes.data());
    text.append(line) += '\n';
  });
  flush();
}

}  // namespace

bool is_jsonl(const DocumentFormat& format, const std::filesystem::path& file) {
  if (format.input_format != "auto") return format.input_format == "jsonl";
  return compat::names_json_lines(file);
}

std::string_view document_break(const DocumentFormat& format, const std::filesystem::path& file) {
  if (is_jsonl(format, file)) return "line";
  if (format.document_break != "auto") return format.document_break;
  return format.whole_files.contains(file) ? "file" : "line";
}

compat::Flag padding_factor_flag(std::int64_t& field) {
  static constexpr std::int64_t kLargest = 65536;
  compat::Flag flag =
      compat::flag_integer("padding-factor", "N", field, "pad the dictionary to a multiple of N");
  flag.apply = [&field](const std::string& value) {
    const std::int64_t number = compat::parse_integer(value);
    if (number > kLargest)
      throw compat::UsageError(compat::concat(value, ", expected at most ", kLargest));
    field = number;
  };
  return flag;
}

compat::FlagGroup document_flags(DocumentFormat& format) {
  return {"Input (plain, gzip or zstd files, told apart by their content)",
          {
              compat::flag_choice("input-format", format.input_format, {"auto", "text", "jsonl"},
                                  "format of the input; auto: jsonl for .jsonl, .ndjson and .json "
                                  "(.gz, .zst), else text"),
              compat::flag_text("text-key", "KEY", format.text_key,
                                "key of the text in the objects of JSONL"),
              compat::flag_choice("document-break", format.document_break,
                                  {"auto", "line", "blank-line", "file"},
                                  "what ends a document of plain text; auto: the line, or the file "
                                  "when a folder is given"),
              compat::flag_integer("max-document-mib", "N", format.max_document_mib,
                                   "refuse documents of more than N MiB", 1),
          }};
}

BlockReader::BlockReader(std::vector<std::filesystem::path> files, const DocumentFormat& format)
    : files_(std::move(files)), format_(format) {}

std::size_t BlockReader::last_cut(std::string_view text) const {
  const std::string_view ends = document_break(format_, files_[file_number_ - 1]);
  return ends == "file"         ? 0
         : ends == "blank-line" ? behind_last_blank_line(text)
                                : behind_last_line(text);
}

void BlockReader::take(Block& block, std::size_t size) {
  std::string tail = rest_.substr(size);
  rest_.resize(size);
  block.bytes.swap(rest_);
  rest_.swap(tail);
  block.file = files_[file_number_ - 1];
  block.file_number = file_number_ - 1;
  block.offset = offset_;
  block.disk_bytes = file_->disk_bytes_read() - disk_bytes_;
  disk_bytes_ = file_->disk_bytes_read();
  offset_ += size;
}

bool BlockReader::next(Block& block) {
  const std::size_t longest = longest_document(format_);
  while (true) {
    if (!file_) {
      if (file_number_ == files_.size()) return false;
      file_ = compat::TextFile::open(files_[file_number_++]);
      rest_.clear();
      offset_ = disk_bytes_ = 0;
    }
    const std::size_t before = rest_.size();
    // Doubles while one document fills it. It does not grow much beyond the limit for a document.
    const std::size_t wanted =
        kBlockBytes + std::min(before, before < longest ? longest - before : 0);
    rest_.resize(before + wanted);
    const std::size_t got = file_->read(std::span(rest_).subspan(before));
    rest_.resize(before + got);
    const bool ends = got < wanted;
    const std::size_t cut = ends && rest_.size() <= longest ? rest_.size() : last_cut(rest_);
    if (cut == 0 && rest_.size() > longest)
      refuse_length(files_[file_number_ - 1], offset_, format_);
    if (cut > 0) take(block, cut);
    if (ends && rest_.empty()) file_.reset();
    if (cut > 0) return true;
  }
}

std::size_t for_each_document(const Block& block, const DocumentFormat& format,
                              const Visit& document) {
  std::size_t dropped = 0;
  if (const std::size_t bad = compat::first_invalid_utf8(block.bytes);
      bad != std::string_view::npos)
    throw compat::FormatError({block.file.string(), {}, block.offset + bad}, "not UTF-8");
  const Visit kept = [&](std::string_view text, std::uint64_t offset) {
    if (text.size() > longest_document(format)) refuse_length(block.file, offset, format);
    if (format.strip) text = compat::strip(text);
    if (format.drop_empty && text.empty())
      ++dropped;
    else
      document(text, offset);
  };
  if (is_jsonl(format, block.file)) {
    jsonl_documents(block, format, kept);
  } else if (const std::string_view ends = document_break(format, block.file); ends != "line") {
    documents_of_lines(block, ends == "file", kept);
  } else {
    compat::for_each_line(block.bytes, [&](std::string_view line) {
      kept(line, block.offset + static_cast<std::uint64_t>(line.data() - block.bytes.data()));
    });
  }
  return dropped;
}

}  // namespace converters
