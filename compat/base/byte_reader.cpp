#include "compat/base/byte_reader.h"

#include <string>

#include "compat/base/concat.h"

namespace compat {

std::span<const std::byte> ByteReader::take(std::uint64_t count, std::string_view what) {
  if (count > remaining())
    fail(concat("needs ", count, " bytes for ", what, ", ", remaining(), " left"));
  const auto taken = bytes_.subspan(position_, count);
  position_ += count;
  return taken;
}

std::string_view ByteReader::take_line(std::string_view what) {
  const std::string_view rest = as_chars(bytes_.subspan(position_));
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) fail("no newline ends " + std::string(what));
  position_ += end + 1;
  return rest.substr(0, end);
}

void ByteReader::seek(std::uint64_t position, std::string_view what) {
  if (position > bytes_.size())
    fail(concat(what, " at ", position, " lies beyond the end (", bytes_.size(), " bytes)"));
  position_ = position;
}

Location ByteReader::where() const {
  Location place = start_;
  place.offset = start_.offset.value_or(0) + position_;
  return place;
}

void ByteReader::fail(std::string_view problem) const { throw FormatError(where(), problem); }

}  // namespace compat
