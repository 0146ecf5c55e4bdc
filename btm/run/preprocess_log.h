// What the log of `btm-convert preprocess` says of the sets that it made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace btm {

struct PreparedSet {
  std::string name;  ///< "train", "valid", "test".
  std::int64_t documents = 0, tokens = 0;
  std::string unknown;   ///< "0.6%": the share of <unk>; "" where the set before counts it.
  std::string left_out;  ///< "2 empty documents"; "" for nothing.
};

/// The lines "[DOMAIN/]SET: N sequences, N tokens; P% replaced by <unk>"; all others are skipped.
/// A line may name several sets before the share: those that are held out of one text. The share
/// is that of all of them, and the first has it.
std::vector<PreparedSet> parse_preprocess_log(std::string_view text);

/// Empty for a missing file.
std::vector<PreparedSet> read_preprocess_log(const std::filesystem::path& file);

}  // namespace btm
