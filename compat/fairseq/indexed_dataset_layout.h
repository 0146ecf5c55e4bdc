// The magics and dtype codes that readers and writers of data-bins share. Layouts:
// compat/fairseq/indexed_dataset.md
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "compat/fairseq/indexed_dataset.h"

namespace compat {

constexpr std::string_view kMmapMagic{"MMIDIDX\0\0", 9};
constexpr std::string_view kLegacyMagic{"TNTIDX\0\0", 8};
constexpr std::string_view kHuffmanMagic{"HUFFIDX\0\0", 9};

enum class TokenKind : std::uint8_t {
  kUInt8,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFloat,
  kUInt16,
  kUInt32,
  kUInt64
};

struct TokenType {
  std::uint8_t code;
  TokenKind kind;
  std::uint8_t size;
  std::string_view name;
  std::int64_t lowest;
  std::uint64_t highest;
};

/// fairseq's _code_to_dtype. Codes 9 and 10 came with fairseq 0.12.
constexpr std::array<TokenType, 10> kTokenTypes{{
    {1, TokenKind::kUInt8, 1, "uint8", 0, UINT8_MAX},
    {2, TokenKind::kInt8, 1, "int8", INT8_MIN, INT8_MAX},
    {3, TokenKind::kInt16, 2, "int16", INT16_MIN, INT16_MAX},
    {4, TokenKind::kInt32, 4, "int32", INT32_MIN, INT32_MAX},
    {5, TokenKind::kInt64, 8, "int64", INT64_MIN, INT64_MAX},
    {6, TokenKind::kFloat, 8, "float64", 0, 0},
    {7, TokenKind::kFloat, 8, "float64", 0, 0},
    {8, TokenKind::kUInt16, 2, "uint16", 0, UINT16_MAX},
    {9, TokenKind::kUInt32, 4, "uint32", 0, UINT32_MAX},
    {10, TokenKind::kUInt64, 8, "uint64", 0, UINT64_MAX},
}};

/// Null for an unknown code.
constexpr const TokenType* token_type_of_code(std::uint64_t code) noexcept {
  return code >= 1 && code <= kTokenTypes.size() ? &kTokenTypes[code - 1] : nullptr;
}

/// The dtype with the name `dtype`. "" takes fairseq's choice for `vocab_size`. UnsupportedError
/// for an unknown name.
const TokenType& token_type_for(DatasetImpl impl, std::int64_t vocab_size, std::string_view dtype);

/// FormatError unless each id plus `shift` fits `type`. `sequence` and `file` are for the message.
void check_ids_fit(const TokenType& type, std::int64_t shift, std::span<const std::int64_t> ids,
                   std::uint64_t sequence, const std::string& file);

}  // namespace compat
