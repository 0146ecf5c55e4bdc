// Text as Python's str methods see it: white space and line ends beyond ASCII. fairseq's tokeniser and dict.txt rest on them.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

namespace compat {

/// str.split(): the words between runs of Unicode white space. `text` is UTF-8.
std::vector<std::string_view> split_whitespace(std::string_view text);

/// str.rstrip().
std::string_view strip_right(std::string_view text);

/// Calls `line` for every line as a file opened in text mode yields them: "\n", "\r\n" and "\r" end one, and are left out.
void for_each_line(std::string_view text, const std::function<void(std::string_view line)>& line);

}  // namespace compat
