// The syntax of a plan: sections of `key = value` lines, read strictly. Grammar: btm/run/plan.md
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compat/base/error.h"

namespace btm {

struct PlanEntry {
  std::string key, value;
  std::int64_t line = 0;  ///< counted from 1
};

/// `[kind]`.
struct PlanSection {
  std::string kind;
  std::int64_t line = 0;
  std::vector<PlanEntry> entries;
};

/// FormatError `FILE[line N]: ...` for anything that is not a section, an entry, a comment or
/// empty; for an entry before the first section, a key given twice in a section, a section given
/// twice, and text that is not UTF-8.
std::vector<PlanSection> parse_plan_file(std::string_view text, const std::string& file);

/// The error that names a line of a plan.
compat::FormatError plan_error(const std::string& file, std::int64_t line,
                               const std::string& problem);

}  // namespace btm
