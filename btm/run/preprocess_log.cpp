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
std::optional<std::int64_t> number_before(std::string_view line, std::string_view unit) {
  const std::size_t end = line.find(unit);
  if (end == std::string_view::npos) return std::nullopt;
  const std::size_t before = line.substr(0, end).rfind(' ');
  return before == std::string_view::npos
             ? std::nullopt
             : compat::number_of<std::int64_t>(line.substr(before + 1, end - before - 1));
}

}  // namespace

std::vector<PreparedSet> parse_preprocess_log(std::string_view text) {
  std::vector<PreparedSet> sets;
  compat::for_each_line(text, [&](std::string_view line) {
    const std::size_t colon = line.find(": "), slash = line.rfind('/', colon),
                      percent = line.find("% replaced by <unk>");
    const auto documents = number_before(line, " sequences, "),
               tokens = number_before(line, " tokens; ");
    if (colon == std::string_view::npos || colon == 0 || !documents || !tokens ||
        percent == std::string_view::npos || percent < colon)
      return;
    PreparedSet set;
    const std::size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
    std::string_view name = line.substr(begin, colon - begin);
    set.name = compat::without_controls(std::string(name.substr(0, name.find('_'))));
    set.documents = *documents;
    set.tokens = *tokens;
    const std::size_t blank = line.rfind(' ', percent);
    set.unknown = compat::without_controls(std::string(line.substr(blank + 1, percent - blank)));
    if (const auto empty = number_before(line, " empty documents"))
      set.left_out = std::to_string(*empty) + " empty documents";
    sets.push_back(std::move(set));
  });
  return sets;
}

std::vector<PreparedSet> read_preprocess_log(const std::filesystem::path& file) {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(file, missing)) return {};
  return parse_preprocess_log(compat::as_chars(compat::MappedFile::open(file)->bytes()));
}

}  // namespace btm
