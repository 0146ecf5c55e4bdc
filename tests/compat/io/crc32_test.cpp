#include "compat/io/crc32.h"

#include <gtest/gtest.h>

#include <string>

#include "compat/base/byte_reader.h"

namespace {

using compat::as_byte_span;

TEST(Crc32, IsTheCheckValueOfItsCatalogue) {
  EXPECT_EQ(compat::crc32(as_byte_span("123456789")), 0xCBF43926u);
}

TEST(Crc32, ContinuesFromBytesBefore) {
  EXPECT_EQ(compat::crc32(as_byte_span("56789"), compat::crc32(as_byte_span("1234"))), 0xCBF43926u);
}

TEST(Crc32, IsJoinedOfPiecesOfAnySize) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 31 % 251);
  const std::uint32_t whole = compat::crc32(as_byte_span(text));
  for (const std::size_t cut : {0, 1, 2, 255, 256, 4095, 4096, 4999, 5000}) {
    const std::string_view view = text;
    const std::uint32_t first = compat::crc32(as_byte_span(view.substr(0, cut)));
    const std::uint32_t second = compat::crc32(as_byte_span(view.substr(cut)));
    EXPECT_EQ(compat::crc32_joined(first, second, text.size() - cut), whole) << cut;
  }
}

}  // namespace
