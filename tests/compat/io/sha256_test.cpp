#include "compat/io/sha256.h"

#include <gtest/gtest.h>

#include "compat/base/byte_reader.h"

namespace compat {
namespace {

// The example of FIPS 180-4.
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Sha256, MatchesTheStandardsExample) { EXPECT_EQ(sha256_hex(as_byte_span("abc")), kAbc); }

TEST(Sha256, IsTheSameInPieces) {
  Sha256 hash;
  hash.update(as_byte_span("a"));
  hash.update({});
  hash.update(as_byte_span("bc"));
  EXPECT_EQ(hash.hex(), kAbc);
}

TEST(Sha256, OfNothing) {
  EXPECT_EQ(sha256_hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

}  // namespace
}  // namespace compat
