#include "converters/text_dataset.h"

#include <nlohmann/json.hpp>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_line.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "converters/npy_dataset.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

/// Whether each id's symbol, in a line of text, is read back as that id.
std::vector<bool> readable_symbols(const compat::Dictionary& dictionary) {
  std::vector<bool> readable;
  for (std::int64_t id = 0; id < dictionary.size(); ++id) {
    const std::string& symbol = dictionary.symbol(id);
    const auto words = compat::split_whitespace(symbol);
    readable.push_back(words.size() == 1 && words[0] == symbol && dictionary.index(symbol) == id);
  }
  return readable;
}

/// Appends the ids of a line's array. False when the line has another form.
bool append_ids(std::string_view line, std::vector<std::int64_t>& ids) {
  const auto json = compat::parse_json(line);
  const auto found = json.is_object() ? json.find("ids") : json.end();
  if (!json.is_object() || found == json.end() || !found->is_array()) return false;
  for (const auto& id : *found) {
    if (!id.is_number_integer() || (id.is_number_unsigned() && id.get<std::uint64_t>() > INT64_MAX))
      return false;
    ids.push_back(id.get<std::int64_t>());
  }
  return true;
}

}  // namespace

void write_raw_dataset(const fs::path& prefix, const compat::IndexedDataset& dataset,
                       const compat::Dictionary& dictionary) {
  const auto readable = readable_symbols(dictionary);
  compat::AtomicFile file(prefix.string() + ".None-None");
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const auto ids = dataset.sequence(i);
    const auto refuse = [&](const std::string& what) {
      throw compat::UnsupportedError(compat::concat(compat::printable(dataset.path(), 4096),
                                                    ": sequence ", i, ' ', what,
                                                    ": raw text cannot represent it"));
    };
    if (ids.empty() || ids.back() != dictionary.eos()) refuse("does not end with </s>");
    std::string line;
    for (const std::int64_t id : std::span(ids).first(ids.size() - 1)) {
      if (id < 0 || id >= dictionary.size())
        refuse(compat::concat("has the id ", id, ", which is not in the dictionary"));
      if (!readable[static_cast<std::size_t>(id)])
        refuse("has the symbol '" + compat::printable(dictionary.symbol(id)) + "'");
      line += (line.empty() ? "" : " ") + dictionary.symbol(id);
    }
    file.write(line + "\n");
  }
  file.commit();
}

std::string TextDecoder::text_of(std::span<const std::int64_t> ids) const {
  if (!ids.empty() && ids.back() == dictionary->eos()) ids = ids.first(ids.size() - 1);
  std::vector<std::string_view> symbols;
  for (const std::int64_t id : ids) symbols.push_back(dictionary->symbol(id));
  return tokenizer->decode(symbols);
}

void write_text_dataset(const fs::path& prefix, const compat::IndexedDataset& dataset,
                        const TextDecoder& decoder) {
  compat::AtomicFile file(prefix.string() + ".txt");
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::string text = decoder.text_of(dataset.sequence(i));
    if (text.find_first_of("\r\n") != std::string::npos)
      throw compat::UnsupportedError(compat::concat(
          compat::printable(dataset.path(), 4096), ": sequence ", i,
          " contains a line end, but text has one document per line (--to jsonl allows it)"));
    file.write(text + "\n");
  }
  file.commit();
}

void write_jsonl_dataset(const fs::path& prefix, const compat::IndexedDataset& dataset,
                         const TextDecoder& decoder) {
  compat::AtomicFile file(prefix.string() + ".jsonl");
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const auto ids = dataset.sequence(i);
    std::string line = "{";
    if (decoder.tokenizer != nullptr)
      line += "\"text\": " + compat::json_line(nlohmann::json(decoder.text_of(ids))) + ", ";
    line += "\"ids\": [";
    for (const std::int64_t id : ids) line += compat::concat(line.back() == '[' ? "" : ", ", id);
    file.write(line + "]}\n");
  }
  file.commit();
}

std::unique_ptr<compat::IndexedDataset> open_jsonl_dataset(const fs::path& prefix) {
  const auto file = compat::MappedFile::open(prefix.string() + ".jsonl");
  const auto ids = std::make_shared<std::vector<std::int64_t>>();
  std::vector<std::int32_t> sizes;
  compat::for_each_line(compat::as_chars(file->bytes()), [&](std::string_view line) {
    const std::size_t start = ids->size();
    if (!append_ids(line, *ids) || ids->size() - start > INT32_MAX)
      throw compat::FormatError(
          {file->path(), compat::concat("line ", sizes.size() + 1), {}},
          "'" + compat::printable(line, 40) + "', expected {\"ids\": [...]} with integers");
    sizes.push_back(static_cast<std::int32_t>(ids->size() - start));
  });
  return dataset_of_memory(file->path(), std::as_bytes(std::span(*ids)), "int64", sizes, ids);
}

}  // namespace converters
