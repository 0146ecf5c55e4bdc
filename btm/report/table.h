// Rows and columns of text, as plain text, CSV and HTML.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace btm {

struct Table {
  struct Column {
    std::string name;
    bool numeric = false;  ///< aligned to the right
  };
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;  ///< each as long as `columns`
  bool pins_last = false;  ///< On a page the last column stays in sight while others scroll.
};

/// Aligned columns under a line of names, each line ended by a newline. Characters of UTF-8 count
/// as one column. Where the lines have more than `width` (0: no limit), columns that do not fit
/// follow in further tables, each of which begins with the first column.
std::string to_text(const Table& table, std::size_t width = 0);

/// RFC 4180, but lines end with a single newline.
std::string to_csv(const Table& table);

/// Opens a box that scrolls by itself in a narrow window, also by keys.
inline constexpr const char* kScrollBox =
    "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"scrolls sideways\">";

/// A <table> in such a box.
std::string to_html(const Table& table);

/// `text` for use inside an HTML element or a quoted attribute; bytes that are not UTF-8 become
/// U+FFFD.
std::string html_escaped(std::string_view text);

/// `value` with `digits` after the point; "–" when it is not finite.
std::string fixed(double value, int digits);

/// `value` as an axis shows it: four significant digits, thousands as "12k", millions as "3M".
std::string short_number(double value);

/// "850 ms", "12.3 s", "4 min 05 s", "2 h 10 min".
std::string duration_text(double seconds);

}  // namespace btm
