#include "btm/trainer/event_file.h"

#include <gtest/gtest.h>

#include <cstring>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

std::uint32_t unmasked(std::uint32_t masked) {
  const std::uint32_t rotated = masked - 0xA282EAD8U;
  return (rotated >> 17) | (rotated << 15);
}

template <class T>
T read(const std::string& bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

/// The records of a TFRecord file, after a check of their checksums.
std::vector<std::string> records(const std::string& file) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < file.size();) {
    const auto length = read<std::uint64_t>(file, at);
    EXPECT_EQ(unmasked(read<std::uint32_t>(file, at + 8)), crc32c(file.substr(at, 8)));
    out.push_back(file.substr(at + 12, length));
    EXPECT_EQ(unmasked(read<std::uint32_t>(file, at + 12 + length)), crc32c(out.back()));
    at += 16 + length;
  }
  return out;
}

TEST(Crc32c, KnowsTheCheckValue) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);  // RFC 3720, B.4
}

TEST(EventFile, HoldsAVersionAndScalars) {
  const btm_test::TempDir dir;
  {
    EventFile file(dir / "runs/train_inner");
    file.add_scalar("loss", 2.5, 300);
    file.flush();
  }
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(dir / "runs/train_inner"))
    found.push_back(entry.path());
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found.front().filename().string().starts_with("events.out.tfevents."));
  const auto events = records(btm_test::read_file(found.front()));
  ASSERT_EQ(events.size(), 2U);
  EXPECT_NE(events[0].find("brain.Event:2"), std::string::npos);
  // wall_time (9 bytes), then step 300 as a varint, then the summary with tag and value.
  const std::string expected = std::string("\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15", 14) +
                               std::string("\x00\x00\x20\x40", 4);
  EXPECT_EQ(events[1].substr(9), expected);
}

TEST(EventFile, SaysWhereItCannotWrite) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "file", "");
  btm_test::expect_error<compat::IoError>([&] { EventFile(dir / "file/sub"); },
                                          "cannot create the folder");
}

}  // namespace
}  // namespace btm
