// The only functions that parse JSON, with one set of limits on nesting and size for all readers.
#pragma once

#include <cstddef>
#include <exception>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "compat/base/error.h"

namespace compat {

/// Limits on a JSON text. Values are copied and freed by recursion, and take about ten times the
/// bytes of their text. JSON that programs write has about ten levels.
struct JsonLimits {
  std::size_t depth = 512;                           ///< Levels of nested arrays and objects.
  std::size_t bytes = std::size_t{64} << 20;         ///< Size of the whole text.
  std::size_t string_bytes = std::size_t{64} << 20;  ///< Size of one string.
};

/// The value of `text`. A discarded value (is_discarded()) when the text is not JSON or exceeds a
/// limit. For cache records, where damage means a missing record, and for rows of a file, whose
/// caller names the row.
nlohmann::json parse_json(std::string_view text);

/// The object in the file at `where`. FormatError when the text is no JSON object or exceeds a
/// limit. `expected` completes the message: what the file should be.
nlohmann::json parse_json_object(std::string_view text, const Location& where,
                                 std::string_view expected);

/// The problem of a nlohmann::json::exception from an access to parsed JSON, in the words of this
/// project: "has no key 'rows'", "holds null, expected string".
std::string json_problem(const std::exception& error);

/// Which limit `text` exceeds ("nests deeper than 512 levels"), or "". Linear in the size of the
/// text, without allocations for a good text. Readers with parsers of their own call it first.
std::string json_limit_passed(std::string_view text, const JsonLimits& limits = {});

}  // namespace compat
