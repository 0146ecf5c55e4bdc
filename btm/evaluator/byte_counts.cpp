#include "btm/evaluator/byte_counts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>

#include "compat/base/byte_reader.h"
#include "compat/base/code_points.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

constexpr std::string_view kSpace = "\u2581", kContinues = "@@", kPadding = "madeupword";
constexpr std::int64_t kFirstWord = 4;  ///< After <s> <pad> </s> <unk>.

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::int64_t piece_bytes(std::string_view piece) {
  if (piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with('>')) return 1;
  auto bytes = static_cast<std::int64_t>(piece.size());
  for (std::size_t at = piece.find(kSpace); at != std::string_view::npos;
       at = piece.find(kSpace, at + kSpace.size()))
    bytes -= static_cast<std::int64_t>(kSpace.size()) - 1;
  return bytes;
}

std::int64_t word_bytes(std::string_view word) {
  const auto bytes = static_cast<std::int64_t>(word.size());
  return word.ends_with(kContinues) ? bytes - static_cast<std::int64_t>(kContinues.size())
                                    : bytes + 1;
}

}  // namespace

std::optional<ByteCounts> byte_counts(const compat::Dictionary& dictionary) {
  bool pieces = false, numbers = true;
  for (std::int64_t id = kFirstWord; id < dictionary.size(); ++id) {
    const std::string& symbol = dictionary.symbol(id);
    pieces = pieces || symbol.starts_with(kSpace);
    numbers = numbers && (is_number(symbol) || symbol.starts_with(kPadding));
  }
  if (numbers) return std::nullopt;
  ByteCounts counts(static_cast<std::size_t>(dictionary.size()), 0);
  counts[static_cast<std::size_t>(dictionary.unk())] = pieces ? 1 : 2;
  for (std::int64_t id = kFirstWord; id < dictionary.size(); ++id)
    counts[static_cast<std::size_t>(id)] =
        pieces ? piece_bytes(dictionary.symbol(id)) : word_bytes(dictionary.symbol(id));
  return counts;
}

ByteCounts gpt2_byte_counts(const compat::Dictionary& dictionary,
                            const std::filesystem::path& encoder_json) {
  const auto file = compat::MappedFile::open(encoder_json);
  const auto refuse = [&](const std::string& problem) -> void {
    throw compat::FormatError({file->path(), {}, {}}, problem);
  };
  const auto json = compat::parse_json_object(compat::as_chars(file->bytes()),
                                              {file->path(), {}, {}}, "GPT-2's encoder.json");
  std::unordered_map<std::int64_t, std::int64_t> bytes_of;
  for (const auto& [token, id] : json.items()) {
    if (!id.is_number_integer())
      refuse("the value of '" + compat::printable(token) +
             "' is not an integer, expected GPT-2's encoder.json");
    bytes_of[id.get<std::int64_t>()] = compat::code_points(token);
  }
  ByteCounts counts(static_cast<std::size_t>(dictionary.size()), 0);
  counts[static_cast<std::size_t>(dictionary.eos())] = 1;
  counts[static_cast<std::size_t>(dictionary.unk())] = 1;
  for (std::int64_t id = kFirstWord; id < dictionary.size(); ++id) {
    const std::string& symbol = dictionary.symbol(id);
    if (!is_number(symbol)) continue;
    const auto found = bytes_of.find(compat::number_of<std::int64_t>(symbol).value_or(-1));
    if (found == bytes_of.end()) refuse("has no token of id " + symbol + ", which dict.txt holds");
    counts[static_cast<std::size_t>(id)] = found->second;
  }
  return counts;
}

}  // namespace btm
