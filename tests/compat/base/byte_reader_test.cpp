#include "compat/base/byte_reader.h"

#include <gtest/gtest.h>

#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::operator""_bytes;

TEST(ByteReader, ReadsLittleEndianNumbers) {
  const std::string bytes = "01 02 03 04 05 00 00 80 3f"_bytes;
  ByteReader in(as_byte_span(bytes), {"f", {}, 0});
  EXPECT_EQ(in.read<std::uint8_t>("a"), 1);
  EXPECT_EQ(in.read<std::uint32_t>("b"), 0x05040302U);
  EXPECT_EQ(in.read<float>("c"), 1.0F);
  EXPECT_TRUE(in.at_end());
}

TEST(ByteReader, RefusesToPassTheEnd) {
  const std::string bytes = "01 02 03"_bytes;
  ByteReader in(as_byte_span(bytes), {"f", "part", 0x100});
  in.read<std::uint8_t>("a");
  expect_error<FormatError>([&] { in.read<std::uint32_t>("the count"); },
                            "f[part]+0x101: needs 4 bytes for the count, 2 left");
  expect_error<FormatError>([&] { in.take(UINT64_MAX, "x"); },
                            "needs 18446744073709551615 bytes for x, 2 left");
  expect_error<FormatError>([&] { in.seek(4, "the table"); },
                            "the table at 4 lies beyond the end (3 bytes)");
  EXPECT_EQ(in.position(), 1U);  // a failed read does not move the position
}

TEST(ByteReader, TakesLines) {
  const std::string text = "ab\n\ncd";
  ByteReader in(as_byte_span(text), {"f", {}, 0});
  EXPECT_EQ(in.take_line("a line"), "ab");
  EXPECT_EQ(in.take_line("a line"), "");
  expect_error<FormatError>([&] { in.take_line("a name"); }, "f+0x4: no newline ends a name");
}

}  // namespace
}  // namespace compat
