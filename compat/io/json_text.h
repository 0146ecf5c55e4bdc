// The one way in for JSON: limits on nesting and size that every reader shares.
#pragma once

#include <cstddef>
#include <exception>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "compat/base/error.h"

namespace compat {

/// What a JSON text may be. Values copy and free themselves by recursion, and take some ten times
/// the bytes of their text; JSON that programs write nests some ten deep.
struct JsonLimits {
  std::size_t depth = 512;                           ///< Of arrays and objects inside each other.
  std::size_t bytes = std::size_t{64} << 20;         ///< Of the whole text.
  std::size_t string_bytes = std::size_t{64} << 20;  ///< Of one string.
};

/// The value of `text`. Discarded (is_discarded()) for what is no JSON or passes a limit: for
/// records that count as missing when they are damaged, and for rows of a file, where the caller
/// names the row.
nlohmann::json parse_json(std::string_view text);

/// The object that the file at `where` holds. FormatError for text that is none or passes a limit;
/// `expected` says in its message what the file should be.
nlohmann::json parse_json_object(std::string_view text, const Location& where,
                                 std::string_view expected);

/// What a value of the wrong kind is instead ("has no key 'rows'", "holds null, expected string"):
/// a nlohmann::json::exception of an access to parsed JSON in words of our own.
std::string json_problem(const std::exception& error);

/// Which limit `text` passes ("nests deeper than 512 levels"); empty for none. Linear, and
/// allocates nothing while all is well: for readers that parse by themselves, before they do.
std::string json_limit_passed(std::string_view text, const JsonLimits& limits = {});

}  // namespace compat
