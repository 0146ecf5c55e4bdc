// --format of the commands that score and write text.
#pragma once

#include <cstdint>
#include <string>

namespace btm {

enum class TextFormat : std::uint8_t { kTable, kTsv, kJson, kJsonl };

/// The format with this name. For "": kTable where results go to a terminal, else kTsv.
TextFormat text_format_of(const std::string& name, bool to_terminal);

}  // namespace btm
