#include "btm/run/preprocess_log.h"

#include <algorithm>
#include <optional>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

/// The number before `unit`, which follows it after a blank; nothing when there is none.
std::optional<std::int64_t> number_before(std::string_view text, std::string_view unit) {
  const std::size_t end = text.find(unit);
  if (end == std::string_view::npos) return std::nullopt;
  const std::size_t before = text.substr(0, end).rfind(' ');
  return before == std::string_view::npos
             ? std::nullopt
             : compat::number_of<std::int64_t>(text.substr(before + 1, end - before - 1));
}

/// The set of "[DOMAIN/]SET: N sequences, N tokens"; nothing for other text.
std::optional<PreparedSet> prepared_set(std::string_view text) {
  const std::size_t colon = text.find(": "), slash = text.rfind('/', colon);
  const auto documents = number_before(text, " sequences, "),
             tokens = number_before(text, " tokens");
  if (colon == std::string_view::npos || colon == 0 || !documents || !tokens) return std::nullopt;
  const std::size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
  const std::string_view name = text.substr(begin, colon - begin);
  PreparedSet set;
  set.name = compat::without_controls(std::string(name.substr(0, name.find('_'))));
  set.documents = *documents;
  set.tokens = *tokens;
  return set;
}

/// The sets of one line; none where it does not say how much of them is replaced.
std::vector<PreparedSet> sets_of_line(std::string_view line) {
  std::vector<PreparedSet> sets;
  const std::size_t percent = line.find("% replaced by <unk>");
  if (percent == std::string_view::npos) return sets;
  const std::size_t sets_end = line.rfind("; ", percent);
  if (sets_end == std::string_view::npos) return sets;
  for (std::string_view rest = line.substr(0, sets_end + 2); !rest.empty();) {
    const std::size_t end = rest.find("; ");
    auto set = prepared_set(rest.substr(0, end));
    if (!set) return {};
    sets.push_back(std::move(*set));
    rest.remove_prefix(std::min(end + 2, rest.size()));
  }
  if (sets.empty()) return sets;
  const std::size_t from = sets_end + 2;
  sets.front().unknown =
      compat::without_controls(std::string(line.substr(from, percent + 1 - from)));
  if (const auto empty = number_before(line, " empty documents"))
    sets.front().left_out = std::to_string(*empty) + " empty documents";
  return sets;
}

}  // namespace

std::vector<PreparedSet> parse_preprocess_log(std::string_view text) {
  std::vector<PreparedSet> sets;
  compat::for_each_line(text, [&](std::string_view line) {
    for (PreparedSet& set : sets_of_line(line)) sets.push_back(std::move(set));
  });
  return sets;
}

std::vector<PreparedSet> read_preprocess_log(const std::filesystem::path& file) {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(file, missing)) return {};
  return parse_preprocess_log(compat::as_chars(compat::MappedFile::open(file)->bytes()));
}

}  // namespace btm
